"""A subscription's life: begins, renews, ends. Changes of what it holds are in subscription_changes.py.

https://docs.stripe.com/billing/subscriptions/overview#subscription-lifecycle

An item remembers in `_debits` what was billed for which time: flexible billing mode gives back what was
debited, not what the price says today.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import boundary, last_boundary, next_boundary, prorated
from ..due_work import due
from ..errors import exclusive, invalid, not_emulated
from ..store import Document
from . import collection, invoicing, payments, usage_billing
from .collection import chosen_payment_method, no_payment_method, pay_invoice
from .invoicing import Bill, DraftLine, licensed_amount

if TYPE_CHECKING:
    from ..sandbox import Sandbox, Snapshot

INCOMPLETE_HOURS = 23  # https://docs.stripe.com/billing/subscriptions/overview: then incomplete_expired
WAITS_FOR_WEBHOOK_HOURS = 72
ENDED = ("canceled", "incomplete_expired")
DAY = 86400

__all__ = ["chosen_payment_method", "no_payment_method", "pay_invoice"]  # others know them from here


@dataclass
class Line:
    """What is subscribed to: a recurring price and how many of it."""

    price: Document
    quantity: int | None  # None for a metered price
    metadata: dict[str, str]


def checked_line(
    sandbox: Sandbox, price_id: str, quantity: int | None, metadata: dict[str, str] | None, param: str
) -> Line:
    """Raises 400 for a price that is unknown, inactive, not recurring, or of a kind that is not emulated."""
    price = sandbox.get("price", price_id, f"{param}[price]")
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", f"{param}[price]")
    if price["type"] != "recurring":
        raise not_emulated("A one-time price in a subscription", f"{param}[price]")
    if usage_billing.is_metered(price):
        if quantity is not None:
            raise invalid("You cannot set the quantity for metered plans.", f"{param}[quantity]")
        return Line(price, None, metadata or {})
    quantity = 1 if quantity is None else quantity
    if quantity < 0:
        raise invalid(
            "This value must be greater than or equal to 0.",
            f"{param}[quantity]",
            "parameter_invalid_integer",
        )
    return Line(price, quantity, metadata or {})


def check_lines(lines: list[Line]) -> None:
    """One currency, as at Stripe; one interval, because mixed intervals are not emulated; no price twice."""
    if len({line.price["currency"] for line in lines}) > 1:
        raise invalid("All prices on a subscription must have the same `currency`.", "items")
    if len({(line.price["recurring"]["interval"], line.price["recurring"]["interval_count"]) for line in lines}) > 1:
        raise not_emulated("A subscription with prices of different intervals", "items")
    if len({line.price["id"] for line in lines}) < len(lines):
        raise invalid(
            "Cannot add multiple subscription items with the same price. Use the `quantity` parameter instead.",
            "items",
        )


def check_asked_currency(lines: list[Line], asked: str | None) -> None:
    if asked is not None and asked.lower() != lines[0].price["currency"]:
        raise not_emulated("A currency other than the prices' own", "currency")


def check_currency(customer: Document, currency: str) -> None:
    """A customer's first subscription fixes the currency of all others."""
    if customer["currency"] not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription, "
            f"subscription schedule, discount, quote, or invoice item with currency {customer['currency']}"
        )


def total_of(lines: list[Line]) -> int:
    """What one whole period costs, without usage."""
    return sum(licensed_amount(line.price, line.quantity) for line in lines if line.quantity is not None)


def create(
    sandbox: Sandbox,
    customer: Document,
    lines: list[Line],
    *,
    status: str,
    default_payment_method: str | None,
    metadata: dict[str, str],
    description: str | None = None,
    trial_end: int | None = None,
    billing_cycle_anchor: int | None = None,
    **values: Any,
) -> Document:
    """Write a subscription and its items, first period from now. Makes no events.

    With `trial_end` it is `trialing` until then, whatever `status` says. With a
    `billing_cycle_anchor` the first period is a short one
    that ends there. `values` replace properties.
    """
    check_lines(lines)
    check_currency(customer, lines[0].price["currency"])
    _check_test_clock_limit(sandbox, customer)
    subscription, items = unwritten(
        sandbox,
        customer,
        lines,
        trial_end=trial_end,
        billing_cycle_anchor=billing_cycle_anchor,
        status=status if trial_end is None else "trialing",
        default_payment_method=default_payment_method,
        metadata=metadata,
        description=description,
        **values,
    )
    sandbox.store.insert(subscription)
    for item in items:
        sandbox.store.insert(item)
    plan_time(sandbox, subscription)
    return subscription


