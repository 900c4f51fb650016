"""What happened to a customer's plan and money that they should be told of by mail.

Webhooks come twice, late, in the wrong order or never. So nothing here listens to events: `note` is called by
billing/sync.py, in its transaction, with each row as it was and as Stripe says that it is. What differs has happened.
Each event has a key made of Stripe's ids, unique in the outbox, so that it is told once.

Not told: bills of $0; what is older than a week (the first look at somebody's history is no news); the end of a plan
whose place another has taken.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import stripe
from django.db import transaction
from django.utils import timezone

from billing import stripe_gateway
from billing.disputes import LOST
from billing.ending import REPLACED, given_back_cents
from billing.errors import StripeUnavailable
from billing.metered import is_for_usage, words_of
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.outbox import Event, write
from billing.trials import CARD_HAD_ONE
from datilio.times import iso

logger = logging.getLogger(__name__)

Told = tuple[str, dict[str, Any]]

# Stripe sends an event again for three days, the nightly reconcile looks in any case: what is older is history.
NEWS_FOR = timedelta(days=7)
MOST_LINES = 12


@dataclass(frozen=True)
class Seen:
    """A subscription at one look of sync: the row as it was (None: new), the row as it is, and Stripe's own."""

    before: UserPlan | None
    after: UserPlan
    subscription: stripe.Subscription


def note(account: BillingAccount, seen: list[Seen]) -> None:
    """Write the mails that one look at a customer asks for. One query where nothing is new; Stripe is asked only for
    the cause of a payment that has just failed, and for what was given back of a plan that was replaced."""
    with _never_in_the_way():
        live = next((one for one in seen if one.after.is_live), None)
        events: list[Event] = []
        for one in seen:
            events += _of_live(one) if one.after.is_live else _of_ended(one, live)
        write(account, events)


def note_money(account: BillingAccount, *, bills: bool = True, refunds: bool = True) -> None:
    """Write what no look at a plan's newest bill can see: the receipt of an older bill that was paid late or between
    two looks, and refunds. For events that tell of such, and for the reconcile.

    bills: one call to Stripe. refunds: one, and one for each charge that was refunded.
    """
    if not account.stripe_customer_id or account.closed_at or not (bills or refunds):
        return
    with _never_in_the_way():
        write(account, [*(_of_bills(account) if bills else ()), *(_of_refunds(account) if refunds else ())])


@contextmanager
def _never_in_the_way() -> Iterator[None]:
    """A mistake in here costs a mail, and not the plan that somebody has bought.

    Stripe out of reach is none: then the whole look fails, and is taken again.
    """
    try:
        with transaction.atomic():
            yield
    except StripeUnavailable:
        raise
    except Exception:
        logger.exception("Mails about what a look has seen could not be written")


# --- a plan that lives ------------------------------------------------------------------------------------------------


def _of_live(one: Seen) -> Iterator[Event]:
    before, after, invoice = one.before, one.after, one.subscription["latest_invoice"]
    sub = after.stripe_subscription_id
    if invoice:
        yield from _receipt(after, invoice)
    is_new = before is None and _is_news(one.subscription["created"])
    if after.is_grant:
        if is_new or (before and before.cancel_at != after.cancel_at):
            yield Event(f"granted:{sub}:{_stamp(after.cancel_at)}", partial(_granted, after))
    elif is_new and after.status in ("active", "trialing") and not (invoice and invoice["amount_due"]):
        yield Event(f"started:{sub}", partial(_started, after))
    if before and before.stripe_price_id != after.stripe_price_id:
        bill = invoice["id"] if invoice else ""
        yield Event(f"changed:{sub}:{after.stripe_price_id}:{bill}", partial(_changed, before, after))
    if after.pending_price and _pending(before) != _pending(after):
        key = f"scheduled:{sub}:{after.stripe_schedule_id}:{after.pending_price_id}"
        yield Event(key, partial(_change_scheduled, after, after.pending_price))
    if after.is_ending and not after.is_grant and (before is None or before.cancel_at != after.cancel_at):
        # canceled_at is when it was asked for: cancelled, resumed and cancelled again are two events.
        key = f"cancel:{sub}:{one.subscription['canceled_at']}:{_stamp(after.cancel_at)}"
        yield Event(key, partial(_cancel_scheduled, after))
    if after.awaited_price and invoice and (before is None or before.awaited_price_id != after.awaited_price_id):
        yield Event(f"confirm:{invoice['id']}", partial(_upgrade_waits, after, after.awaited_price, invoice))
    if after.status in ("past_due", "unpaid") and invoice and invoice["status"] == "open" and invoice["attempt_count"]:
        yield Event(f"failed:{invoice['id']}:{invoice['attempt_count']}", partial(_payment_failed, after, invoice))


