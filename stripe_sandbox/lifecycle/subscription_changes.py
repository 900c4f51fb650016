"""Changes of what a subscription holds, and what they cost: prices, quantities, anchor, trial, end.

A change is first worked out as a `Plan`, which changes nothing: the items afterwards, the prorations, whether
an invoice is made at once. `Plan.bill` is that invoice. `create_preview` shows it, `commit` writes it: one
calculation. https://docs.stripe.com/billing/subscriptions/prorations
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import boundary, prorated
from ..due_work import due
from ..errors import exclusive, invalid, no_such
from ..metadata import merged
from ..store import Document
from . import collection, discounts, invoicing, payments, subscriptions, usage_billing
from .invoicing import Bill, DraftLine, licensed_amount
from .subscriptions import Line

if TYPE_CHECKING:
    from ..sandbox import Sandbox

PENDING_HOURS = 23  # https://docs.stripe.com/billing/subscriptions/pending-updates


@dataclass
class Plan:
    """A change, worked out."""

    items: list[Document]  # all items as they will be, new ones included
    removed: list[Document] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)  # of the subscription itself
    prorations: list[DraftLine] = field(default_factory=list)  # they become invoice items
    period: list[DraftLine] = field(default_factory=list)  # a new period that begins now
    invoice_now: bool = False

    def bill(self, sandbox: Sandbox, subscription: Document, *, preview: bool = False) -> Bill | None:
        """The invoice that the change makes at once, None when it makes none."""
        if not self.invoice_now:
            return None
        after = {**subscription, **self.changes}
        customer = sandbox.get("customer", subscription["customer"])
        pending = invoicing.pending_items(sandbox, customer, subscription, subscription["currency"])
        lines = [*pending, *self.prorations, *self.period]
        if not lines:
            return None
        return invoicing.compose(
            sandbox,
            customer,
            lines,
            billing_reason="subscription_update",
            currency=subscription["currency"],
            subscription=after,
            preview=preview,
        )


def is_change(wish: dict[str, Any]) -> bool:
    """Whether a request changes what is subscribed to, or its time: `plan` is asked then."""
    return bool(wish.get("items") or wish.get("trial_end")) or wish.get("billing_cycle_anchor") == "now"


def plan(sandbox: Sandbox, subscription: Document, wish: dict[str, Any]) -> Plan:
    """Work out what a request's items, billing_cycle_anchor, trial_end and proration parameters bring about.

    Changes nothing. Raises 400 for what cannot be.
    """
    now = sandbox.clock.now()
    old = copy.deepcopy(subscriptions.items_of(sandbox, subscription))
    items, removed, changed = wanted_items(sandbox, subscription, old, wish.get("items") or [])
    start = min(item["current_period_start"] for item in old)
    end = min(item["current_period_end"] for item in old)
    behavior = wish.get("proration_behavior", "create_prorations")
    at = _proration_date(wish, start, end, now)
    in_trial = subscription["status"] == "trialing"
    trial_end = wish.get("trial_end")
    if isinstance(trial_end, int) and trial_end <= now:
        raise invalid("trial_end must be a timestamp in the future, or `now`.", "trial_end")
    begins_trial = isinstance(trial_end, int)
    ends_trial = trial_end == "now" and in_trial
    if wish.get("billing_cycle_anchor") == "now" and begins_trial:
        raise exclusive("billing_cycle_anchor", "trial_end")
    made = Plan(items, removed)
    made.invoice_now = behavior == "always_invoice"
    net = whole_amounts(sandbox, subscription, items)

    if begins_trial:
        if not in_trial and behavior != "none":
            for item in [*old]:
                made.prorations += _credits(sandbox, subscription, _same([*items, *removed], item), at)
        for item in items:
            item["current_period_end"] = trial_end
            if not in_trial:
                item["current_period_start"] = now
        made.changes = {
            "trial_end": trial_end,
            "trial_start": subscription["trial_start"] if in_trial else now,
            "billing_cycle_anchor": trial_end,
            "status": "trialing" if subscription["status"] in ("active", "trialing") else None,
        }
        if made.changes["status"] is None:
            raise invalid("A trial can only be added to an active subscription.", "trial_end")
        made.changes |= _moved_end(subscription, items)
        made.invoice_now = made.invoice_now and bool(made.prorations)
        return made

    if in_trial and not ends_trial and wish.get("billing_cycle_anchor") != "now":
        # Nothing was paid and nothing is due before the trial's end.
        made.invoice_now = False
        return made

    if _begins_anew(sandbox, old, items, wish) or ends_trial:
        if behavior != "none" and not in_trial:
            for item in old:
                made.prorations += _credits(sandbox, subscription, _same([*items, *removed], item), at)
        made.period = subscriptions.usage_lines(sandbox, subscription, old, start, now)
        for item in items:
            recurring = sandbox.get("price", item["price"])["recurring"]
            item["current_period_start"] = now
            item["current_period_end"] = boundary(now, recurring, 1)
        made.changes = {"billing_cycle_anchor": now}
        if in_trial:
            made.changes |= {"trial_end": now, "status": "active"}
        made.changes |= _moved_end(subscription, items)
        after = {**subscription, **made.changes}
        made.period += subscriptions.period_lines(sandbox, after, items, proration_date=at)
        made.invoice_now = True
        return made

    if behavior != "none":
        for item in [*changed, *removed]:
            gone = item in removed
            before = next((one for one in old if one["id"] == item["id"]), None)
            if before is not None:
                made.prorations += _credits(sandbox, subscription, item, at)
            if not gone and at < (until := min(end, subscription["cancel_at"] or end)):
                made.prorations += _debit(sandbox, subscription, item, at, until, net[item["id"]])
    made.prorations.sort(key=lambda line: line.amount > 0 or not line.credited and line.amount == 0)
    made.invoice_now = made.invoice_now and bool(made.prorations)
    return made


def _moved_end(subscription: Document, items: list[Document]) -> dict[str, Any]:
    """One that ends with its period ends with the new one."""
    if not subscription["cancel_at_period_end"]:
        return {}
    return {"cancel_at": min(item["current_period_end"] for item in items)}


def _same(items: list[Document], item: Document) -> Document:
    return next(one for one in items if one["id"] == item["id"])


def _proration_date(wish: dict[str, Any], start: int, end: int, now: int) -> int:
    at = wish.get("proration_date")
    if not at:
        return now
    if not start <= at < end:
        raise invalid(
            f"Cannot specify a proration date outside of the current period ({start}-{end}) of the subscription.",
            "proration_date",
        )
    return at


def _begins_anew(sandbox: Sandbox, old: list[Document], items: list[Document], wish: dict[str, Any]) -> bool:
    """Whether the change starts a new period now: asked for, another interval, or from free to paid."""
    if wish.get("billing_cycle_anchor") == "now":
        return True

    def prices(documents: list[Document]) -> list[Document]:
        return [sandbox.get("price", item["price"]) for item in documents]

    before, after = prices(old), prices(items)
    if _interval(before[0]) != _interval(after[0]):
        return True
    # https://docs.stripe.com/billing/subscriptions/change-price: the price counts, not a quantity of 0.
    free = all(price["unit_amount"] == 0 and not usage_billing.is_metered(price) for price in before)
    return free and any(price["unit_amount"] != 0 and not usage_billing.is_metered(price) for price in after)


def _interval(price: Document) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def wanted_items(
    sandbox: Sandbox, subscription: Document, old: list[Document], wanted: list[dict[str, Any]]
) -> tuple[list[Document], list[Document], list[Document]]:
    """(items afterwards, removed ones, those of the first that are new or cost something else) as copies."""
    now = sandbox.clock.now()
    by_id = {item["id"]: copy.deepcopy(item) for item in old}
    order = list(by_id)
    removed, changed = [], []
    for index, one in enumerate(wanted):
        param = f"items[{index}]"
        item = by_id.get(one["id"]) if "id" in one else None
        if "id" in one and item is None:
            raise no_such("subscription_item", one["id"], f"{param}[id]")
        if one.get("deleted"):
            if item is None:
                raise invalid("Only an existing item can be deleted: pass its id.", f"{param}[deleted]")
            order.remove(item["id"])
            removed.append(item)
            continue
        if item is None:
            if "price" not in one:
                raise invalid(f"Missing required param: {param}[price].", f"{param}[price]", "parameter_missing")
            line = subscriptions.checked_line(
                sandbox, one["price"], one.get("quantity"), merged(one, at=f"{param}[metadata]"), param
            )
            start, end = _period_of(old)
            item = subscriptions.new_item(subscription["id"], line, now, start, end)
            by_id[item["id"]] = item
            order.append(item["id"])
            changed.append(item)
            continue
        price_id: str = one.get("price") or item["price"]
        price = sandbox.get("price", price_id, f"{param}[price]")
        quantity = one.get("quantity", None if usage_billing.is_metered(price) else item.get("quantity", 1))
        line = (
            subscriptions.checked_line(sandbox, price_id, quantity, None, param)
            if (price_id != item["price"] or "quantity" in one)
            else Line(price, quantity, {})
        )
        before = (item["price"], item.get("quantity"))
        item["price"] = price_id
        item.pop("quantity", None)
        if line.quantity is not None:
            item["quantity"] = line.quantity
        item["metadata"] = merged(one, item["metadata"], at=f"{param}[metadata]")
        if (item["price"], item.get("quantity")) != before:
            changed.append(item)
    items = [by_id[item_id] for item_id in order]
    if not items:
        raise invalid("A subscription must have at least one active plan.", "items")
    lines = [Line(sandbox.get("price", item["price"]), item.get("quantity"), {}) for item in items]
    subscriptions.check_lines(lines)
    if lines[0].price["currency"] != subscription["currency"]:
        raise invalid(
            f"The price specified uses the currency {lines[0].price['currency']}, but the subscription's is "
            f"{subscription['currency']}.",
            "items",
        )
    return items, removed, changed


def _period_of(items: list[Document]) -> tuple[int, int]:
    return items[0]["current_period_start"], items[0]["current_period_end"]


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%d %b %Y")


def _many(quantity: int | None, name: str) -> str:
    return f"{quantity} × {name}" if quantity not in (None, 1) else name


def whole_amounts(sandbox: Sandbox, subscription: Document, items: list[Document]) -> dict[str, int]:
    """What each licensed item costs for one whole period, by its id, net of the discounts that hold now.

    https://docs.stripe.com/billing/subscriptions/billing-mode: prorations of `proration_discounts=included`
    are net of discounts and show none. One that is good `once` waits for a whole period's invoice.
    """
    customer = sandbox.get("customer", subscription["customer"])
    lines: dict[str, dict[str, Any]] = {}
    for item in items:
        price = sandbox.get("price", item["price"])
        if not usage_billing.is_metered(price):
            lines[item["id"]] = {
                "amount": licensed_amount(price, item["quantity"]),
                "discountable": True,
                "discounts": [],
                "pricing": {"price_details": {"product": price["product"]}},
            }
    held = [
        discount
        for discount in discounts.of_invoice(sandbox, customer, subscription)
        if discount["_terms"]["duration"] != "once"
    ]
    discounts.apply(sandbox, lines.values(), held)
    return {
        item_id: line["amount"] - sum(taken["amount"] for taken in line["discount_amounts"])
        for item_id, line in lines.items()
    }


def _credits(sandbox: Sandbox, subscription: Document, item: Document, at: int) -> list[DraftLine]:
    """Give back what was debited for the time after `at`: one line for each debit.

    The item's note of its debits is cut accordingly, so that no second is given back twice.
    """
    lines = []
    for debit in item["_debits"]:
        if debit["end"] <= at:
            continue
        begins = max(at, debit["start"])
        amount = prorated(debit["amount"], debit["end"] - begins, debit["end"] - debit["start"])
        price = sandbox.get("price", debit.get("price") or item["price"])
        quantity = debit.get("quantity", item.get("quantity"))
        credited = None
        if debit.get("line"):
            credited = {"invoice": debit["invoice"], "invoice_line_items": [debit["line"]]}
        name = _many(quantity, invoicing.product_name(sandbox, price))
        lines.append(
            DraftLine(
                amount=-amount,
                currency=subscription["currency"],
                description=f"Unused time on {name} after {_date(begins)}",
                start=begins,
                end=debit["end"],
                quantity=quantity,
                price=price,
                subscription=subscription["id"],
                item=item["id"],
                invoice_item=ids.new("invoiceitem"),
                proration=True,
                credited=credited,
                discountable=False,
                metadata=subscription["metadata"],
            )
        )
        debit["amount"] -= amount
        debit["end"] = begins
    item["_debits"] = [debit for debit in item["_debits"] if debit["end"] > debit["start"]]
    return lines


def _debit(
    sandbox: Sandbox, subscription: Document, item: Document, at: int, until: int, whole: int
) -> list[DraftLine]:
    """What the item costs from `at` until then, noted at the item; `whole` is its net amount for a whole period.

    None for usage.
    """
    price = sandbox.get("price", item["price"])
    if usage_billing.is_metered(price):
        return []
    quantity, end = item["quantity"], item["current_period_end"]
    amount = prorated(whole, until - at, end - subscriptions.start_of_whole(subscription, price, end))
    name = _many(quantity, invoicing.product_name(sandbox, price))
    line = DraftLine(
        amount=amount,
        currency=subscription["currency"],
        description=f"Remaining time on {name} after {_date(at)}",
        start=at,
        end=until,
        quantity=quantity,
        price=price,
        subscription=subscription["id"],
        item=item["id"],
        invoice_item=ids.new("invoiceitem"),
        proration=True,
        discountable=False,
        metadata=subscription["metadata"],
    )
    item["_debits"].append(
        {
            "amount": amount,
            "start": at,
            "end": until,
            "invoice_item": line.invoice_item,
            "price": price["id"],
            "quantity": quantity,
        }
    )
    return [line]


# ------------------------------------------------------------------------------------- ending
def plan_end(sandbox: Sandbox, subscription: Document, at: int | None, wish: dict[str, Any]) -> Plan:
    """What ending at `at` (None: not at all any more) does to the period that is already paid.

    An end inside it gives the rest back; taking such an end back debits the rest again.
    """
    now = sandbox.clock.now()
    items = copy.deepcopy(subscriptions.items_of(sandbox, subscription))
    made = Plan(items)
    behavior = wish.get("proration_behavior", "create_prorations")
    if behavior == "none" or subscription["status"] == "trialing":
        return made
    net = whole_amounts(sandbox, subscription, items)
    for item in items:
        end = item["current_period_end"]
        paid_until = max((debit["end"] for debit in item["_debits"]), default=None)
        until = end if at is None else min(at, end)
        if paid_until is None or paid_until == until:
            continue
        if paid_until > until:
            made.prorations += _credits(sandbox, subscription, item, until)
        else:
            made.prorations += _debit(sandbox, subscription, item, max(paid_until, now), until, net[item["id"]])
    made.invoice_now = behavior == "always_invoice" and bool(made.prorations)
    return made


def plan_cancel(sandbox: Sandbox, subscription: Document, *, prorate: bool, invoice_now: bool) -> Plan:
    """What ending now gives back (prorate), and whether what is pending is invoiced."""
    now = sandbox.clock.now()
    items = copy.deepcopy(subscriptions.items_of(sandbox, subscription))
    made = Plan(items, invoice_now=invoice_now)
    if prorate and subscription["status"] != "trialing":
        for item in items:
            made.prorations += _credits(sandbox, subscription, item, now)
    if invoice_now:
        start = min(item["current_period_start"] for item in items)
        made.period = subscriptions.usage_lines(sandbox, subscription, items, start, now)
    return made


def cancel(
    sandbox: Sandbox, subscription: Document, details: dict[str, Any], *, prorate: bool, invoice_now: bool
) -> Document:
    """DELETE /v1/subscriptions/{id} (sequence 10): with prorate and invoice_now an invoice, too."""
    made = plan_cancel(sandbox, subscription, prorate=prorate, invoice_now=invoice_now)
    bill = made.bill(sandbox, subscription)
    subscriptions.cancel(sandbox, subscription, details)
    for item in _write_items(sandbox, subscription, made):
        sandbox.events.emit("invoiceitem.created", item)
    if bill:
        invoice = subscriptions.write_bill(sandbox, subscription, bill)
        sandbox.events.emit("invoice.created", invoice)
        invoicing.finalize(sandbox, invoice)
        sandbox.events.emit("invoice.finalized", invoice)
        method = collection.method_for(sandbox, invoice)
        if invoice["amount_due"] == 0:
            collection.pay_nothing(sandbox, invoice)
        elif method:
            collection.pay_invoice(sandbox, invoice, method)
    return subscription


# ------------------------------------------------------------------------------------ commit
def commit(
    sandbox: Sandbox,
    subscription: Document,
    made: Plan,
    *,
    payment_behavior: str = "allow_incomplete",
    changes: dict[str, Any] | None = None,
) -> Document:
    """Carry a plan out, with further `changes` of the subscription, and tell it (sequence 6).

    A payment that fails: allow_incomplete and default_incomplete keep the change and make the subscription
    past_due, error_if_incomplete raises 402 (nothing changes), pending_if_incomplete keeps the change waiting
    for the payment.
    """
    before = sandbox.render(subscription)
    changes = made.changes = {**made.changes, **(changes or {})}
    if subscription["pending_update"] and (made.prorations or made.period):
        _drop_pending_update(sandbox, subscription)
    bill = made.bill(sandbox, subscription)
    new_items = _write_items(sandbox, subscription, made)
    invoice, paid = None, True
    if bill:
        invoice, paid = _invoice(sandbox, subscription, bill, payment_behavior)
    if not paid and payment_behavior == "pending_if_incomplete":
        _keep_waiting(sandbox, subscription, made, changes)
    else:
        _apply(sandbox, subscription, made.items, [item["id"] for item in made.removed], changes)
        if invoice:
            subscriptions.note_debits(sandbox, invoice)
        if not paid and subscription["status"] in ("active", "trialing"):
            sandbox.change(subscription, changes={"status": "past_due"})
        elif invoice and invoice["amount_paid"] and subscription["status"] in ("past_due", "unpaid"):
            # The status follows the latest invoice, and that is this one now.
            sandbox.change(subscription, changes={"status": "active"})
    sandbox.announce(subscription, "customer.subscription.updated", before)
    for item in new_items:
        sandbox.events.emit("invoiceitem.created", item)
    return subscription


def _write_items(sandbox: Sandbox, subscription: Document, made: Plan) -> list[Document]:
    customer = sandbox.get("customer", subscription["customer"])
    return [invoicing.new_item(sandbox, customer, line, line.invoice_item) for line in made.prorations]


def _invoice(sandbox: Sandbox, subscription: Document, bill: Bill, payment_behavior: str) -> tuple[Document, bool]:
    """Write, finalize and try to collect the change's invoice. Returns it and whether it is paid."""
    invoice = invoicing.write(sandbox, bill)
    sandbox.change(subscription, changes={"latest_invoice": invoice["id"]})
    created = sandbox.render(invoice)
    invoicing.finalize(sandbox, invoice)
    finalized = sandbox.render(invoice)

    def tell() -> None:
        sandbox.events.emit("invoice.created", created)
        sandbox.events.emit("invoice.finalized", finalized)

    if invoice["amount_due"] == 0:
        invoicing.mark_paid(sandbox, invoice)
        tell()
        invoicing.emit_paid(sandbox, invoice)
        return invoice, True
    intent = invoicing.request_payment(sandbox, invoice)
    intent_created = sandbox.render(intent)
    attempt = None
    if payment_behavior != "default_incomplete":
        method = collection.method_for(sandbox, invoice)
        if method is None:
            raise collection.no_payment_method()
        attempt = payments.attempt(sandbox, intent, method)
        if attempt.paid:
            invoicing.mark_paid(sandbox, invoice)
            sandbox.events.emit("charge.succeeded", attempt.charged)
            sandbox.events.emit("payment_intent.created", intent_created)
            sandbox.events.emit("payment_intent.succeeded", intent)
            tell()
            invoicing.emit_paid(sandbox, invoice)
            return invoice, True
        if payment_behavior == "error_if_incomplete":
            raise subscriptions.refused(sandbox, attempt)
        collection.note_hard_decline(sandbox, invoice, attempt, method)
    tell()
    sandbox.events.emit("payment_intent.created", intent_created)
    if attempt:
        retry = collection.plan_retry(sandbox, invoice) if payment_behavior == "allow_incomplete" else None
        invoicing.note_failed_attempt(sandbox, invoice, attempt, retry)
    return invoice, False