def unwritten(
    sandbox: Sandbox,
    customer: Document,
    lines: list[Line],
    *,
    trial_end: int | None = None,
    billing_cycle_anchor: int | None = None,
    **values: Any,
) -> tuple[Document, list[Document]]:
    """A new subscription and its items as documents: a preview stops here."""
    now = sandbox.clock.now()
    first_end = trial_end or billing_cycle_anchor
    subscription = {
        "id": ids.new("subscription"),
        "object": "subscription",
        "created": now,
        "livemode": False,
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": first_end or now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "feedback_option": None,
            "reason": None,
        },
        "collection_method": "charge_automatically",
        "currency": lines[0].price["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "latest_invoice": None,
        "managed_payments": None,
        "metadata": {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "active",
        "test_clock": customer["test_clock"],
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": now if trial_end else None,
        **values,
    }
    items = []
    for line in lines:
        end = first_end or boundary(now, line.price["recurring"], 1)
        items.append(new_item(subscription["id"], line, now, now, end))
    return subscription, items


def new_item(subscription_id: str, line: Line, now: int, start: int, end: int) -> Document:
    """A subscription item as a document that is not yet written."""
    item = {
        "id": ids.new("subscription_item"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": line.metadata,
        "price": line.price["id"],
        "quantity": line.quantity,
        "subscription": subscription_id,
        "tax_rates": [],
        "_debits": [],
    }
    if line.quantity is None:
        del item["quantity"]  # a metered item shows none
    return item


def _check_test_clock_limit(sandbox: Sandbox, customer: Document) -> None:
    """Stripe's limit: three subscriptions for a customer on a test clock."""
    if customer["test_clock"]:
        held = sandbox.store.find("subscription", {"customer": customer["id"]})
        if sum(subscription["status"] not in ENDED for subscription in held) >= 3:
            raise invalid(
                "You cannot create more than 3 subscriptions for a customer attached to a test clock.",
                "customer",
                "customer_max_subscriptions",
            )


def items_of(sandbox: Sandbox, subscription: Document) -> list[Document]:
    return sandbox.store.find("subscription_item", {"subscription": subscription["id"]})


_TIMED = (
    "subscription.cancel_at",
    "subscription.period_ends",
    "subscription.upcoming",
    "subscription.trial_will_end",
)


def plan_time(sandbox: Sandbox, subscription: Document) -> None:
    """Plan what the present period will bring: its end, the notices before that, the subscription's own end."""
    for kind in _TIMED:
        sandbox.due_work.forget(kind, subscription["id"])
    if subscription["status"] in ENDED:
        return
    if subscription["cancel_at"] is not None:
        sandbox.due_work.add(subscription["cancel_at"], "subscription.cancel_at", subscription["id"])
    if subscription["status"] == "paused":
        return
    now, end = sandbox.clock.now(), period_end(sandbox, subscription, min)
    sandbox.due_work.add(end, "subscription.period_ends", subscription["id"])
    notice = end - sandbox.settings.upcoming_days * DAY
    if notice > now:
        sandbox.due_work.add(notice, "subscription.upcoming", subscription["id"])
    if subscription["status"] == "trialing":
        notice = subscription["trial_end"] - sandbox.settings.trial_will_end_days * DAY
        # A shorter trial is announced at once.
        sandbox.due_work.add(max(now, notice), "subscription.trial_will_end", subscription["id"])


# ----------------------------------------------------------------------- what a period costs
def period_lines(
    sandbox: Sandbox,
    subscription: Document,
    items: list[Document],
    *,
    first: bool = False,
    proration_date: int | None = None,
) -> list[DraftLine]:
    """What the items cost for their present period, which has just begun.

    Licensed items are billed ahead; a trial costs nothing, a period that the anchor or cancel_at cuts short
    its share. Metered ones are billed afterwards: `usage_lines`.

    `proration_date` is that of the change which began the period. The share until cancel_at is counted as though
    the period had begun then, so that it costs what create_preview told for the same date; at most the whole.
    """
    lines = []
    for item in items:
        price = sandbox.get("price", item["price"])
        if usage_billing.is_metered(price):
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        name = invoicing.product_name(sandbox, price)
        amount, proration = licensed_amount(price, item["quantity"]), False
        description = f"{item['quantity']} × {name} (at {invoicing.each(price)})"
        if subscription["trial_end"] is not None and start < subscription["trial_end"]:
            amount, description = 0, f"Trial period for {name}"
        else:
            whole = end - start_of_whole(subscription, price, end)
            if first and end - start < whole:  # until the billing_cycle_anchor
                amount, proration = prorated(amount, end - start, whole), True
            cancel_at = subscription["cancel_at"]
            if cancel_at is not None and start < cancel_at < end:
                seconds = cancel_at - start
                if proration_date is not None:
                    whole = boundary(proration_date, price["recurring"], 1) - proration_date
                    seconds = min(cancel_at - proration_date, whole)
                amount, proration = prorated(amount, seconds, whole), True
                end = cancel_at
        lines.append(
            DraftLine(
                amount=amount,
                currency=subscription["currency"],
                description=description,
                start=start,
                end=end,
                quantity=item["quantity"],
                price=price,
                subscription=subscription["id"],
                item=item["id"],
                proration=proration,
                discounts=item["discounts"],
                metadata=subscription["metadata"],
            )
        )
    return lines


def start_of_whole(subscription: Document, price: Document, end: int) -> int:
    """Where the whole period that ends at `end` begins, also when it was cut short."""
    return last_boundary(subscription["billing_cycle_anchor"], price["recurring"], end)


def usage_lines(
    sandbox: Sandbox, subscription: Document, items: list[Document], start: int, end: int
) -> list[DraftLine]:
    """What was used of the metered items in start <= time < end."""
    lines = []
    for item in items:
        price = sandbox.get("price", item["price"])
        for used in usage_billing.metered_lines(sandbox, item, start, end):
            lines.append(
                DraftLine(
                    amount=used.amount,
                    currency=subscription["currency"],
                    description=used.description,
                    start=start,
                    end=end,
                    quantity=used.quantity,
                    quantity_decimal=used.quantity_decimal,
                    price=price,
                    unit_amount_decimal=used.unit_amount_decimal,
                    subscription=subscription["id"],
                    item=item["id"],
                    discounts=item["discounts"],
                    metadata=subscription["metadata"],
                )
            )
    return lines


def next_items(sandbox: Sandbox, subscription: Document, items: list[Document]) -> list[Document]:
    """Copies of the items, moved on to their next period."""
    moved = []
    for item in items:
        start = item["current_period_end"]
        recurring = sandbox.get("price", item["price"])["recurring"]
        end = next_boundary(subscription["billing_cycle_anchor"], recurring, start)
        moved.append({**item, "current_period_start": start, "current_period_end": end})
    return moved


def renewal_bill(
    sandbox: Sandbox,
    subscription: Document,
    items: list[Document],
    prorations: list[DraftLine] | None = None,
    *,
    preview: bool = False,
) -> tuple[Bill, list[Document]]:
    """The invoice at the end of the items' present period, and the items as they will be then.

    `prorations` are those of a change that is only previewed; real ones are pending invoice items by then.
    """
    customer = sandbox.get("customer", subscription["customer"])
    moved = next_items(sandbox, subscription, items)
    start = min(item["current_period_start"] for item in items)
    end = min(item["current_period_end"] for item in items)
    lines = invoicing.pending_items(sandbox, customer, subscription, subscription["currency"])
    lines += prorations or []
    lines += usage_lines(sandbox, subscription, items, start, end)
    lines += period_lines(sandbox, subscription, moved)
    due_at = end + sandbox.settings.finalize_after_seconds
    with sandbox.clock.at(end):  # a preview lives earlier: what holds then counts, such as discounts
        bill = invoicing.compose(
            sandbox,
            customer,
            lines,
            billing_reason="upcoming" if preview else "subscription_cycle",
            currency=subscription["currency"],
            subscription=subscription,
            period=(start, end),
            preview=preview,
            **({"next_payment_attempt": due_at} if preview else {}),
        )
    return bill, moved


def write_bill(sandbox: Sandbox, subscription: Document, bill: Bill) -> Document:
    """Make the bill a draft invoice and note at the items what was debited for which time."""
    invoice = invoicing.write(sandbox, bill)
    note_debits(sandbox, invoice)
    sandbox.change(subscription, changes={"latest_invoice": invoice["id"]})
    return invoice


def note_debits(sandbox: Sandbox, invoice: Document) -> None:
    """Note at the subscription's items what the invoice debits for which time."""
    for line in sandbox.store.find("line_item", {"invoice": invoice["id"]}):
        details = line["parent"]["subscription_item_details"]
        item = sandbox.store.get(details["subscription_item"]) if details else None
        if item is None or item.get("deleted") or line["amount"] < 0:
            continue
        net = line["amount"] - sum(taken["amount"] for taken in line["discount_amounts"])
        period, made = line["period"], {"invoice": invoice["id"], "line": line["id"]}
        if details["invoice_item"]:
            # A proration: it was noted when it was made, now it stands on an invoice.
            for debit in item["_debits"]:
                if debit["invoice_item"] == details["invoice_item"]:
                    debit.update(made)
            sandbox.store.save(item)
        elif "quantity" in item:  # usage is never given back
            debit = {"amount": net, "start": period["start"], "end": period["end"], "invoice_item": None}
            debit |= {**made, "price": item["price"], "quantity": item["quantity"]}
            kept = [old for old in item["_debits"] if old["end"] > period["start"]]
            sandbox.change(item, changes={"_debits": [*kept, debit]})


@dataclass
class FirstInvoice:
    """The first invoice with what it looked like on its way, for the events."""

    invoice: Document
    created: Snapshot
    finalized: Snapshot


def first_bill(
    sandbox: Sandbox, subscription: Document, items: list[Document], *, preview: bool = False
) -> Bill | None:
    """The invoice with which a subscription begins; None when it has no lines (usage is billed later)."""
    customer = sandbox.get("customer", subscription["customer"])
    lines = period_lines(sandbox, subscription, items, first=True)
    if subscription.get("_first_period_free"):
        lines = []
    if not lines:
        return None
    return invoicing.compose(
        sandbox,
        customer,
        [*invoicing.pending_items(sandbox, customer, None, subscription["currency"]), *lines],
        billing_reason="subscription_create",
        currency=subscription["currency"],
        subscription=subscription,
        preview=preview,
    )


def bill_first_period(sandbox: Sandbox, subscription: Document, *, apply_balance: bool = False) -> FirstInvoice | None:
    """Draft and finalize the first invoice, None where there is nothing to bill yet (only metered prices).
    Makes no events.

    Checkout has taken its payment before, so the customer's balance is left out unless `apply_balance`.
    """
    bill = first_bill(sandbox, subscription, items_of(sandbox, subscription))
    return None if bill is None else _finalize_first(sandbox, subscription, bill, apply_balance)


def _finalize_first(sandbox: Sandbox, subscription: Document, bill: Bill, apply_balance: bool) -> FirstInvoice:
    invoice = write_bill(sandbox, subscription, bill)
    created = sandbox.render(invoice)
    invoicing.finalize(sandbox, invoice, apply_balance=apply_balance)
    return FirstInvoice(invoice, created, sandbox.render(invoice))


def emit_first_invoice_paid(sandbox: Sandbox, first: FirstInvoice) -> None:
    sandbox.events.emit("invoice.created", first.created)
    sandbox.events.emit("invoice.finalized", first.finalized)
    invoicing.emit_paid(sandbox, first.invoice)


def remember_currency(sandbox: Sandbox, customer: Document, currency: str, **changes: Any) -> None:
    """The first subscription fixes the customer's currency: customer.updated."""
    sandbox.change(customer, "customer.updated", {"currency": currency, **changes})


def start_by_api(
    sandbox: Sandbox,
    customer: Document,
    lines: list[Line],
    *,
    payment_behavior: str,
    payment_method: Document | None,
    default_payment_method: str | None,
    metadata: dict[str, str],
    description: str | None,
    adjust: Callable[[Document], dict[str, Any]],
    **values: Any,
) -> Document:
    """POST /v1/subscriptions: create, invoice, and try to pay as payment_behavior says.

    `adjust` gives changes to the subscription before it is invoiced (cancel_at, discounts). Raises 402 under
    error_if_incomplete when the payment fails, and 400 when something is due and there is no card; the
    caller's transaction then leaves nothing behind.
    https://docs.stripe.com/api/subscriptions/create#create_subscription-payment_behavior
    """
    subscription = create(
        sandbox,
        customer,
        lines,
        status="active",
        default_payment_method=default_payment_method,
        metadata=metadata,
        description=description,
        **values,
    )
    sandbox.change(subscription, changes=adjust(subscription))
    plan_time(sandbox, subscription)
    bill = first_bill(sandbox, subscription, items_of(sandbox, subscription))
    first = _finalize_first(sandbox, subscription, bill, apply_balance=True) if bill else None
    if first is None or first.invoice["amount_due"] == 0:
        if first:
            invoicing.mark_paid(sandbox, first.invoice)
        remember_currency(sandbox, customer, subscription["currency"])
        sandbox.events.emit("customer.subscription.created", subscription)
        if first:
            emit_first_invoice_paid(sandbox, first)
        return subscription

    if payment_method is None and payment_behavior != "default_incomplete":
        raise no_payment_method()
    intent = invoicing.request_payment(sandbox, first.invoice)
    intent_created = sandbox.render(intent)
    attempt = None
    if payment_behavior != "default_incomplete" and payment_method is not None:
        attempt = payments.attempt(sandbox, intent, payment_method)
        if not attempt.paid and payment_behavior == "error_if_incomplete":
            raise refused(sandbox, attempt)

    if attempt and attempt.paid:
        invoicing.mark_paid(sandbox, first.invoice)
        sandbox.events.emit("charge.succeeded", attempt.charged)
        remember_currency(sandbox, customer, subscription["currency"])
        sandbox.events.emit("customer.subscription.created", subscription)
        sandbox.events.emit("payment_intent.created", intent_created)
        sandbox.events.emit("payment_intent.succeeded", intent)
        emit_first_invoice_paid(sandbox, first)
        return subscription

    sandbox.change(subscription, changes={"status": "incomplete"})
    remember_currency(sandbox, customer, subscription["currency"])
    sandbox.events.emit("customer.subscription.created", subscription)
    sandbox.events.emit("invoice.created", first.created)
    sandbox.events.emit("invoice.finalized", first.finalized)
    sandbox.events.emit("payment_intent.created", intent_created)
    if attempt:
        invoicing.note_failed_attempt(sandbox, first.invoice, attempt)
    sandbox.due_work.add(
        subscription["created"] + INCOMPLETE_HOURS * 3600,
        "subscription.incomplete_expires",
        subscription["id"],
    )
    return subscription


def refused(sandbox: Sandbox, attempt: payments.Attempt) -> Exception:
    """The 402 of error_if_incomplete: nothing that was tried remains."""
    error = attempt.error(sandbox)
    error.keeps_changes = False
    # These would name objects that the rollback takes away again.
    for member in ("charge", "payment_intent"):
        error.body.pop(member, None)
    return error


def period_end(sandbox: Sandbox, subscription: Document, pick: Any = max) -> int:
    items = sandbox.store.find("subscription_item", {"subscription": subscription["id"]})
    return pick(item["current_period_end"] for item in items)


def wished_end(sandbox: Sandbox, subscription: Document, wish: dict[str, Any]) -> int | None:
    """When a request's cancel_at or cancel_at_period_end lets it end; None: not by itself. Raises 400."""
    if wish.get("cancel_at") not in (None, "") and wish.get("cancel_at_period_end"):
        raise exclusive("cancel_at", "cancel_at_period_end")
    if wish.get("cancel_at_period_end") or wish.get("cancel_at") == "min_period_end":
        return period_end(sandbox, subscription, min)
    cancel_at = wish.get("cancel_at")
    if cancel_at in ("max_period_end", "max_billed_until"):
        # Every item here is billed until the end of its period.
        return period_end(sandbox, subscription, max)
    if isinstance(cancel_at, int) and cancel_at <= sandbox.clock.now():
        raise invalid("cancel_at must be a timestamp in the future.", "cancel_at")
    return cancel_at or None


def check_not_scheduled(subscription: Document, params: dict[str, Any]) -> None:
    """What a schedule leads is changed by the schedule."""
    led = ("items", "billing_cycle_anchor", "trial_end", "cancel_at", "cancel_at_period_end")
    asked = [name for name in led if name in params]
    if subscription["schedule"] and asked:
        what = "cancelation behavior" if asked[0].startswith("cancel") else f"`{asked[0]}`"
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and "
            f"updating any {what} directly is not allowed. Please update the schedule instead.",
            asked[0],
        )


def changes_of_end(sandbox: Sandbox, subscription: Document, wish: dict[str, Any]) -> dict[str, Any]:
    """The changes that a request's cancel_at and cancel_at_period_end ask for, to be saved by the caller."""
    cancel_at = wished_end(sandbox, subscription, wish)
    if cancel_at is not None:
        at_period_end = bool(wish.get("cancel_at_period_end"))
        if at_period_end and subscription["cancel_at_period_end"]:
            return {}
        return schedule_end(sandbox, subscription, cancel_at, at_period_end=at_period_end)
    undone = wish.get("cancel_at_period_end") is False and subscription["cancel_at_period_end"]
    if undone or (wish.get("cancel_at") == "" and subscription["cancel_at"] is not None):
        return keep(subscription)
    return {}


def schedule_end(sandbox: Sandbox, subscription: Document, cancel_at: int, at_period_end: bool) -> dict[str, Any]:
    """The changes that make it end at `cancel_at` (sequence 8), to be saved by the caller."""
    return {
        "cancel_at": cancel_at,
        "cancel_at_period_end": at_period_end,
        "canceled_at": sandbox.clock.now(),
        "cancellation_details": {**subscription["cancellation_details"], "reason": "cancellation_requested"},
    }


def keep(subscription: Document) -> dict[str, Any]:
    """The changes that undo `schedule_end` (sequence 9)."""
    return {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {**subscription["cancellation_details"], "reason": None},
    }


def cancel(
    sandbox: Sandbox,
    subscription: Document,
    details: dict[str, Any] | None = None,
    *,
    reason: str = "cancellation_requested",
) -> Document:
    """End it now (sequence 10): its open invoices are no longer collected."""
    now = sandbox.clock.now()
    incomplete = subscription["status"] == "incomplete"
    for invoice in sandbox.store.find(
        "invoice",
        {"parent.subscription_details.subscription": subscription["id"], "status": ["open", "draft"]},
    ):
        if incomplete:
            invoicing.void(sandbox, invoice)
        else:
            sandbox.change(invoice, "invoice.updated", {"auto_advance": False, "next_payment_attempt": None})
    schedule_id = subscription["schedule"]
    sandbox.change(
        subscription,
        changes={
            "status": "incomplete_expired" if incomplete else "canceled",
            "canceled_at": subscription["canceled_at"] or now,
            "ended_at": now,
            "pending_update": None,
            "cancellation_details": {
                **subscription["cancellation_details"],
                **(details or {}),
                "reason": subscription["cancellation_details"]["reason"] or reason,
            },
        },
    )
    plan_time(sandbox, subscription)
    sandbox.events.emit("customer.subscription.deleted", subscription)
    if schedule_id:
        schedule = sandbox.get("subscription_schedule", schedule_id)
        if schedule["status"] in ("active", "not_started"):
            changes = {"status": "canceled", "canceled_at": now, "current_phase": None}
            sandbox.change(schedule, changes=changes)
            sandbox.events.emit("subscription_schedule.canceled", schedule)
    return subscription


# ------------------------------------------------------------------------------ what time brings
# Same second: the end comes first, then a schedule's next phase, then the renewal.
@due("subscription.cancel_at", rank=0)
def _reach_cancel_at(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or subscription["status"] in ENDED:
        return
    # The end may have been moved or undone since: only the moment that still stands counts.
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= sandbox.clock.now():
        cancel(sandbox, subscription)
        bill_last_usage(sandbox, subscription)


def bill_last_usage(sandbox: Sandbox, subscription: Document) -> None:
    """An ended subscription's usage that was not yet billed, if there was any, on a last invoice."""
    bill = last_bill(sandbox, subscription, items_of(sandbox, subscription), sandbox.clock.now())
    if bill:
        draft(sandbox, subscription, bill)


def last_bill(
    sandbox: Sandbox,
    subscription: Document,
    items: list[Document],
    end: int,
    prorations: list[DraftLine] | None = None,
    *,
    preview: bool = False,
) -> Bill | None:
    """The invoice with which a subscription ends at `end`: its unbilled usage and what is pending; None where
    nothing was used."""
    start = min(item["current_period_start"] for item in items)
    lines = [line for line in usage_lines(sandbox, subscription, items, start, end) if line.amount]
    if not lines:
        return None
    customer = sandbox.get("customer", subscription["customer"])
    pending = invoicing.pending_items(sandbox, customer, subscription, subscription["currency"])
    with sandbox.clock.at(end):
        return invoicing.compose(
            sandbox,
            customer,
            [*pending, *(prorations or []), *lines],
            billing_reason="upcoming" if preview else "subscription_cycle",
            currency=subscription["currency"],
            subscription=subscription,
            period=(start, end),
            preview=preview,
        )


@due("subscription.incomplete_expires")
def _expire_incomplete(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or subscription["status"] != "incomplete":
        return
    sandbox.change(
        subscription,
        "customer.subscription.updated",
        {"status": "incomplete_expired", "ended_at": sandbox.clock.now()},
    )
    plan_time(sandbox, subscription)
    for invoice in sandbox.store.find(
        "invoice", {"parent.subscription_details.subscription": subscription_id, "status": "open"}
    ):
        invoicing.void(sandbox, invoice)


def renews(sandbox: Sandbox, subscription: Document) -> bool:
    """Whether the end of the present period begins another one."""
    if subscription["status"] in (*ENDED, "paused", "incomplete"):
        return False
    return goes_on(subscription, items_of(sandbox, subscription))


def goes_on(subscription: Document, items: list[Document]) -> bool:
    """Whether it is not to end before these items' present period does, or with it."""
    cancel_at = subscription["cancel_at"]
    return cancel_at is None or cancel_at > min(item["current_period_end"] for item in items)


@due("subscription.trial_will_end")
def _announce_trial_end(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription and subscription["status"] == "trialing":
        sandbox.events.emit("customer.subscription.trial_will_end", subscription)


@due("subscription.period_ends", rank=2)
def _reach_period_end(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or not renews(sandbox, subscription):
        return
    if period_end(sandbox, subscription, min) > sandbox.clock.now():
        return
    if subscription["status"] == "trialing" and not _card_after_trial(sandbox, subscription):
        behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if behavior == "cancel":
            cancel(sandbox, subscription)
            return
        if behavior == "pause":
            sandbox.change(subscription, "customer.subscription.updated", {"status": "paused"})
            plan_time(sandbox, subscription)
            sandbox.events.emit("customer.subscription.paused", subscription)
            return
    renew(sandbox, subscription)


def _card_after_trial(sandbox: Sandbox, subscription: Document) -> bool:
    customer = sandbox.get("customer", subscription["customer"])
    return chosen_payment_method(sandbox, customer, subscription) is not None


def renew(sandbox: Sandbox, subscription: Document) -> None:
    """Begin the next period and draft its invoice (sequence 4): Stripe finalizes it an hour later."""
    before = sandbox.render(subscription)
    bill, moved = renewal_bill(sandbox, subscription, items_of(sandbox, subscription))
    for item in moved:
        sandbox.store.save(item)
    invoice = write_bill(sandbox, subscription, bill)
    if subscription["status"] == "trialing":
        sandbox.change(subscription, changes={"status": "active"})
    plan_time(sandbox, subscription)
    sandbox.announce(subscription, "customer.subscription.updated", before)
    announce_draft(sandbox, subscription, invoice)


def draft(sandbox: Sandbox, subscription: Document, bill: Bill) -> Document:
    """Write the bill as a draft that is finalized later, and tell it."""
    invoice = write_bill(sandbox, subscription, bill)
    announce_draft(sandbox, subscription, invoice)
    return invoice


def announce_draft(sandbox: Sandbox, subscription: Document, invoice: Document) -> None:
    paused = subscription["pause_collection"] or {}
    if subscription["status"] == "unpaid" or paused.get("behavior") == "keep_as_draft":
        sandbox.change(invoice, changes={"auto_advance": False})
    else:
        at = sandbox.clock.now() + sandbox.settings.finalize_after_seconds
        sandbox.change(invoice, changes={"automatically_finalizes_at": at})
        sandbox.due_work.add(at, "invoice.finalizes", invoice["id"])
    event = sandbox.events.emit("invoice.created", invoice)
    sandbox.change(invoice, changes={"_created_event": event["id"]})


@due("invoice.finalizes")
def _finalize_draft(sandbox: Sandbox, invoice_id: str) -> None:
    """A draft's hour is over: finalize it and collect it."""
    invoice = sandbox.store.get(invoice_id)
    if invoice is None or invoice.get("deleted") or invoice["status"] != "draft":
        return
    if not invoice["auto_advance"]:
        return
    if _still_waits(sandbox, invoice):
        return
    subscription = collection.subscription_to(sandbox, invoice)
    if subscription:
        _take_in_late_usage(sandbox, subscription, invoice)
    invoicing.finalize(sandbox, invoice)
    sandbox.events.emit("invoice.finalized", invoice)
    paused = (subscription["pause_collection"] if subscription else None) or {}
    if invoice["amount_due"] == 0:  # paid as it is: there is nothing to give up
        collection.collect(sandbox, invoice)
    elif paused.get("behavior") == "void":
        invoicing.void(sandbox, invoice)
    elif paused.get("behavior") == "mark_uncollectible":
        invoicing.mark_uncollectible(sandbox, invoice)
    else:
        collection.collect(sandbox, invoice)


def _still_waits(sandbox: Sandbox, invoice: Document) -> bool:
    """Finalization waits for a 2xx to invoice.created, 72 hours at most; then look again an hour later.

    https://docs.stripe.com/billing/subscriptions/webhooks. An event that was not sent yet holds nothing up:
    Sandbox.advance_to sees to that, where somebody listens.
    """
    now, longest = sandbox.clock.now(), invoice["created"] + WAITS_FOR_WEBHOOK_HOURS * 3600
    if now >= longest or not sandbox.deliveries.refused(invoice.get("_created_event") or ""):
        return False
    again = min(now + sandbox.settings.finalize_after_seconds, longest)
    sandbox.change(invoice, changes={"automatically_finalizes_at": again})
    sandbox.due_work.add(again, "invoice.finalizes", invoice["id"])
    return True


def _take_in_late_usage(sandbox: Sandbox, subscription: Document, invoice: Document) -> None:
    """Usage of the ended period that was reported while the invoice was a draft."""
    start, end = invoice["period_start"], invoice["period_end"]
    fresh = usage_lines(sandbox, subscription, items_of(sandbox, subscription), start, end)
    if fresh:
        invoicing.replace_usage(sandbox, invoice, fresh)


@due("subscription.collection_resumes")
def _resume_collection(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    paused = subscription and subscription.get("pause_collection")
    if subscription and paused and (paused["resumes_at"] or 0) <= sandbox.clock.now():
        sandbox.change(subscription, "customer.subscription.updated", {"pause_collection": None})


def complete_resumption(sandbox: Sandbox, subscription: Document) -> None:
    """paused -> active: its resumption is paid, or costs nothing (sequence 9)."""
    sandbox.change(subscription, "customer.subscription.updated", {"status": "active"})
    plan_time(sandbox, subscription)
    sandbox.events.emit("customer.subscription.resumed", subscription)
