"""Stripe's present state -> UserPlan. The only writer of UserPlan.

A webhook, the way back from Checkout, our own calls and the reconcile all end here, so whatever comes twice, late, in
the wrong order or never leads to the same rows: each look writes what is true at Stripe when it looks.
"""

import contextlib
import logging
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import stripe
from django.db import transaction
from django.utils import timezone

from billing import disputes as disputes_of_plan
from billing import notices, stripe_gateway
from billing.customers import locked_account
from billing.disputed_credit import settle_credit
from billing.ending import end_now, end_replaced, forgive, give_back_what_came_too_late
from billing.metered import usage_cents
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.trials import CARD_HAD_ONE, claim_card

logger = logging.getLogger(__name__)

# https://docs.stripe.com/api/subscriptions/object#subscription_object-status: those that are not over. `incomplete`
# ones never began: nothing was paid, nothing is served.
LIVE_STATUSES = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
NEVER_BEGAN = frozenset({"incomplete", "incomplete_expired"})
# A plan that follows another within this time goes on in its monthly windows: ending a plan and taking it again must
# not empty the counters.
SAME_WINDOWS_WITHIN = timedelta(days=31)
# In a subscription's metadata: who got it by hand, and why. See billing/grants.py.
GRANT_REASON = "grant_reason"
# The comment in a grant that had gone on beyond its end.
GRANT_OVER = "A plan given by staff has ended"


def sync_user(user_id: int, *, disputes: bool = False) -> UserPlan | None:
    """Lock the user, ask Stripe, write what it says. Returns the live plan (None: there is none).

    disputes: also look at what the bank took back, which costs more calls (see sync_locked). Raises
    StripeUnavailable; then nothing was written.
    """
    with locked_account(user_id) as account:
        return sync_locked(account, disputes=disputes)


def sync_locked(account: BillingAccount, *, disputes: bool = False) -> UserPlan | None:
    """sync_user for a caller that holds the lock (billing.customers.locked_account).

    One call to Stripe, and a second where a bill is overdue or the next one is not simply the price. Disputes are
    looked at when an event tells of one, and by the reconcile; in between a row keeps what was seen.
    """
    if not account.stripe_customer_id:
        return None
    subscriptions = stripe_gateway.list_subscriptions(account.stripe_customer_id)
    subscriptions = _note_trial(account, subscriptions)
    subscriptions = _keep_the_newest_live_one(subscriptions)
    subscriptions = _keep_the_end_of_grants(subscriptions)
    disputed_since: dict[str, int | None] = {}
    if disputes:
        settle_credit(account.stripe_customer_id)
    if disputes and (live_one := next((s for s in subscriptions if s["status"] in LIVE_STATUSES), None)):
        disputed_since[live_one["id"]] = disputes_of_plan.disputed_since(account.stripe_customer_id, live_one)
        # A lost one has ended it.
        subscriptions = stripe_gateway.list_subscriptions(account.stripe_customer_id)
    _release_spent_schedules(subscriptions)
    _forgive_bills_of_the_ended(subscriptions)
    live: UserPlan | None = None
    seen: list[notices.Seen] = []
    # The rows and the mails about them, both or neither: the lock's transaction keeps what was written before Stripe
    # went out of reach, and a row that is up to date would hide from the next look what has happened.
    with transaction.atomic():
        for look, columns in _rows(account, subscriptions, disputed_since):
            subscription_id = look.subscription["id"]
            row, _ = UserPlan.objects.update_or_create(stripe_subscription_id=subscription_id, defaults=columns)
            live = row if row.is_live else live
            seen.append(notices.Seen(look.known, row, look.subscription))
        notices.note(account, seen)
    if disputes:
        notices.note_money(account)
    return live