def _apply(
    sandbox: Sandbox,
    subscription: Document,
    items: list[Document],
    removed: list[str],
    changes: dict[str, Any],
) -> None:
    for item in items:
        if sandbox.store.get(item["id"]):
            sandbox.store.save(item)
        else:
            sandbox.store.insert(item)
    for item_id in removed:
        sandbox.store.save({"id": item_id, "object": "subscription_item", "deleted": True})
    sandbox.change(subscription, changes=changes)
    subscriptions.plan_time(sandbox, subscription)


# ---------------------------------------------------------------------------- pending updates
def _keep_waiting(sandbox: Sandbox, subscription: Document, made: Plan, changes: dict[str, Any]) -> None:
    # No later than what the update was worked out for: the present period, the trial.
    ends = [item["current_period_end"] for item in subscriptions.items_of(sandbox, subscription)]
    expires_at = min(sandbox.clock.now() + PENDING_HOURS * 3600, *ends)
    sandbox.change(
        subscription,
        changes={
            "pending_update": {
                "billing_cycle_anchor": made.changes.get("billing_cycle_anchor"),
                "discount": None,
                "discounts": None,
                "expires_at": expires_at,
                "metadata": None,
                "subscription_items": [sandbox.render(item) for item in made.items],
                "trial_end": made.changes.get("trial_end"),
                "trial_from_plan": None,
            },
            "_pending_invoice": subscription["latest_invoice"],
            "_pending_plan": {
                "items": made.items,
                "removed": [item["id"] for item in made.removed],
                "changes": changes,
            },
        },
    )
    sandbox.due_work.add(expires_at, "subscription.pending_update_expires", subscription["id"])


