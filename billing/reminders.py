"""What is going to be charged, told before: the end of a trial, a card that will have expired, a yearly renewal.

Our rows say who may be told; Stripe, asked just before, says whether it is still so. Each is told once.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import TruncDate

from billing.customers import locked_account
from billing.models import BillingMail, UserPlan
from billing.notices import facts_of
from billing.outbox import Event, write
from billing.sync import sync_locked
from datilio.errors import DomainError
from datilio.times import iso

logger = logging.getLogger(__name__)

Told = tuple[str, dict[str, Any]]

TRIAL_ENDS_IN = timedelta(days=3)
CARD_IS_CHARGED_IN = timedelta(days=14)
YEAR_RENEWS_IN = timedelta(days=30)
CHUNK = 500


def write_reminders(now: datetime) -> int:
    """Write what is due at `now` (aware) and was not told yet; returns for how many customers Stripe was asked.

    A customer about whom Stripe does not answer waits for the next time.
    """
    users = list(_untold(now))
    for user_id in users:
        try:
            with locked_account(user_id) as account:
                live = sync_locked(account)
                write(account, _due(live, now) if live else [])
        except DomainError:
            logger.warning("No reminder for user %s now: Stripe does not answer", user_id)
    return len(users)


def _untold(now: datetime) -> Iterator[int]:
    """The ids of users to whom our rows have something new to say."""
    plans = _may_be_told(now).iterator(chunk_size=CHUNK)
    while chunk := list(islice(plans, CHUNK)):
        keys = {plan.user_id: [event.key for event in _due(plan, now)] for plan in chunk}
        told = BillingMail.objects.filter(key__in=[key for some in keys.values() for key in some])
        known = set(told.values_list("key", flat=True))
        yield from (user_id for user_id, some in keys.items() if not known.issuperset(some))


def _may_be_told(now: datetime) -> QuerySet[UserPlan]:
    """Those who are charged soon. All three ask for the next charge, which has an index."""
    trial = Q(status="trialing", next_charge_at__lte=now + TRIAL_ENDS_IN)
    card = Q(card_expires_on__lt=TruncDate("next_charge_at"), next_charge_at__lte=now + CARD_IS_CHARGED_IN)
    yearly = Q(duration_months__gte=12, next_charge_at__lte=now + YEAR_RENEWS_IN)
    charged = UserPlan.objects.live().filter(next_charge_cents__gt=0, next_charge_at__gt=now, grant_reason="")
    return charged.filter(trial | card | yearly).order_by("pk")


def _due(plan: UserPlan, now: datetime) -> Iterator[Event]:
    at = plan.next_charge_at
    if not at or not plan.next_charge_cents or at <= now or plan.is_grant or plan.unpaid_since:
        return
    sub, left = plan.stripe_subscription_id, at - now
    # A trial that is hardly longer was announced, with this date, when it began.
    if plan.in_trial and left <= TRIAL_ENDS_IN < at - plan.start_date:
        yield Event(f"trial:{sub}:{at:%Y%m%d}", partial(_trial_ending, plan))
    if plan.card_expires_on and plan.card_expires_on < at.date() and left <= CARD_IS_CHARGED_IN:
        key = f"card:{sub}:{plan.card_last4}:{plan.card_expires_on:%Y%m}"
        yield Event(key, partial(_card_expiring, plan))
    if plan.duration_months >= 12 and not plan.in_trial and left <= YEAR_RENEWS_IN:
        yield Event(f"renewal:{sub}:{at:%Y%m%d}", partial(_renewal, plan))


def _trial_ending(plan: UserPlan) -> Told:
    return "trial_ending", {"card": ""} | facts_of(plan) | {"at": iso(plan.trial_end)}


def _card_expiring(plan: UserPlan) -> Told:
    assert plan.card_expires_on
    return "card_expiring", facts_of(plan) | {"expires": f"{plan.card_expires_on:%B %Y}"}


def _renewal(plan: UserPlan) -> Told:
    """The plan that it renews as: a change may be scheduled for that moment."""
    facts = facts_of(plan)
    if plan.pending_price and plan.pending_at and plan.pending_at <= (plan.next_charge_at or plan.pending_at):
        facts |= {"plan": plan.pending_price.plan.name, "months": plan.pending_price.months}
    return "renewal", facts
