"""What an invoice will be: POST /v1/invoices/create_preview. https://docs.stripe.com/api/invoices/create_preview

Nothing is computed here: the plan of a change and the bill of a renewal are those that the change and the
renewal themselves use.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..store import Document
from . import invoicing, subscription_changes, subscription_schedules, subscriptions
from .invoicing import Bill

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_CHANGES = ("items", "billing_cycle_anchor", "trial_end")


def none_upcoming(customer: str) -> Exception:
    return invalid(f"No upcoming invoices for customer: '{customer}'", code="invoice_upcoming_none", status=404)


def of_subscription(sandbox: Sandbox, subscription: Document, wish: dict[str, Any]) -> Bill:
    """The next invoice of a subscription, or the one that a change would make now. Raises 404 for none."""
    nothing = none_upcoming(subscription["customer"])
    if subscription["status"] in subscriptions.ENDED:
        raise nothing
    if wish.get("cancel_now"):
        prorate = wish.get("proration_behavior") != "none"
        made = subscription_changes.plan_cancel(sandbox, subscription, prorate=prorate, invoice_now=True)
        bill = made.bill(sandbox, subscription, preview=True)
        if bill is None:
            raise nothing
        return bill
    after = subscription
    if any(key in wish for key in ("cancel_at", "cancel_at_period_end")):
        at = subscriptions.wished_end(sandbox, subscription, wish)
        made = subscription_changes.plan_end(sandbox, subscription, at, wish)
        after = {**subscription, "cancel_at": at}
    elif any(wish.get(key) for key in _CHANGES):
        subscriptions.check_not_scheduled(subscription, wish)
        made = subscription_changes.plan(sandbox, subscription, wish)
        after = {**subscription, **made.changes}
    else:
        items = copy.deepcopy(subscriptions.items_of(sandbox, subscription))
        if subscription["schedule"]:
            items, changes = subscription_schedules.at_period_end(sandbox, subscription, items)
            after = {**subscription, **changes}
        made = subscription_changes.Plan(items)
    if made.invoice_now and (bill := made.bill(sandbox, subscription, preview=True)):
        return bill
    end = min(item["current_period_end"] for item in made.items)
    ends = after["cancel_at"] is not None and after["cancel_at"] <= end
    if ends or subscription["status"] in ("paused", "incomplete"):
        raise nothing
    return subscriptions.renewal_bill(sandbox, after, made.items, made.prorations, preview=True)[0]


def of_new_subscription(
    sandbox: Sandbox, customer: Document, lines: list[subscriptions.Line], details: dict[str, Any]
) -> Bill:
    """The first invoice of a subscription that is not there yet."""
    subscriptions.check_lines(lines)
    draft, items = subscriptions.unwritten(sandbox, customer, lines, **details)
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
