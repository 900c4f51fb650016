"""Tokens cost money, exactly: tokens * factor * price, on the event, the day, the month's counter and the receipt."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from billing.models import TokenCharge
from billing.pricing import nanocents_to_cents
from datilio.errors import InvalidInput
from usage.batches import record_batch
from usage.costs import SPEND
from usage.holds import hold, release, settle
from usage.metering import record_prompt
from usage.models import ModelFactor, UsageCounter, UsageDay, UsageEvent
from usage.money import cost_nanocents, dollars, exact_dollars, shown_dollars
from usage.price_book import factor_of
from usage.receipts import events_of_receipt, receipts_of
from usage.tests.conftest import NOON
from usage.uses import use_of

START = NOON - timedelta(days=3)


@pytest.fixture
def price(db):
    """price(model, factor, since): a version of the price book."""

    def make(model, factor, since=NOON - timedelta(days=300)):
        return ModelFactor.objects.create(model=model, factor=factor, valid_from=since)

    return make


@pytest.fixture
def paying(alice, give_plan):
    """Alice, for whom a million tokens cost 4 dollars."""
    give_plan(alice, token_price_cents=400)
    return alice


def spent(user):
    return UsageCounter.objects.get(user=user, feature=SPEND).used


# --- the arithmetic ---------------------------------------------------------------------------------------------------


@given(tokens=st.integers(1, 10**12), factor=st.integers(1, 100_000), price_cents=st.integers(1, 9_999_999))
def test_a_cost_is_the_formula_to_the_last_digit(tokens, factor, price_cents):
    exact_cents = Fraction(tokens) * Fraction(factor, 1000) * Fraction(price_cents, 10**6)
    assert Fraction(cost_nanocents(tokens, factor, price_cents), 10**9) == exact_cents


@given(nanocents=st.integers(0, 10**18))
def test_dollars_lose_nothing_as_text_and_half_a_cent_as_a_number(nanocents):
    assert Decimal(exact_dollars(nanocents)) * 100 * 10**9 == nanocents
    assert abs(nanocents_to_cents(nanocents) * 10**9 - nanocents) * 2 <= 10**9
    assert dollars(nanocents) == nanocents_to_cents(nanocents) / 100


@pytest.mark.parametrize(
    ("nanocents", "shown", "exact"),
    [
        (0, "$0.00", "0.00"),
        (1, "$0.00000000001", "0.00000000001"),
        (400_000, "$0.0000040", "0.000004"),
        (499_999_999, "$0.0050", "0.00499999999"),
        (10**9, "$0.01", "0.01"),
        (1_500_000_000, "$0.02", "0.015"),
        (123_456 * 10**9, "$1,234.56", "1234.56"),
    ],
)
def test_people_read_dollars(nanocents, shown, exact):
    assert (shown_dollars(nanocents), exact_dollars(nanocents)) == (shown, exact)


# --- the price book ---------------------------------------------------------------------------------------------------


def test_the_version_in_force_at_the_moment_counts(price):
    price("opus", 5000, NOON - timedelta(days=10))
    price("opus", 4000, NOON)
    assert factor_of("opus", NOON - timedelta(days=11)) == 1000
    assert factor_of("opus", NOON - timedelta(seconds=1)) == 5000
    assert factor_of("opus", NOON) == 4000
    assert factor_of("unknown", NOON) == 1000


def test_no_factor_is_nothing_or_beyond_all_measure(price):
    for factor in (0, 100_001):
        with pytest.raises(ValidationError):
            ModelFactor(model="x", factor=factor, valid_from=NOON).full_clean()


# --- where the cost stands --------------------------------------------------------------------------------------------


def test_the_event_the_day_the_month_and_the_receipt_say_the_same(paying, use, price):
    price("opus", 2500)
    use(paying, "ai_token", 1_001, model="opus")
    use(paying, "ai_token", 10, model="mini")
    cost = 1_001 * 2500 * 400 + 10 * 1000 * 400
    assert sum(UsageEvent.objects.values_list("cost_nanocents", flat=True)) == cost
    assert UsageDay.objects.get(feature="ai_token").cost_nanocents == cost
    assert spent(paying) == cost
    [receipt] = receipts_of(paying.pk, NOON)
    assert (receipt.period_start, receipt.is_open, receipt.cost) == (START, True, cost)
    assert [(line.model, line.factor, line.price_cents, line.tokens) for line in receipt.lines] == [
        ("mini", 1000, 400, 10),
        ("opus", 2500, 400, 1_001),
    ]
    assert receipt.lines[1].formula == "1,001 tokens × 2.5 × $4.00 per million = $0.01001"


def test_without_a_price_tokens_cost_nothing(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_token", 1_000_000)
    assert not UsageCounter.objects.filter(feature=SPEND).exists()
    assert not TokenCharge.objects.exists()
    assert UsageEvent.objects.get().cost_nanocents == 0
    assert receipts_of(alice.pk, NOON) == []


def test_only_tokens_cost(paying, use):
    use(paying, "synthetic_rows", 100)
    assert not TokenCharge.objects.exists()


def test_a_retry_costs_nothing_more(paying, use):
    for _ in range(3):
        use(paying, "ai_token", 100, key="same")
    assert spent(paying) == TokenCharge.objects.get().cost_nanocents == 100 * 1000 * 400


def test_a_prompt_is_charged_for_its_tokens(paying):
    record_prompt(paying.pk, 500, source="test", key="p", model="m", now=NOON)
    assert spent(paying) == 500 * 1000 * 400


def test_a_batch_costs_what_its_events_cost_one_by_one(paying, bob, give_plan, price):
    price("opus", 2500)
    give_plan(bob, token_price_cents=300, plan=paying.plans.get().plan)
    events = [
        use_of(user.pk, "ai_token", n, source="b", key=f"{user.pk}-{n}", model=model, timestamp=at)
        for user in (paying, bob)
        for n, model, at in ((7, "opus", None), (11, "", None), (13, "opus", NOON - timedelta(days=1)), (1, "x", NOON))
    ]
    answers = record_batch(events, source="b", now=NOON)
    assert {answer.status for answer in answers} == {"accepted"}
    for user, price_cents in ((paying, 400), (bob, 300)):
        cost = (20 * 2500 + 12 * 1000) * price_cents
        assert spent(user) == cost
        assert sum(UsageEvent.objects.filter(user=user).values_list("cost_nanocents", flat=True)) == cost
        assert [receipt.cost for receipt in receipts_of(user.pk, NOON)] == [cost]


def test_a_cost_beyond_all_measure_is_refused(alice, give_plan, use, price):
    price("opus", 100_000)
    give_plan(alice, token_price_cents=9_999_999)
    with pytest.raises(InvalidInput):
        use(alice, "ai_token", 10**12, model="opus")
    assert not UsageEvent.objects.exists()


# --- holds ------------------------------------------------------------------------------------------------------------


def test_a_hold_holds_the_worst_case_and_the_true_use_is_charged_at_the_rate_of_then(paying, price):
    price("opus", 2000)
    made = hold(paying.pk, "ai_prompt", 1, tokens=1_000, model="opus", source="test", key="h", now=NOON)
    counter = UsageCounter.objects.get(feature=SPEND)
    assert (counter.used, counter.held) == (0, 1_000 * 2000 * 400)
    paying.plans.update(token_price_cents=900)  # whatever comes before it is settled
    settle(made.hold["id"], 1, tokens=300, source="test", now=NOON + timedelta(minutes=1))
    counter.refresh_from_db()
    assert (counter.used, counter.held) == (300 * 2000 * 400, 0)
    assert TokenCharge.objects.get().cost_nanocents == 300 * 2000 * 400
    assert UsageEvent.objects.get(feature="ai_token").cost_nanocents == 300 * 2000 * 400


def test_a_released_hold_costs_nothing(paying):
    made = hold(paying.pk, "ai_token", 1_000, source="test", key="h", now=NOON)
    release(made.hold["id"], source="test", now=NOON)
    counter = UsageCounter.objects.get(feature=SPEND)
    assert (counter.used, counter.held) == (0, 0)
    assert not TokenCharge.objects.exists()


# --- bills ------------------------------------------------------------------------------------------------------------


def test_what_comes_late_stands_on_the_present_bill(paying, use):
    use(paying, "ai_token", 100, timestamp=START - timedelta(days=20))
    use(paying, "ai_token", 50)
    [receipt] = receipts_of(paying.pk, NOON)
    assert receipt.cost == 150 * 1000 * 400
    events, _ = events_of_receipt(paying.pk, receipt.period_start, limit=10)
    assert [event["tokens"] for event in events] == [50, 100]
    assert sum(Decimal(event["cost_exact"]) for event in events) == Decimal(exact_dollars(receipt.cost))
    # Each in the month of its own time: that is what the cap and the meters show.
    assert sorted(UsageCounter.objects.filter(feature=SPEND).values_list("used", flat=True)) == [
        50 * 1000 * 400,
        100 * 1000 * 400,
    ]


def test_what_comes_after_an_end_that_nobody_has_seen_yet_stands_on_the_next_bill(paying, use):
    plan = paying.plans.get()
    later = plan.current_period_end + timedelta(hours=30)
    use(paying, "ai_token", 10, now=later)
    charge = TokenCharge.objects.get()
    assert charge.period_start == plan.current_period_end
    assert charge.day_start == plan.current_period_end + timedelta(days=1)


def test_a_new_price_holds_from_the_change_on(paying, use):
    use(paying, "ai_token", 100)
    plan = paying.plans.get()
    plan.token_price_cents, plan.synced_at = 300, NOON
    plan.save()
    use(paying, "ai_token", 100)
    [receipt] = receipts_of(paying.pk, NOON)
    assert [(line.price_cents, line.tokens) for line in receipt.lines] == [(300, 100), (400, 100)]
    assert receipt.cost == spent(paying) == 100 * 1000 * 700


def test_days_begin_with_the_period_and_never_lie_in_two_bills(alice, give_plan, use):
    start = datetime(2026, 3, 1, 13, 37, 42, tzinfo=UTC)
    give_plan(alice, token_price_cents=400, start=start)
    for at in (start, start + timedelta(hours=23), start + timedelta(days=1), NOON):
        use(alice, "ai_token", 1, timestamp=at)
    days = TokenCharge.objects.order_by("day_start").values_list("day_start", "tokens")
    assert list(days) == [
        (start, 2),
        (start + timedelta(days=1), 1),
        (datetime(2026, 3, 14, 13, 37, 42, tzinfo=UTC), 1),
    ]


def test_the_events_of_a_receipt_are_paged_without_gaps(paying, use):
    for n in range(1, 8):
        use(paying, "ai_token", n, timestamp=NOON - timedelta(minutes=n // 2))
    seen, cursor = [], None
    while True:
        events, cursor = events_of_receipt(paying.pk, START, limit=3, cursor=cursor)
        seen += [event["tokens"] for event in events]
        if cursor is None:
            break
    assert sorted(seen) == list(range(1, 8))
    assert events_of_receipt(paying.pk, START + timedelta(days=1), limit=3) == ([], None)
