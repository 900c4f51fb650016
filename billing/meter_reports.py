"""Tells Stripe's meter what AI tokens have cost: each TokenCharge is its own outbox.

A charge knows what it costs, what Stripe has acknowledged and what is on its way. A try sends what is on its way under
an identifier made of what was acknowledged before: sent again after a crash or a lost answer, Stripe counts it once.
Stripe keeps identifiers for a day, so what has been on its way for longer is looked for in the meter first.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from billing import stripe_gateway
from billing.errors import StripeUnavailable
from billing.metered import EVENT_NAME
from billing.models import BillingAccount, MeteredPrice, TokenCharge, UserPlan

logger = logging.getLogger(__name__)

# Stripe's values have 15 digits at most; the rest goes with the next event.
MOST_AT_ONCE = 10**15 - 1
# Charges of one run, at Stripe's 1,000 meter events a second and ours one after the other.
_RUN = 2_000
_LEASE = timedelta(minutes=2)
# https://docs.stripe.com/api/billing/meter-event/create: unique for 24 hours at least, at most 35 days in the past.
IDENTIFIER_KEPT = timedelta(hours=23)
TOO_OLD = timedelta(days=35)
HOUR = timedelta(hours=1)

NOT_REPORTED = Q(metered_nanocents__lt=F("cost_nanocents"))


def report_usage(now: datetime) -> int:
    """Report what is left, at most a run's worth. Returns how many charges Stripe has acknowledged.

    Raises StripeUnavailable: what is left stays for the next run.
    """
    return _report(TokenCharge.objects.all(), now)


def report_usage_of(user_id: int) -> int:
    """The same for one user, before Stripe is asked to bill them."""
    return _report(TokenCharge.objects.filter(user_id=user_id), timezone.now())


def has_unbilled_usage(user_plan: UserPlan) -> bool:
    """Have tokens cost something since the last bill?"""
    since = TokenCharge.objects.filter(
        user_id=user_plan.user_id, period_start__gte=user_plan.current_period_start, cost_nanocents__gt=0
    )
    return bool(user_plan.stripe_metered_item_id) and since.exists()


def _report(charges: QuerySet[TokenCharge], now: datetime) -> int:
    left = charges.filter(NOT_REPORTED, _free(now), day_start__gt=now - TOO_OLD)
    ids = list(left.order_by("day_start", "pk").values_list("pk", flat=True)[:_RUN])
    customers = _customers(ids)
    reported = 0
    for pk in ids:
        charge = _claim(pk, now)
        if charge is None:
            continue
        try:
            reported += _send(charge, customers.get(charge.user_id, ""), now)
        except StripeUnavailable:
            TokenCharge.objects.filter(pk=pk).update(try_after=None)
            raise
        except stripe_gateway.StripeRefused:
            # Logged where it was refused. The lease lets the others go first.
            logger.error("Stripe does not take the usage of token charge %s", pk)
    return reported


def _free(now: datetime) -> Q:
    return Q(try_after__isnull=True) | Q(try_after__lte=now)


def _customers(charge_ids: Iterable[int]) -> dict[int, str]:
    accounts = BillingAccount.objects.filter(
        user__in=TokenCharge.objects.filter(pk__in=list(charge_ids)).values("user")
    )
    return {user: customer for user, customer in accounts.values_list("user_id", "stripe_customer_id") if customer}


def _claim(pk: int, now: datetime) -> TokenCharge | None:
    """The charge with something on its way, for us alone for the length of a lease; None: somebody else is at it."""
    claimed = TokenCharge.objects.filter(NOT_REPORTED, _free(now), pk=pk).update(try_after=now + _LEASE)
    if not claimed:
        return None
    charge = TokenCharge.objects.get(pk=pk)
    if not charge.in_flight_nanocents:
        # Written before it is sent: whoever comes after a crash sends just this again.
        charge.in_flight_nanocents = min(charge.cost_nanocents - charge.metered_nanocents, MOST_AT_ONCE)
        charge.in_flight_since = now
        TokenCharge.objects.filter(pk=pk).update(
            in_flight_nanocents=charge.in_flight_nanocents, in_flight_since=charge.in_flight_since
        )
    return charge


def _send(charge: TokenCharge, customer_id: str, now: datetime) -> bool:
    if not customer_id:
        logger.error("Token charge %s is of somebody who is no customer at Stripe", charge.pk)
        return False
    if not _has_arrived(charge, customer_id, now):
        stripe_gateway.send_meter_event(
            event_name=EVENT_NAME,
            customer_id=customer_id,
            value=charge.in_flight_nanocents,
            identifier=f"tokens-{customer_id}-{charge.pk}-{charge.metered_nanocents}-{charge.resent}",
            at=charge.day_start,
        )
    acknowledge(charge)
    return True


def acknowledge(charge: TokenCharge) -> None:
    """What is on its way has arrived; somebody else may have noted it already."""
    # No F() + number: Django sends the number to PostgreSQL as int4, which keeps 32 bits of it.
    TokenCharge.objects.filter(
        pk=charge.pk, metered_nanocents=charge.metered_nanocents, in_flight_nanocents=charge.in_flight_nanocents
    ).update(
        metered_nanocents=charge.metered_nanocents + charge.in_flight_nanocents,
        in_flight_nanocents=0,
        in_flight_since=None,
        try_after=None,
    )


def _has_arrived(charge: TokenCharge, customer_id: str, now: datetime) -> bool:
    """Of what has been on its way for longer than Stripe remembers identifiers: did it arrive after all?

    The meter knows sums only, of an hour and a customer: it did if they are what we would have with it.
    """
    if charge.in_flight_since is None or now - charge.in_flight_since < IDENTIFIER_KEPT:
        return False
    hour = hour_of(charge.day_start)
    meter = MeteredPrice.objects.first()
    if meter is None:
        return False
    counted = stripe_gateway.metered_by_hour(meter.stripe_meter_id, customer_id, hour, hour + HOUR)
    beside = TokenCharge.objects.filter(user_id=charge.user_id, day_start__gte=hour, day_start__lt=hour + HOUR)
    acknowledged = sum(beside.values_list("metered_nanocents", flat=True))
    return counted.get(int(hour.timestamp()), 0) >= acknowledged + charge.in_flight_nanocents


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