def _pending(plan: UserPlan | None) -> tuple[int | None, datetime | None]:
    return (plan.pending_price_id, plan.pending_at) if plan else (None, None)


def _started(plan: UserPlan) -> Told:
    trial = {"trial_end": iso(plan.trial_end)} if plan.in_trial else {}
    return "started", facts_of(plan) | trial


def _granted(plan: UserPlan) -> Told:
    return "granted", _plan(plan) | {"until": iso(plan.cancel_at), "reason": plan.grant_reason}


def _cancel_scheduled(plan: UserPlan) -> Told:
    return "cancel_scheduled", _plan(plan) | {"until": iso(plan.cancel_at)} | _tokens(plan)


def _changed(before: UserPlan, after: UserPlan) -> Told:
    was = {"was_plan": before.plan.name, "was_months": before.duration_months, "was_cents": before.amount_cents}
    scheduled = before.pending_price_id is not None and before.pending_price_id == _price_id(after)
    return "changed", facts_of(after) | was | {"as_scheduled": scheduled}


def _price_id(plan: UserPlan) -> int | None:
    prices = PlanPrice.objects.filter(stripe_price_id=plan.stripe_price_id)
    return prices.values_list("pk", flat=True).first()


def _change_scheduled(plan: UserPlan, price: PlanPrice) -> Told:
    to = {
        "plan": price.plan.name,
        "months": price.months,
        "cents": price.amount_cents,
        "was_plan": plan.plan.name,
        "at": iso(plan.pending_at),
    }
    return "change_scheduled", to


def _upgrade_waits(plan: UserPlan, price: PlanPrice, invoice: Any) -> Told:
    facts = {
        "plan": price.plan.name,
        "was_plan": plan.plan.name,
        "cents": invoice["amount_remaining"],
        "url": invoice["hosted_invoice_url"] or "",
        "until": iso(plan.awaited_until),
        "is_upgrade": True,
    }
    return "action_required", facts


def _payment_failed(plan: UserPlan, invoice: Any) -> Told:
    cause = stripe_gateway.why_unpaid(invoice["id"])
    facts = _plan(plan) | {
        "cents": invoice["amount_remaining"],
        "url": invoice["hosted_invoice_url"] or "",
        "card": _card(plan),
        "access_until": iso(plan.grace_ends_at) if plan.is_active(timezone.now()) else None,
        "again_at": iso(plan.next_attempt_at),
    }
    if cause.wants_the_customer:
        return "action_required", facts | {"until": facts["access_until"], "is_upgrade": False}
    return "payment_failed", facts | {"cause": cause.words}


# --- a plan that is over ----------------------------------------------------------------------------------------------


def _of_ended(one: Seen, live: Seen | None) -> Iterator[Event]:
    before, after = one.before, one.after
    sub = after.stripe_subscription_id
    details = one.subscription["cancellation_details"]
    if details and details["comment"] == REPLACED:
        # Whoever buys a plan in the place of a free one or of a gift has not bought twice.
        ended_now = one.subscription["ended_at"] and _is_news(one.subscription["ended_at"])
        if ended_now and not after.costs_nothing and live and (before is None or before.is_live):
            yield Event(f"replaced:{sub}", partial(_replaced, one, live.after))
    elif details and details["comment"] == CARD_HAD_ONE:
        # Ended at the very look that first saw it.
        if one.subscription["ended_at"] and _is_news(one.subscription["ended_at"]):
            yield Event(f"ended:{sub}", partial(_ended, after, after, details))
    elif before and before.is_live and live is None:
        yield Event(f"ended:{sub}", partial(_ended, before, after, details))


def _replaced(one: Seen, newer: UserPlan) -> Told:
    facts = {
        "plan": newer.plan.name,
        "was_plan": one.after.plan.name,
        "refunded_cents": given_back_cents(one.subscription),
        "at": iso(one.after.ended_at),
    }
    return "replaced", facts


def _ended(before: UserPlan, after: UserPlan, details: Any) -> Told:
    """why: a word of emails.WHY_ENDED."""
    reason, comment = (details["reason"], details["comment"]) if details else (None, None)
    in_time = bool(before.cancel_at and after.ended_at and before.cancel_at <= after.ended_at)
    if comment == CARD_HAD_ONE:
        why = "card_had_trial"
    elif after.is_grant:
        why = "grant_over" if in_time else "grant_ended"
    elif comment == LOST or reason == "payment_disputed":
        why = "disputed"
    elif reason == "payment_failed":
        why = "unpaid"
    elif in_time:
        why = "as_cancelled"
    else:
        why = "cancelled"
    return "ended", _plan(after) | {"at": iso(after.ended_at), "why": why}


