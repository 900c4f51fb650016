"""Stripe's present state -> UserPlan. The only writer of UserPlan.

A webhook, the way back from Checkout, our own calls and the reconcile all end here, so whatever comes twice, late, in
the wrong order or never leads to the same rows: each look writes what is true at Stripe when it looks.
"""

import contextlib
import logging
from datetime import UTC, datetime
from typing import Any

import stripe
from django.utils import timezone

from billing import stripe_gateway
from billing.customers import locked_account
from billing.models import BillingAccount, PlanPrice, UserPlan

logger = logging.getLogger(__name__)

# https://docs.stripe.com/api/subscriptions/object#subscription_object-status: those that are not over. `incomplete`
# ones never began: nothing was paid, nothing is served.
LIVE_STATUSES = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
NEVER_BEGAN = frozenset({"incomplete", "incomplete_expired"})


def sync_user(user_id: int) -> UserPlan | None:
    """Lock the user, ask Stripe, write what it says. Returns the live plan (None: there is none).

    Raises StripeUnavailable; then nothing was written.
    """
    with locked_account(user_id) as account:
        return sync_locked(account)


def sync_locked(account: BillingAccount) -> UserPlan | None:
    """sync_user for a caller that holds the lock (billing.customers.locked_account)."""
    if not account.stripe_customer_id:
        return None
    subscriptions = stripe_gateway.list_subscriptions(account.stripe_customer_id)
    subscriptions = _keep_the_newest_live_one(subscriptions)
    known = PlanPrice.objects.in_bulk(
        {_item(subscription)["price"]["id"] for subscription in subscriptions}, field_name="stripe_price_id"
    )
    # Ended ones first: the live row may only be written once the one before it has ceased to be live.
    live: UserPlan | None = None
    for subscription in sorted(subscriptions, key=lambda s: s["status"] in LIVE_STATUSES):
        price = known.get(_item(subscription)["price"]["id"])
        if price is None:
            logger.error("Subscription %s has a price that is not in our catalogue", subscription["id"])
            continue
        if subscription["status"] in NEVER_BEGAN:
            continue
        row, _ = UserPlan.objects.update_or_create(
            stripe_subscription_id=subscription["id"], defaults=_columns(account, price, subscription)
        )
        live = row if row.is_live else live
    return live


def _keep_the_newest_live_one(subscriptions: list[stripe.Subscription]) -> list[stripe.Subscription]:
    """When two purchases both completed, the newer wins; the older is refunded what it no longer serves, and ended."""
    # Stripe lists the newest first; its order also decides between two of the same second.
    live = [s for s in reversed(subscriptions) if s["status"] in LIVE_STATUSES]
    for older, newer in zip(live, live[1:], strict=False):
        logger.warning("Two live subscriptions: ending the older, %s", older["id"])
        # First the refund: were we to die in between, the next look would find the older one still live and go on.
        _refund_from(older, newer["created"])
        # Missing: it has ended meanwhile, as wanted.
        with contextlib.suppress(stripe_gateway.ResourceMissing):
            stripe_gateway.cancel_now(older["id"], comment="Replaced by a newer purchase")
    return stripe_gateway.list_subscriptions(live[0]["customer"]) if len(live) > 1 else subscriptions


def _refund_from(subscription: stripe.Subscription, moment: int) -> None:
    """Give back what was paid for the time from `moment` (Unix seconds) to the end of the paid period."""
    item = _item(subscription)
    start, end = item["current_period_start"], item["current_period_end"]
    paid = stripe_gateway.payment_of(subscription["latest_invoice"])
    if paid and start <= moment < end:
        # A fixed moment gives the same amount on every try, so that the idempotency key holds.
        unused = paid.amount_cents * (end - moment) // (end - start)
        if unused:
            stripe_gateway.refund(paid.payment_intent_id, unused, idempotency_key=f"replaced-{subscription['id']}")


def _item(subscription: stripe.Subscription) -> Any:
    # `subscription.items` is a method of the SDK's object, hence the brackets. We sell one item per subscription.
    return subscription["items"]["data"][0]


def _columns(account: BillingAccount, price: PlanPrice, subscription: stripe.Subscription) -> dict[str, Any]:
    item = _item(subscription)
    status = subscription["status"]
    period_start, period_end = _time(item["current_period_start"]), _time(item["current_period_end"])
    cancel_at = subscription["cancel_at"]
    if cancel_at is None and subscription["cancel_at_period_end"]:
        cancel_at = item["current_period_end"]
    is_live = status in LIVE_STATUSES
    return {
        "user_id": account.user_id,
        "plan_id": price.plan_id,
        "stripe_price_id": price.stripe_price_id,
        "duration_months": price.months,
        "amount_cents": price.amount_cents,
        "status": status,
        "is_live": is_live,
        "start_date": _time(subscription["start_date"]),
        "current_period_start": period_start,
        "current_period_end": period_end,
        "cancel_at": _time(cancel_at) if is_live else None,
        "ended_at": None if is_live else _time(subscription["ended_at"]) or timezone.now(),
        # What is overdue is the period that began without being paid.
        "past_due_since": period_start if status == "past_due" else None,
        "synced_at": timezone.now(),
    }


def _time(stamp: int | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)
