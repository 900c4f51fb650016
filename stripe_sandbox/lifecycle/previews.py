"""What an invoice will be: POST /v1/invoices/create_preview. https://docs.stripe.com/api/invoices/create_preview

Nothing is computed here: the plan of a change and the bill of a renewal are those that the change and the
renewal themselves use.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..due_work import due
from ..errors import StripeError, invalid
from ..store import Document
from . import invoicing, subscription_changes, subscription_schedules, subscriptions
from .invoicing import Bill

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def none_upcoming(customer: str) -> Exception:
    return invalid(f"No upcoming invoices for customer: '{customer}'", code="invoice_upcoming_none", status=404)


def of_subscription(
    sandbox: Sandbox, subscription: Document, wish: dict[str, Any], held: list[Document] | None = None
) -> Bill:
    """The next invoice of a subscription, or the one that a change would make now. Raises 404 for none.

    `held` are discounts (see discounts.preview) that take the place of its own.
    """
    _check_goes_on(subscription)
    if held is not None:
        subscription = {**subscription, "discounts": held}
    if wish.get("cancel_now"):
        prorate = wish.get("proration_behavior") != "none"
        made = subscription_changes.plan_cancel(sandbox, subscription, prorate=prorate, invoice_now=True)
        bill = made.bill(sandbox, subscription, preview=True)
        if bill is None:
            raise none_upcoming(subscription["customer"])
        return bill
    subscriptions.check_not_scheduled(subscription, wish)
    ending = subscriptions.changes_of_end(sandbox, subscription, wish)
    if subscription_changes.is_change(wish):
        made = subscription_changes.plan(sandbox, {**subscription, **ending}, wish)
    elif "cancel_at" in ending:
        made = subscription_changes.plan_end(sandbox, subscription, ending["cancel_at"], wish)
    else:
        made = subscription_changes.Plan(copy.deepcopy(subscriptions.items_of(sandbox, subscription)))
    schedule = sandbox.get("subscription_schedule", subscription["schedule"]) if subscription["schedule"] else None
    return _next_bill(sandbox, subscription, made, ending, schedule)


def of_schedule(sandbox: Sandbox, schedule: Document, wish: dict[str, Any]) -> Bill:
    """The next invoice of the subscription that a schedule leads, or would lead after a change of its phases."""
    if schedule["status"] != "active":
        raise none_upcoming(schedule["customer"])
    subscription = sandbox.get("subscription", schedule["subscription"])
    _check_goes_on(subscription)
    after = {**schedule, **{key: wish[key] for key in ("end_behavior",) if key in wish}}
    made = None
    if "phases" in wish:
        after |= subscription_schedules.rephased(sandbox, schedule, wish["phases"])
        phase = subscription_schedules.current_phase(after)
        behavior = wish.get("proration_behavior", "create_prorations")
        made = subscription_schedules.plan_phase(sandbox, subscription, phase, behavior)
    if made is None:
        made = subscription_changes.Plan(copy.deepcopy(subscriptions.items_of(sandbox, subscription)))
    return _next_bill(sandbox, subscription, made, {}, after)


def _check_goes_on(subscription: Document) -> None:
    if subscription["status"] in subscriptions.ENDED:
        raise none_upcoming(subscription["customer"])


def _next_bill(
    sandbox: Sandbox,
    subscription: Document,
    made: subscription_changes.Plan,
    changes: dict[str, Any],
    schedule: Document | None,
) -> Bill:
    """The invoice that the plan makes at once, else that of the end of the period in which it leaves things."""
    made.changes |= changes
    if made.invoice_now and (bill := made.bill(sandbox, subscription, preview=True)):
        return bill
    after, items = {**subscription, **made.changes}, made.items
    if after["status"] in ("paused", "incomplete"):
        raise none_upcoming(subscription["customer"])
    if schedule and subscriptions.goes_on(after, items):
        items, at_end = subscription_schedules.at_period_end(sandbox, schedule, after, items)
        after |= at_end
    if not subscriptions.goes_on(after, items):
        last = subscriptions.last_bill(sandbox, after, items, after["cancel_at"], made.prorations, preview=True)
        if last is None:
            raise none_upcoming(subscription["customer"])
        return last
    return subscriptions.renewal_bill(sandbox, after, items, made.prorations, preview=True)[0]


def of_new_subscription(
    sandbox: Sandbox,
    customer: Document,
    lines: list[subscriptions.Line],
    details: dict[str, Any],
    held: list[Document] | None = None,
) -> Bill:
    """The first invoice of a subscription that is not there yet; `held` are its discounts."""
    subscriptions.check_lines(lines)
    subscriptions.check_currency(customer, lines[0].price["currency"])
    draft, items = subscriptions.unwritten(sandbox, customer, lines, discounts=held or [], **details)
    bill = subscriptions.first_bill(sandbox, draft, items, preview=True)
    if bill is None:
        raise none_upcoming(customer["id"])
    # There is no subscription yet that anything could refer to.
    bill.invoice["parent"] = None
    for line in bill.lines:
        line["subscription"] = None
        if line["parent"]["subscription_item_details"]:
            line["parent"]["subscription_item_details"]["subscription"] = None
    return bill


def of_pending_items(sandbox: Sandbox, customer: Document) -> Bill:
    """What waits for the customer's next invoice, without a subscription."""
    currency = customer["currency"]
    lines = invoicing.pending_items(sandbox, customer, None, currency) if currency else []
    if not lines:
        raise none_upcoming(customer["id"])
    return invoicing.compose(sandbox, customer, lines, billing_reason="upcoming", currency=currency, preview=True)


@due("subscription.upcoming")
def _announce_upcoming(sandbox: Sandbox, subscription_id: str) -> None:
    """invoice.upcoming: the invoice as it would be; it has no id (sequence 4)."""
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or not subscriptions.renews(sandbox, subscription):
        return
    try:
        shown = of_subscription(sandbox, subscription, {}).shown()
    except StripeError:  # its schedule lets it end, or changes it before
        return
    del shown["id"]
    sandbox.events.emit("invoice.upcoming", shown)
