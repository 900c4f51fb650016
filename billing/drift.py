"""Where our rows and Stripe can say different things: one check for each kind of thing, which heals what it can.

Stripe is right about subscriptions, we are right about what a published plan is. What cannot be healed by a rule is
told with its reason, for a person to decide. billing/reconcile.py walks through everything with these.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import stripe
from django.contrib.auth import get_user_model
from djstripe.models import WebhookEventTrigger
from djstripe.settings import djstripe_settings

from billing import catalog, stripe_gateway, webhooks
from billing.closing import close_billing
from billing.customers import let_go, locked_account
from billing.errors import StripeUnavailable
from billing.models import BillingAccount, Plan, PlanPrice, UserPlan
from billing.pricing import interval_of, price_cents
from billing.sync import LIVE_STATUSES, end_rows_without_subscription, expected_rows, sync_locked

logger = logging.getLogger(__name__)

# Word -> what staff read.
KINDS = {
    "row_differs": "Our row said something else than Stripe",
    "row_without_subscription": "Stripe knows no such subscription",
    "unknown_price": "A subscription has a price that is not in our catalogue",
    "two_live": "Two live subscriptions at once",
    "customer_deleted": "The customer was deleted at Stripe",
    "customer_missing": "There is no such customer at Stripe",
    "closed_account_pays": "A closed account had a live subscription",
    "inactive_user_pays": "Somebody who is switched off pays",
    "nobodys_subscription": "A live subscription of a customer who is nobody's here",
    "product_differs": "A plan's product is not at Stripe what it is here",
    "product_missing": "A plan's product is missing at Stripe",
    "price_missing": "A plan's price is missing at Stripe",
    "price_inactive": "A price that we sell is inactive at Stripe",
    "price_differs": "A price is not at Stripe what it is here",
    "usage_missing": "Stripe's meter lacks AI tokens that were used",
    "usage_too_old": "AI tokens that Stripe was not told of in time",
    "usage_too_much": "Stripe's meter has more AI tokens than were used",
    "usage_on_bill_differs": "A bill asks for AI tokens another sum than was used",
    "metered_item_missing": "Nothing bills the AI tokens of a subscription",
    "event_unprocessed": "An event of Stripe's was not processed",
    "not_checked": "Could not be checked",
}
# What a look changes although nothing happened.
NOT_COMPARED = {"id", "synced_at", "user_id"}


@dataclass(frozen=True)
class Found:
    """kind: a key of KINDS. subject: Stripe's id or ours. changes: {field: [before, after]}, ready for JSON."""

    kind: str
    subject: str
    reason: str = ""
    changes: dict[str, list[Any]] = field(default_factory=dict)
    user_id: int | None = None
    is_healed: bool = False


def in_words(changes: dict[str, list[Any]]) -> str:
    """ "status: past_due → active; open invoice cents: 2900 → none" """
    return "; ".join(
        f"{name.removesuffix('_id').replace('_', ' ')}: {_word(before)} → {_word(after)}"
        for name, (before, after) in changes.items()
    )