def expected_rows(account: BillingAccount) -> dict[str, dict[str, Any]]:
    """{subscription id: the columns that sync_locked would write}, with disputes looked at. Changes nothing, here or
    at Stripe: of two live ones only the newer is told, a lost dispute is told as one that takes its money back."""
    if not account.stripe_customer_id:
        return {}
    subscriptions = stripe_gateway.list_subscriptions(account.stripe_customer_id)
    live = [s for s in subscriptions if s["status"] in LIVE_STATUSES]
    disputed_since = {
        s["id"]: disputes_of_plan.look(account.stripe_customer_id, s["id"]).since or None for s in live[:1]
    }
    replaced = {s["id"] for s in live[1:]}
    for subscription in filter(_has_lost_its_end, live):
        subscription["cancel_at"] = subscription["trial_end"]
    rows = _rows(account, [s for s in subscriptions if s["id"] not in replaced], disputed_since)
    return {look.subscription["id"]: columns for look, columns in rows}


def end_rows_without_subscription(account: BillingAccount, known: set[str]) -> None:
    """Rows that say "live" about a subscription that Stripe does not list for this customer stand for nothing.

    known: the ids of all that it lists. For the reconcile, which has made sure that it asks the right Stripe.
    """
    phantoms = UserPlan.objects.live().filter(user_id=account.user_id).exclude(stripe_subscription_id__in=known)
    phantoms.update(is_live=False, status="canceled", ended_at=timezone.now(), cancel_at=None, disputed_since=None)


def _rows(
    account: BillingAccount, subscriptions: list[stripe.Subscription], disputed_since: dict[str, int | None]
) -> Iterator[tuple["_Look", dict[str, Any]]]:
    """(look, columns) of each that began. Ended ones first: the live row may only be written once the one before it
    has ceased to be live."""
    for look in sorted(_looks(account, subscriptions), key=lambda look: look.is_live):
        subscription_id, columns = look.subscription["id"], _columns(account, look)
        if not look.is_live:
            columns["disputed_since"] = None
        elif subscription_id in disputed_since:
            columns["disputed_since"] = _time(disputed_since[subscription_id])
        yield look, columns


@dataclass
class _Look:
    """A subscription as it is now, with what our rows add to it."""

    subscription: stripe.Subscription
    price: PlanPrice
    prices: dict[str, PlanPrice]  # by Stripe's id, also of what it changes to
    known: UserPlan | None
    usage_anchored_at: datetime | None

    @property
    def item(self) -> Any:
        return _item(self.subscription)

    @property
    def is_live(self) -> bool:
        return self.subscription["status"] in LIVE_STATUSES


def _looks(account: BillingAccount, subscriptions: list[stripe.Subscription]) -> list[_Look]:
    """Those that began, of plans that we know, oldest first."""
    begun = [s for s in reversed(subscriptions) if s["status"] not in NEVER_BEGAN]
    wanted = {price_id for s in begun for price_id in _price_ids(s)}
    prices = PlanPrice.objects.in_bulk(wanted, field_name="stripe_price_id")
    rows = UserPlan.objects.in_bulk([s["id"] for s in begun], field_name="stripe_subscription_id")
    looks: list[_Look] = []
    for subscription in begun:
        price = prices.get(_item(subscription)["price"]["id"])
        if price is None:
            logger.error("Subscription %s has a price that is not in our catalogue", subscription["id"])
            continue
        anchor = _carried_anchor(looks[-1], subscription) if looks else None
        looks.append(_Look(subscription, price, prices, rows.get(subscription["id"]), anchor))
    return looks


def _carried_anchor(before: _Look, subscription: stripe.Subscription) -> datetime | None:
    """The anchor of the plan before, where this one follows it closely; None: its own start."""
    began, ended = _time(subscription["start_date"]), _time(before.subscription["ended_at"])
    assert began
    if ended is not None and began - ended > SAME_WINDOWS_WITHIN:
        return None
    return before.usage_anchored_at or _time(before.subscription["start_date"])