# --- money ------------------------------------------------------------------------------------------------------------


def _of_bills(account: BillingAccount) -> Iterator[Event]:
    plans = UserPlan.objects.filter(user_id=account.user_id).in_bulk(field_name="stripe_subscription_id")
    for invoice in stripe_gateway.paid_invoices(account.stripe_customer_id or ""):
        parent = invoice["parent"]
        yield from _receipt(plans.get(parent["subscription_details"]["subscription"]) if parent else None, invoice)


def _of_refunds(account: BillingAccount) -> Iterator[Event]:
    for charge in stripe_gateway.list_charges(account.stripe_customer_id or ""):
        if charge["amount_refunded"]:
            for refund in stripe_gateway.refunds_of(charge["id"]):
                yield from _refund(refund)


def _receipt(plan: UserPlan | None, invoice: Any) -> Iterator[Event]:
    paid_at = invoice["status_transitions"]["paid_at"]
    if invoice["status"] == "paid" and invoice["amount_paid"] > 0 and paid_at and _is_news(paid_at):
        yield Event(f"receipt:{invoice['id']}", partial(_paid, plan, invoice))


def _paid(plan: UserPlan | None, invoice: Any) -> Told:
    # Where no tokens were used, Stripe's line over nothing is no news.
    told = [line for line in invoice["lines"]["data"] if line["amount"] or not is_for_usage(line)]
    charged = [line for line in told if line["amount"]]
    is_for_tokens_alone = bool(charged) and all(is_for_usage(line) for line in charged)
    lines = [{"text": words_of(line), "cents": line["amount"]} for line in told]
    shown, rest = lines[:MOST_LINES], sum(line["cents"] for line in lines[MOST_LINES:])
    if len(lines) > MOST_LINES:
        shown.append({"text": "More lines, see the invoice", "cents": rest})
    discount = sum(taken["amount"] for taken in invoice["total_discount_amounts"] or [])
    tax = sum(one["amount"] for one in invoice["total_taxes"] or [])
    facts: dict[str, Any] = {
        # Tokens are billed when their period is over, and the plan may be another by then.
        "plan": "AI tokens" if is_for_tokens_alone else plan.plan.name if plan else "",
        "number": invoice["number"] or invoice["id"],
        "paid_cents": invoice["amount_paid"],
        "at": iso(_time(invoice["status_transitions"]["paid_at"])),
        "lines": shown,
        "discount_cents": discount,
        "tax_cents": tax,
        # What of the total was not charged: credit from before.
        "credit_cents": max(0, invoice["total"] - invoice["amount_paid"]),
        "url": invoice["hosted_invoice_url"] or "",
    }
    if plan and plan.is_live:
        facts |= _next(plan)
    return "receipt", facts


def _refund(refund: Any) -> Iterator[Event]:
    metadata = refund["metadata"]
    if metadata and "replaced" in metadata:
        return  # told with the reason, as `replaced`
    if refund["status"] == "succeeded" and _is_news(refund["created"]):
        yield Event(f"refunded:{refund['id']}", partial(_refunded, refund))


def _refunded(refund: Any) -> Told:
    return "refunded", {"cents": refund["amount"], "at": iso(_time(refund["created"]))}


# --- facts ------------------------------------------------------------------------------------------------------------


def facts_of(plan: UserPlan) -> dict[str, Any]:
    """The plan, its price, and its next charge if there is one."""
    return _plan(plan) | _next(plan)


def _plan(plan: UserPlan) -> dict[str, Any]:
    return {"plan": plan.plan.name, "months": plan.duration_months, "cents": plan.amount_cents}


def _next(plan: UserPlan) -> dict[str, Any]:
    """The next charge; nothing when none comes."""
    if plan.next_charge_cents is None or plan.next_charge_at is None:
        return {}
    charge = {"next_cents": plan.next_charge_cents, "next_at": iso(plan.next_charge_at), "card": _card(plan)}
    return charge | _tokens(plan)


def _tokens(plan: UserPlan) -> dict[str, Any]:
    """Are AI tokens billed beside the plan's price? Then no letter may call that price all that is charged."""
    return {"tokens": True} if plan.token_price_cents else {}


def _card(plan: UserPlan) -> str:
    """ "Visa ending in 4242"; "" for none."""
    return f"{plan.card_brand.title()} ending in {plan.card_last4}" if plan.card_last4 else ""


def _is_news(stamp: int) -> bool:
    """Did it happen (Unix seconds) within the last week? A clock ahead of ours is no reason to keep silent."""
    return timezone.now() - datetime.fromtimestamp(stamp, UTC) < NEWS_FOR


def _time(stamp: int | None) -> datetime | None:
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)


def _stamp(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0
