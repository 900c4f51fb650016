"""Where our AI tokens, Stripe's meter and its bills can say different things, and where nobody bills tokens.

The meter knows the sum of an hour; a TokenCharge is reported at the moment at which its day begins. So the hours of the
last 35 days are compared one by one. What the meter lacks is reported again; what it has too much of is for a person.
So is a bill that was closed before all was reported: what comes to the meter afterwards is on no bill.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import F, Sum
from django.utils import timezone

from billing import stripe_gateway
from billing.drift import Found
from billing.meter_reports import HOUR, NOT_REPORTED, TOO_OLD, hour_of, report_usage_of
from billing.metered import ensure_metered_price, is_for_usage
from billing.models import BillingAccount, MeteredPrice, PlanPrice, TokenCharge, UserPlan
from billing.pricing import MAX_MONTHS, nanocents_to_cents
from billing.sync import sync_locked


def check_usage(account: BillingAccount, *, heal: bool) -> list[Found]:
    """What bills a user's tokens, and what they cost. For a caller that holds the lock and has just looked; two calls,
    none for who has used none. Raises StripeUnavailable."""
    if not account.stripe_customer_id:
        return []
    if heal:
        report_usage_of(account.user_id)
    return [*_without_an_item(account, heal=heal), *_meter(account, heal=heal), *_bills(account)]


def _meter(account: BillingAccount, *, heal: bool) -> list[Found]:
    meter, now = MeteredPrice.objects.first(), timezone.now()
    oldest = hour_of(now - TOO_OLD) + HOUR
    of_user = TokenCharge.objects.filter(user_id=account.user_id)
    found = [_too_old(account, charge) for charge in of_user.filter(NOT_REPORTED, day_start__lt=oldest)]
    charges = list(of_user.filter(day_start__gte=oldest))
    if meter is None or not charges or not account.stripe_customer_id:
        return found
    by_hour: dict[datetime, list[TokenCharge]] = defaultdict(list)
    for charge in charges:
        by_hour[hour_of(charge.day_start.astimezone(UTC))].append(charge)
    counted = stripe_gateway.metered_by_hour(
        meter.stripe_meter_id, account.stripe_customer_id, min(by_hour), max(by_hour) + HOUR
    )
    for hour, of_it in sorted(by_hour.items()):
        found += _hour(account, hour, of_it, counted.get(int(hour.timestamp()), 0), heal=heal)
    return found


def _too_old(account: BillingAccount, charge: TokenCharge) -> Found:
    changes = {"nanocents": [charge.cost_nanocents, charge.metered_nanocents]}
    reason = "Stripe takes no usage that is older than 35 days. Nobody bills it: write it off, or send a bill by hand."
    return Found("usage_too_old", f"token charge {charge.pk}", reason, changes, account.user_id)


def _hour(
    account: BillingAccount, hour: datetime, charges: list[TokenCharge], counted: int, *, heal: bool
) -> Iterable[Found]:
    acknowledged = sum(charge.metered_nanocents for charge in charges)
    on_their_way = sum(charge.in_flight_nanocents for charge in charges)
    # What is on its way may have arrived or not: the next report finds out.
    if acknowledged <= counted <= acknowledged + on_their_way:
        return
    subject = f"{account.stripe_customer_id} {hour:%Y-%m-%dT%H}"
    changes = {"nanocents": [acknowledged, counted]}
    if counted > acknowledged:
        reason = "Stripe's meter has more than was used. They would be billed too much: correct it at Stripe."
        yield Found("usage_too_much", subject, reason, changes, account.user_id)
        return
    if heal:
        _report_again(charges, acknowledged - counted)
    reason = "What is missing is reported again, under another identifier."
    yield Found("usage_missing", subject, reason, changes, account.user_id, is_healed=heal)


def _report_again(charges: list[TokenCharge], missing: int) -> None:
    for charge in charges:
        cut = min(missing, charge.metered_nanocents)
        if cut:
            TokenCharge.objects.filter(pk=charge.pk, metered_nanocents=charge.metered_nanocents).update(
                metered_nanocents=charge.metered_nanocents - cut,
                in_flight_nanocents=0,
                in_flight_since=None,
                resent=F("resent") + 1,
            )
            missing -= cut


def _bills(account: BillingAccount) -> Iterable[Found]:
    """Bills of the last 35 days. Of a bill that was voided nothing is said: what it asked for is asked another way
    (billing/ending.py), or was given up on purpose."""
    oldest = timezone.now() - TOO_OLD
    # A bill comes when its period is over.
    since = oldest - MAX_MONTHS * timedelta(days=31)
    charges = TokenCharge.objects.filter(user_id=account.user_id, period_start__gte=since).order_by()
    used = dict(charges.values_list("period_start").annotate(Sum("cost_nanocents")))
    if not used:
        return
    asked: dict[datetime, int] = defaultdict(int)
    numbers: dict[datetime, str] = {}
    for invoice in stripe_gateway.invoices_since(account.stripe_customer_id or "", oldest):
        if invoice["status"] in ("draft", "void"):
            continue
        # An invoice brings its first ten lines.
        for line in invoice.lines.auto_paging_iter():
            start = datetime.fromtimestamp(line["period"]["start"], UTC)
            if start in used and is_for_usage(line):
                asked[start] += line["amount"]
                numbers[start] = invoice["number"] or invoice["id"]
    for start, cents in sorted(asked.items()):
        should_be = nanocents_to_cents(used[start])
        if cents != should_be:
            missing = "The rest was reported after it was closed: bill it by hand, or write it off."
            reason = missing if cents < should_be else "They are asked for too much: give the rest back."
            subject, changes = f"{numbers[start]} {start:%Y-%m-%d}", {"cents": [should_be, cents]}
            yield Found("usage_on_bill_differs", subject, reason, changes, account.user_id)


def _without_an_item(account: BillingAccount, *, heal: bool) -> Iterable[Found]:
    """A subscription whose price says what tokens cost, and nothing that bills them: one that was sold before there was
    a meter."""
    plan = UserPlan.objects.live().filter(user_id=account.user_id, stripe_metered_item_id="").first()
    if plan is None or plan.is_grant:
        return
    price = PlanPrice.objects.filter(stripe_price_id=plan.stripe_price_id, token_price_cents__gt=0).first()
    if price is None:
        return
    if plan.stripe_schedule_id or plan.status not in ("active", "trialing"):
        reason = "It gets one with the next change, or once nothing is scheduled or owed: until then they are free."
        yield Found("metered_item_missing", plan.stripe_subscription_id, reason, user_id=account.user_id)
        return
    if heal:
        stripe_gateway.add_item(plan.stripe_subscription_id, ensure_metered_price(price.months).stripe_price_id)
        sync_locked(account)
    reason = "Tokens cost nothing until now, and are billed from now on."
    yield Found("metered_item_missing", plan.stripe_subscription_id, reason, user_id=account.user_id, is_healed=heal)