def _note_trial(account: BillingAccount, subscriptions: list[stripe.Subscription]) -> list[stripe.Subscription]:
    """Remember a person's one trial, whatever becomes of the subscription; end it at once where its card has had its
    own with another account. Before anything else: the free plan beside it then stays."""
    if account.trial_started_at is not None:
        return subscriptions
    trials = [s for s in subscriptions if s["trial_start"] and not _metadata(s, GRANT_REASON)]
    if not trials:
        return subscriptions
    running = [s for s in trials if s["status"] == "trialing"]
    refused = [s for s in running if not claim_card(account, _fingerprint(s))]
    for subscription in refused:
        logger.warning("The card of the trial %s has had one with another account", subscription["id"])
        end_now(subscription["id"], comment=CARD_HAD_ONE)
    account.trial_started_at = _time(min(s["trial_start"] for s in trials))
    account.save(update_fields=["trial_started_at"])
    return stripe_gateway.list_subscriptions(refused[0]["customer"]["id"]) if refused else subscriptions


def _release_spent_schedules(subscriptions: list[stripe.Subscription]) -> None:
    """A schedule that has done its change, or never got one, only stands in the way of the next: Stripe lets nothing
    be changed beside it."""
    for subscription in subscriptions:
        schedule = subscription["schedule"]
        if schedule and schedule["status"] == "active" and _next_phase(subscription) is None:
            # Refused: it has ended by itself meanwhile.
            with contextlib.suppress(stripe_gateway.StripeRefused):
                stripe_gateway.release_schedule(schedule["id"])
            subscription["schedule"] = None


def _forgive_bills_of_the_ended(subscriptions: list[stripe.Subscription]) -> None:
    """Stripe ended a plan whose bill was not paid: what it asks for a period that is not served is forgiven, and given
    back where somebody has paid it since."""
    for subscription in subscriptions:
        invoice = subscription["latest_invoice"]
        if subscription["status"] in LIVE_STATUSES | NEVER_BEGAN or not invoice:
            continue
        if invoice["status"] == "open":
            forgive(invoice)
        else:
            give_back_what_came_too_late(subscription)


def _keep_the_newest_live_one(subscriptions: list[stripe.Subscription]) -> list[stripe.Subscription]:
    """When two purchases both completed, the newer wins; the older is refunded what it no longer serves, and ended."""
    # Stripe lists the newest first; its order also decides between two of the same second.
    live = [s for s in reversed(subscriptions) if s["status"] in LIVE_STATUSES]
    for older, newer in zip(live, live[1:], strict=False):
        logger.warning("Two live subscriptions: ending the older, %s", older["id"])
        end_replaced(older, since=newer["created"])
    return stripe_gateway.list_subscriptions(live[0]["customer"]["id"]) if len(live) > 1 else subscriptions


def _keep_the_end_of_grants(subscriptions: list[stripe.Subscription]) -> list[stripe.Subscription]:
    """What staff gave ends when they said, though "don't cancel" in Stripe's portal takes its end away: the end is put
    back, and what has gone on beyond it is over, unpaid or refunded."""
    live = [s for s in subscriptions if s["status"] in LIVE_STATUSES and _has_lost_its_end(s)]
    for subscription in live:
        end = subscription["trial_end"]
        logger.warning("The grant %s has lost its end", subscription["id"])
        if subscription["status"] == "trialing":
            # Refused: its trial has ended this moment, and the next look ends it.
            with contextlib.suppress(stripe_gateway.StripeRefused):
                stripe_gateway.move_trial_end(subscription["id"], datetime.fromtimestamp(end, UTC))
        else:
            end_replaced(subscription, since=end, comment=GRANT_OVER)
    return stripe_gateway.list_subscriptions(live[0]["customer"]["id"]) if live else subscriptions


def _has_lost_its_end(subscription: stripe.Subscription) -> bool:
    """Is it a grant that would go on, and be charged, after its trial? See billing/grants.py."""
    cancel_at, trial_end = subscription["cancel_at"], subscription["trial_end"]
    return bool(_metadata(subscription, GRANT_REASON) and trial_end and (cancel_at is None or cancel_at > trial_end))