def apply_pending_update(sandbox: Sandbox, subscription: Document) -> None:
    """The invoice of a pending update is paid: the change takes effect."""
    before = sandbox.render(subscription)
    waiting, invoice = subscription["_pending_plan"], sandbox.get("invoice", subscription["_pending_invoice"])
    changes = {**waiting["changes"], **_NOTHING_PENDING}
    _apply(sandbox, subscription, waiting["items"], waiting["removed"], changes)
    subscriptions.note_debits(sandbox, invoice)
    sandbox.announce(subscription, "customer.subscription.updated", before)
    sandbox.events.emit("customer.subscription.pending_update_applied", subscription)


_NOTHING_PENDING: dict[str, Any] = {"pending_update": None, "_pending_invoice": None, "_pending_plan": None}


@due("subscription.pending_update_expires", rank=1)
def _expire_pending_update(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    pending = subscription and subscription.get("pending_update")
    if subscription and pending and pending["expires_at"] <= sandbox.clock.now():
        _drop_pending_update(sandbox, subscription)


def withdraw_pending_update_of(sandbox: Sandbox, invoice: Document) -> None:
    """The invoice that a pending update waited for is void: nobody can pay it any more, so the update is gone."""
    subscription_id = invoicing.subscription_of(invoice)
    subscription = sandbox.store.get(subscription_id) if subscription_id else None
    if subscription and subscription.get("_pending_invoice") == invoice["id"]:
        _drop_pending_update(sandbox, subscription)


def _drop_pending_update(sandbox: Sandbox, subscription: Document) -> None:
    """It was not paid in time, or another change took its place: its invoice is void."""
    invoice = sandbox.get("invoice", subscription["_pending_invoice"])
    sandbox.change(subscription, changes=_NOTHING_PENDING)
    if invoice["status"] == "open":
        invoicing.void(sandbox, invoice)
    sandbox.events.emit("customer.subscription.pending_update_expired", subscription)


# ------------------------------------------------------------------------------------ resuming
def resume(sandbox: Sandbox, subscription: Document) -> Document:
    """paused -> active, with a new period from now, once its invoice is paid (sequence 9)."""
    if subscription["status"] != "paused":
        raise invalid("This subscription cannot be resumed because it is not paused.", code="status_transition_invalid")
    before = sandbox.render(subscription)
    now = sandbox.clock.now()
    items = copy.deepcopy(subscriptions.items_of(sandbox, subscription))
    for item in items:
        recurring = sandbox.get("price", item["price"])["recurring"]
        item["current_period_start"], item["current_period_end"] = now, boundary(now, recurring, 1)
    changes = {"billing_cycle_anchor": now}
    made = Plan(items, changes=changes, invoice_now=True)
    made.period = subscriptions.period_lines(sandbox, {**subscription, **changes}, items)
    bill = made.bill(sandbox, subscription)
    _apply(sandbox, subscription, items, [], changes)
    if bill is None:
        subscriptions.complete_resumption(sandbox, subscription)
        return subscription
    invoice, paid = _invoice(sandbox, subscription, bill, "allow_incomplete")
    subscriptions.note_debits(sandbox, invoice)
    sandbox.change(subscription, changes={"_resume_invoice": invoice["id"]})
    if paid:
        sandbox.change(subscription, changes={"status": "active"})
        subscriptions.plan_time(sandbox, subscription)
        sandbox.announce(subscription, "customer.subscription.updated", before)
        sandbox.events.emit("customer.subscription.resumed", subscription)
    return subscription