def _word(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


# --- a user -----------------------------------------------------------------------------------------------------------


def check_user(account: BillingAccount, *, heal: bool) -> list[Found]:
    """Compare a user's rows with Stripe. For a caller that holds the lock; about six calls.

    heal: else nothing is changed, here or at Stripe. Raises StripeUnavailable, and what else goes wrong.
    """
    customer_id, user_id = account.stripe_customer_id, account.user_id
    if not customer_id:
        return []
    try:
        subscriptions = stripe_gateway.list_subscriptions(customer_id)
        if subscriptions:
            customer = subscriptions[0]["customer"]
            is_deleted = "deleted" in customer and bool(customer["deleted"])
        else:
            is_deleted = stripe_gateway.customer_is_deleted(customer_id)
    except stripe_gateway.ResourceMissing:
        # No proof of anything: perhaps these are the keys of another account. Nothing is touched.
        reason = f"{customer_id} is unknown there. Is this the right key? If so: a person has to look."
        return [Found("customer_missing", customer_id, reason, user_id=user_id)]

    live = [s for s in subscriptions if s["status"] in LIVE_STATUSES]
    found = list(_unknown_prices(live, user_id, heal=heal))
    found += _pays_without_a_log_in(account, live, heal=heal)
    if len(live) > 1:
        reason = "The newer stays; the older is ended and refunded what it no longer serves."
        found.append(Found("two_live", live[-1]["id"], reason, user_id=user_id, is_healed=heal))
    found += _rows(account, {s["id"] for s in subscriptions}, heal=heal)
    if is_deleted:
        found.append(_let_go(account, heal=heal))
    return found


def _rows(account: BillingAccount, known: set[str], *, heal: bool) -> Iterable[Found]:
    before = _by_subscription(UserPlan.objects.filter(user_id=account.user_id).values())
    if heal:
        # First those that Stripe does not know: a live one would stand in the way of the true one.
        end_rows_without_subscription(account, known)
        sync_locked(account, disputes=True)
        after = _by_subscription(UserPlan.objects.filter(user_id=account.user_id).values())
    else:
        after = before | {
            id: before.get(id, {}) | _presented({**columns, "stripe_subscription_id": id})
            for id, columns in expected_rows(account).items()
        }
    for id, row in after.items():
        was = before.get(id, {})
        changes = {name: [was.get(name), now] for name, now in row.items() if was.get(name) != now}
        if id not in known and was.get("is_live"):
            reason = "The row was ended: it stood for nothing." if heal else "The row stands for nothing."
            yield Found("row_without_subscription", id, reason, changes, account.user_id, is_healed=heal)
        elif changes:
            reason = "" if was else "We had no row of it."
            yield Found("row_differs", id, reason, changes, account.user_id, is_healed=heal)


def _by_subscription(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["stripe_subscription_id"]: _presented(row) for row in rows}


def _presented(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it and staff can read it."""
    return {
        name: value.isoformat() if isinstance(value, (date, datetime)) else value
        for name, value in row.items()
        if name not in NOT_COMPARED
    }


def _unknown_prices(live: list[stripe.Subscription], user_id: int, *, heal: bool) -> Iterable[Found]:
    for subscription in live:
        prices = [item["price"] for item in subscription["items"]["data"]]
        licensed = [price for price in prices if price["recurring"]["usage_type"] == "licensed"]
        price = (licensed or prices)[0]
        if PlanPrice.objects.filter(stripe_price_id=price["id"]).exists():
            continue
        plan = Plan.objects.filter(stripe_product_id=price["product"]).exclude(stripe_product_id="").first()
        if plan is None:
            reason = f"{price['id']} is of {price['product']}, which is no plan of ours. They pay and are not served."
            yield Found("unknown_price", subscription["id"], reason, user_id=user_id)
            continue
        adopted = catalog.adopt_price(plan, price) if heal else None
        reason = (
            f"{price['id']} is a price of {plan.name}: we know it again."
            if adopted or not heal
            else f"{price['id']} is a price of {plan.name} that we cannot express. They pay and are not served."
        )
        yield Found("unknown_price", subscription["id"], reason, user_id=user_id, is_healed=adopted is not None)


def _pays_without_a_log_in(account: BillingAccount, live: list[stripe.Subscription], *, heal: bool) -> Iterable[Found]:
    if account.closed_at and live:
        if heal:
            close_billing(account)
        reason = "Ended, as everything was when the account was closed. Look whether something is to be refunded."
        yield Found("closed_account_pays", live[0]["id"], reason, user_id=account.user_id, is_healed=heal)
    elif live and not account.user.is_active:
        paid = [s["id"] for s in live if any(item["price"]["unit_amount"] for item in s["items"]["data"])]
        if paid:
            reason = "They cannot log in, and are charged at the next renewal. Cancel the plan or switch them on."
            yield Found("inactive_user_pays", paid[0], reason, user_id=account.user_id)


def _let_go(account: BillingAccount, *, heal: bool) -> Found:
    customer_id = account.stripe_customer_id
    assert customer_id
    if heal:
        let_go(account)
    reason = "Its subscriptions ended with it. The next purchase makes a new customer."
    return Found("customer_deleted", customer_id, reason, user_id=account.user_id, is_healed=heal)


# --- subscriptions at Stripe ------------------------------------------------------------------------------------------


def check_subscriptions(subscriptions: Iterable[stripe.Subscription], *, heal: bool) -> list[Found]:
    """Of a page of Stripe's list: live ones whose customer is nobody's here. Nothing in it may be locked."""
    live = [s for s in subscriptions if s["status"] in LIVE_STATUSES]
    ours = set(
        BillingAccount.objects.filter(stripe_customer_id__in={s["customer"]["id"] for s in live}).values_list(
            "stripe_customer_id", flat=True
        )
    )
    return [_nobodys(s, heal=heal) for s in live if s["customer"]["id"] not in ours]


def _nobodys(subscription: stripe.Subscription, *, heal: bool) -> Found:
    """Whose customer it is stands in its metadata (we wrote it there) and must be confirmed by the address."""
    customer = subscription["customer"]
    found = Found("nobodys_subscription", subscription["id"], f"{customer['id']} belongs to nobody here.")
    key = djstripe_settings.SUBSCRIBER_CUSTOMER_KEY
    # A deleted customer has no metadata.
    said = customer["metadata"][key] if "metadata" in customer and key in customer["metadata"] else ""
    user = get_user_model().objects.filter(pk=said).first() if said.isdecimal() and len(said) < 19 else None
    if user is None:
        return replace(found, reason=found.reason + " Was it made by hand? Cancel it at Stripe, or find out for whom.")
    if user.get_username() != customer["email"]:
        return replace(
            found, user_id=user.pk, reason=found.reason + f" It names user {user.pk}, whose address is another."
        )
    if not heal:
        return replace(found, user_id=user.pk, reason=f"{customer['id']} was forgotten, and would be known again.")
    with locked_account(user.pk) as account:
        if account.stripe_customer_id:
            reason = f"It names user {user.pk}, who has another customer, {account.stripe_customer_id}. They pay twice."
            return replace(found, user_id=user.pk, reason=reason)
        if account.closed_at:
            return replace(found, user_id=user.pk, reason="Its account is closed. Cancel it at Stripe.")
        account.stripe_customer_id = customer["id"]
        account.save(update_fields=["stripe_customer_id"])
        sync_locked(account)
    return replace(found, user_id=user.pk, reason=f"{customer['id']} was forgotten: known again.", is_healed=True)


# --- a plan -----------------------------------------------------------------------------------------------------------


def check_plan(plan: Plan, *, heal: bool) -> list[Found]:
    """Its product and prices at Stripe. Only what is on sale is put right there; nobody buys the others. Two calls."""
    if not plan.stripe_product_id:
        return []
    on_sale = plan.state == Plan.State.PUBLISHED
    try:
        product = stripe_gateway.retrieve_product(plan.stripe_product_id)
        prices = {price["id"]: price for price in stripe_gateway.list_prices(plan.stripe_product_id)}
    except stripe_gateway.ResourceMissing:
        reason = f"{plan.name}: nobody can buy it. Archive it, and make a new plan."
        return [Found("product_missing", plan.stripe_product_id, reason)]
    found = []
    wanted = {"name": plan.name, "description": plan.description, "active": True}
    changes = {key: [product[key], value] for key, value in wanted.items() if (product[key] or "") != value}
    if on_sale and changes:
        if heal:
            stripe_gateway.update_product(
                plan.stripe_product_id, name=plan.name, description=plan.description, active=True
            )
        found.append(Found("product_differs", plan.stripe_product_id, plan.name, changes, is_healed=heal))
    for row in plan.prices.all():
        found += _price(plan, row, prices.get(row.stripe_price_id), heal=heal)
    return found


def _price(plan: Plan, row: PlanPrice, price: stripe.Price | None, *, heal: bool) -> Iterable[Found]:
    if price is None:
        yield Found("price_missing", row.stripe_price_id, f"{row}: at Stripe it is none of {plan.stripe_product_id}.")
        return
    interval, count = interval_of(row.months)
    recurring = price["recurring"]
    is_so = {
        "unit_amount": price["unit_amount"],
        "currency": price["currency"],
        "interval": recurring and recurring["interval"],
        "interval_count": recurring and recurring["interval_count"],
    }
    here = {"unit_amount": row.amount_cents, "currency": "usd", "interval": interval, "interval_count": count}
    if changes := {key: [here[key], is_so[key]] for key in here if here[key] != is_so[key]}:
        reason = f"{row}: Stripe changes no price. Ours was changed by hand, or it is another's."
        yield Found("price_differs", row.stripe_price_id, reason, changes)
    is_sold = plan.state == Plan.State.PUBLISHED and row.amount_cents == price_cents(plan, row.months)
    if is_sold and not price["active"]:
        if heal:
            stripe_gateway.activate_price(row.stripe_price_id)
        yield Found("price_inactive", row.stripe_price_id, f"{row} is on sale.", is_healed=heal)


# --- an event ---------------------------------------------------------------------------------------------------------


def check_trigger(trigger: WebhookEventTrigger, *, heal: bool) -> list[Found]:
    """A stored event that is not processed: process it, or say why not."""
    kind, event_id = trigger.json_body.get("type", "?"), trigger.json_body.get("id", f"trigger {trigger.pk}")
    why = trigger.exception or "nobody has tried"
    if heal:
        try:
            webhooks.process(trigger.pk)
            return [Found("event_unprocessed", event_id, f"{kind}: {why}. It is now.", is_healed=True)]
        except StripeUnavailable:
            raise
        except Exception as exc:
            logger.exception("The event of trigger %s cannot be processed", trigger.pk)
            why = type(exc).__name__
    return [Found("event_unprocessed", event_id, f"{kind}: {why} (trigger {trigger.pk}).")]