# --- reading a subscription -------------------------------------------------------------------------------------------


def _item(subscription: stripe.Subscription) -> Any:
    """The item of the plan itself; what is metered is billed beside it.

    `subscription.items` is a method of the SDK's object, hence the brackets.
    """
    items = subscription["items"]["data"]
    return next((item for item in items if item["price"]["recurring"]["usage_type"] == "licensed"), items[0])


def metered_item(subscription: stripe.Subscription) -> Any:
    """The item that bills AI tokens; None: nothing does."""
    items = subscription["items"]["data"]
    return next((item for item in items if item["price"]["recurring"]["usage_type"] == "metered"), None)


def _price_ids(subscription: stripe.Subscription) -> list[str]:
    ids = [_item(subscription)["price"]["id"]]
    if phase := _next_phase(subscription):
        ids += [item["price"] for item in phase["items"]]
    if waiting := subscription["pending_update"]:
        ids += [item["price"]["id"] for item in waiting["subscription_items"] or []]
    return ids


def _next_phase(subscription: stripe.Subscription) -> Any:
    """The phase of its schedule that comes after the present one; None when nothing is to change."""
    schedule = subscription["schedule"]
    if not schedule or not schedule["current_phase"]:
        return None
    end = schedule["current_phase"]["end_date"]
    return next((phase for phase in schedule["phases"] if phase["start_date"] >= end), None)


def _metadata(subscription: stripe.Subscription, name: str) -> str:
    metadata = subscription["metadata"]
    return metadata[name] if metadata and name in metadata else ""


def _columns(account: BillingAccount, look: _Look) -> dict[str, Any]:
    subscription, item = look.subscription, look.item
    status = subscription["status"]
    cancel_at = subscription["cancel_at"]
    if cancel_at is None and subscription["cancel_at_period_end"]:
        cancel_at = item["current_period_end"]
    metered = metered_item(subscription)
    columns = {
        "user_id": account.user_id,
        "plan_id": look.price.plan_id,
        "stripe_item_id": item["id"],
        "stripe_price_id": look.price.stripe_price_id,
        "duration_months": look.price.months,
        "amount_cents": look.price.amount_cents,
        "stripe_metered_item_id": metered["id"] if metered else "",
        # Where Stripe would bill nothing, they cost nothing.
        "token_price_cents": look.price.token_price_cents if metered else 0,
        "status": status,
        "is_live": look.is_live,
        "start_date": _time(subscription["start_date"]),
        "current_period_start": _time(item["current_period_start"]),
        "current_period_end": _time(item["current_period_end"]),
        "trial_end": _time(subscription["trial_end"]) if status == "trialing" else None,
        "usage_anchored_at": look.usage_anchored_at,
        "grant_reason": _metadata(subscription, GRANT_REASON)[:200],
        "cancel_at": _time(cancel_at) if look.is_live else None,
        "ended_at": None if look.is_live else _time(subscription["ended_at"]) or timezone.now(),
        "synced_at": timezone.now(),
    }
    return columns | _owed(look) | _changing(look) | _next_charge(look, cancel_at) | _card(subscription)


def _owed(look: _Look) -> dict[str, Any]:
    """What waits to be paid, and since when the present period is not paid."""
    subscription, invoice = look.subscription, look.subscription["latest_invoice"]
    waits = look.is_live and invoice and invoice["status"] == "open"
    since = None
    if subscription["status"] in ("past_due", "unpaid"):
        # Of several unpaid bills the oldest counts: another month of not paying begins no new grace.
        unpaid = stripe_gateway.open_invoices(subscription["id"])
        since = min((one["created"] for one in unpaid), default=look.item["current_period_start"])
    return {
        "past_due_since": _time(since),
        "open_invoice_cents": invoice["amount_remaining"] if waits else None,
        "open_invoice_url": (invoice["hosted_invoice_url"] or "") if waits else "",
        "next_attempt_at": _time(invoice["next_payment_attempt"]) if waits else None,
    }


def _changing(look: _Look) -> dict[str, Any]:
    """What it is going to change to: scheduled, or waiting for the bank's consent."""
    subscription = look.subscription
    phase, waiting = _next_phase(subscription), subscription["pending_update"]
    pending = _next_price(look)
    awaited = next(
        (
            look.prices[item["price"]["id"]]
            for item in (waiting["subscription_items"] or [] if waiting else [])
            if item["price"]["id"] in look.prices
        ),
        None,
    )
    schedule = subscription["schedule"]
    return {
        "stripe_schedule_id": schedule["id"] if schedule and look.is_live else "",
        "pending_price_id": pending.pk if pending else None,
        "pending_at": _time(phase["start_date"]) if pending and phase else None,
        "awaited_price_id": awaited.pk if awaited else None,
        "awaited_until": _time(waiting["expires_at"]) if awaited else None,
    }


def _next_price(look: _Look) -> PlanPrice | None:
    """What is scheduled to come after the present one."""
    phase = _next_phase(look.subscription)
    items = phase["items"] if phase else []
    return next((look.prices[item["price"]] for item in items if item["price"] in look.prices), None)


def _next_charge(look: _Look, cancel_at: int | None) -> dict[str, Any]:
    """What the next renewal is going to cost and when, without what tokens will have cost by then; Stripe is asked
    only where it is not simply the price."""
    subscription, item = look.subscription, look.item
    nothing = {"next_charge_cents": None, "next_charge_at": None}
    renews = subscription["status"] in ("active", "trialing", "past_due")
    if not renews or (cancel_at is not None and cancel_at <= item["current_period_end"]):
        return nothing
    draft = subscription["latest_invoice"]
    if draft and draft["status"] == "draft" and draft["amount_due"] and draft["automatically_finalizes_at"]:
        # The renewal that has come is charged within the hour: that is what comes next.
        return {"next_charge_cents": draft["amount_due"], "next_charge_at": _time(draft["automatically_finalizes_at"])}
    if (becomes := _next_price(look)) and not becomes.amount_cents:
        return nothing
    cents = look.price.amount_cents * item["quantity"]
    is_plain = not (
        subscription["discounts"]
        or subscription["customer"]["balance"]
        or _next_phase(subscription)
        or sum("quantity" in item for item in subscription["items"]["data"]) > 1
    )
    if not is_plain:
        preview = stripe_gateway.preview_next_invoice(subscription["id"])
        cents = max(0, preview["amount_due"] - usage_cents(preview)) if preview else 0
    if not cents and not look.price.amount_cents:
        return nothing
    return {"next_charge_cents": cents, "next_charge_at": _time(item["current_period_end"])}


def _card(subscription: stripe.Subscription) -> dict[str, Any]:
    card = _charged_card(subscription)
    if card is None:
        return {"card_brand": "", "card_last4": "", "card_expires_on": None}
    year, month = card["exp_year"], card["exp_month"]
    return {
        "card_brand": card["brand"][:20],
        "card_last4": card["last4"],
        "card_expires_on": date(year, month, monthrange(year, month)[1]),
    }


def _charged_card(subscription: stripe.Subscription) -> Any:
    """The card that will be charged: the subscription's own, else the customer's default; None: there is none."""
    method = subscription["default_payment_method"]
    customer = subscription["customer"]
    if not method and "invoice_settings" in customer:  # a deleted customer has none
        method = customer["invoice_settings"]["default_payment_method"]
    return method["card"] if method and method["type"] == "card" else None


def _fingerprint(subscription: stripe.Subscription) -> str | None:
    card = _charged_card(subscription)
    return card["fingerprint"] if card is not None else None


def _time(stamp: int | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)
