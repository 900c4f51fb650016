"""A customer's own cap in dollars: kept by the counter, under any concurrency; the tightest wins and is named."""

from datetime import timedelta

import pytest
from django.utils import timezone

from usage.batches import record_batch
from usage.costs import SPEND
from usage.errors import LimitExceeded, SpendCapReached
from usage.holds import give_back_expired_holds, hold, settle
from usage.metering import Recorded, record_prompt
from usage.models import SpendCap, UsageCounter, UsageEvent
from usage.spending import quote_prompt, remove_spend_cap, set_spend_cap, spending_of
from usage.tests.conftest import NOON
from usage.uses import use_of

CENT = 2_500  # tokens for a cent, at 4 dollars a million


@pytest.fixture
def paying(alice, give_plan):
    give_plan(alice, token_price_cents=400)
    return alice


def spent_cents(user):
    return UsageCounter.objects.get(user=user, feature=SPEND).used / 10**9


def test_what_would_pass_the_cap_is_refused_and_named(paying, use, settings):
    set_spend_cap(paying.pk, 100, NOON)
    use(paying, "ai_token", 99 * CENT)
    with pytest.raises(SpendCapReached) as refused:
        use(paying, "ai_token", CENT + 1)
    error = refused.value
    assert (error.code, error.status) == ("spend_cap_reached", 402)
    assert error.details["feature"] == "ai_token"
    assert (error.details["limit_name"], error.details["used"], error.details["limit"]) == ("spend_cap", 0.99, 1.0)
    assert error.details["cost_exact"] == "0.010004"
    assert error.details["resets_at"] == "2026-04-12T00:00:00Z"
    assert error.details["upgrade_url"] == f"{settings.BASE_URL}/account/ai-costs"
    assert "$0.99 of your own cap of $1.00" in error.message
    # Nothing of it was counted, and what fits to the last nanocent is let in.
    assert UsageEvent.objects.count() == 1
    use(paying, "ai_token", CENT)
    assert spent_cents(paying) == 100


def test_a_cap_of_nothing_stops_at_once(paying, use):
    set_spend_cap(paying.pk, 0, NOON)
    with pytest.raises(SpendCapReached):
        use(paying, "ai_token", 1)


def test_a_prompt_beyond_the_cap_counts_neither_prompt_nor_tokens(paying):
    set_spend_cap(paying.pk, 1, NOON)
    with pytest.raises(SpendCapReached):
        record_prompt(paying.pk, CENT + 1, source="test", key="p", now=NOON)
    assert not UsageEvent.objects.exists()
    record_prompt(paying.pk, CENT, source="test", key="p", now=NOON)


def test_the_tightest_of_cap_and_plan_wins(alice, give_plan, make_plan):
    give_plan(alice, make_plan(ai_prompts_per_day=1), token_price_cents=400)
    set_spend_cap(alice.pk, 1, NOON)
    with pytest.raises(SpendCapReached):
        record_prompt(alice.pk, CENT + 1, source="test", key="a", now=NOON)
    record_prompt(alice.pk, CENT // 2, source="test", key="b", now=NOON)
    with pytest.raises(LimitExceeded) as refused:
        record_prompt(alice.pk, CENT // 2, source="test", key="c", now=NOON)
    assert refused.value.details["limit_name"] == "ai_prompts_per_day"


def test_a_changed_cap_holds_from_the_next_token_on(paying, use):
    use(paying, "ai_token", 50 * CENT)
    set_spend_cap(paying.pk, 50, NOON)
    with pytest.raises(SpendCapReached):
        use(paying, "ai_token", 1)
    set_spend_cap(paying.pk, 51, NOON)
    use(paying, "ai_token", CENT)
    remove_spend_cap(paying.pk)
    use(paying, "ai_token", CENT)
    # Lowered below what is spent: it only stops further use.
    set_spend_cap(paying.pk, 10, NOON)
    with pytest.raises(SpendCapReached):
        use(paying, "ai_token", 1)
    assert spent_cents(paying) == 52
    spending = spending_of(paying.pk, NOON)
    assert (spending.cap_cents, spending.left) == (10, 0)


@pytest.mark.django_db(transaction=True)
def test_a_process_that_remembers_the_old_cap_notices(alice, give_plan, use):
    """Outside of a transaction the facts are remembered: the statement itself sees that the cap is another one."""
    give_plan(alice, token_price_cents=400)
    use(alice, "ai_token", CENT)
    SpendCap.objects.create(user=alice, cents=1)
    with pytest.raises(SpendCapReached):
        use(alice, "ai_token", 1)
    SpendCap.objects.filter(user=alice).update(cents=2)
    use(alice, "ai_token", CENT)


def test_a_hold_takes_of_the_cap_until_it_is_settled_or_forgotten(paying, use):
    set_spend_cap(paying.pk, 10, NOON)
    made = hold(paying.pk, "ai_prompt", 1, tokens=8 * CENT, source="test", key="h", now=NOON)
    with pytest.raises(SpendCapReached) as refused:
        use(paying, "ai_token", 3 * CENT)
    assert refused.value.details["held"] == 0.08
    with pytest.raises(SpendCapReached):
        hold(paying.pk, "ai_token", 3 * CENT, source="test", key="i", now=NOON)
    settle(made.hold["id"], 1, tokens=CENT, source="test", now=NOON)
    use(paying, "ai_token", 9 * CENT)
    assert spent_cents(paying) == 10


def test_an_expired_hold_stands_in_nobodys_way(paying, use):
    set_spend_cap(paying.pk, 10, NOON)
    hold(paying.pk, "ai_token", 10 * CENT, source="test", key="h", now=NOON)
    later = NOON + timedelta(minutes=6)
    use(paying, "ai_token", 10 * CENT, now=later)
    assert give_back_expired_holds(later) == 0


def test_what_was_truly_used_is_charged_beyond_the_cap(paying):
    """It has been used; the hold was too small."""
    set_spend_cap(paying.pk, 10, NOON)
    made = hold(paying.pk, "ai_token", 10 * CENT, source="test", key="h", now=NOON)
    settle(made.hold["id"], 12 * CENT, source="test", now=NOON)
    assert spent_cents(paying) == 12


def test_a_batch_stops_at_the_cap_event_by_event(paying):
    set_spend_cap(paying.pk, 3, NOON)
    events = [use_of(paying.pk, "ai_token", n * CENT, source="b", key=f"k{i}") for i, n in enumerate((2, 2, 1, 1))]
    answers = record_batch(events, source="b", now=NOON)
    assert [answer.status for answer in answers] == ["accepted", "refused", "accepted", "refused"]
    assert answers[1].error.code == "spend_cap_reached"
    assert spent_cents(paying) == 3


def test_the_next_month_begins_with_the_whole_cap(paying, use):
    set_spend_cap(paying.pk, 1, NOON)
    use(paying, "ai_token", CENT)
    with pytest.raises(SpendCapReached):
        use(paying, "ai_token", 1)
    use(paying, "ai_token", CENT, now=NOON + timedelta(days=31))


def test_bobs_cap_is_bobs(paying, bob, use):
    set_spend_cap(bob.pk, 0, NOON)
    use(paying, "ai_token", CENT)


@pytest.mark.django_db(transaction=True)
def test_exactly_the_cap_is_spent_however_many_try_at_once(at_once, alice, give_plan, use):
    give_plan(alice, token_price_cents=400)
    set_spend_cap(alice.pk, 17, NOON)

    def try_five(i):
        outcomes = []
        for n in range(5):
            try:
                if (i + n) % 3:
                    outcomes.append(use(alice, "ai_token", CENT))
                else:
                    made = hold(alice.pk, "ai_token", CENT, source="test", key=f"{i}-{n}", now=NOON)
                    outcomes.append(settle(made.hold["id"], CENT, source="test", now=NOON))
            except SpendCapReached:
                outcomes.append(None)
        return outcomes

    outcomes = [outcome for of_a_thread in at_once(8, try_five) for outcome in of_a_thread]
    assert len([outcome for outcome in outcomes if outcome is not None]) == 17
    assert any(isinstance(outcome, Recorded) for outcome in outcomes)
    counter = UsageCounter.objects.get(feature=SPEND)
    assert (counter.used, counter.held) == (17 * 10**9, 0)
    assert sum(UsageEvent.objects.values_list("cost_nanocents", flat=True)) == counter.used


# --- the quote --------------------------------------------------------------------------------------------------------


def test_a_quote_says_what_it_would_cost_and_whether_it_fits(paying, use):
    set_spend_cap(paying.pk, 10, NOON)
    use(paying, "ai_token", 9 * CENT)
    quote = quote_prompt(paying.pk, CENT, model="m", now=NOON)
    assert (quote.cost, quote.factor, quote.refusal) == (10**9, 1000, None)
    assert quote.prompts["remaining"] == 3
    assert quote.spending.left == 10**9
    assert quote_prompt(paying.pk, CENT + 1, now=NOON).refusal.code == "spend_cap_reached"
    for n in range(3):
        use(paying, "ai_prompt", key=f"p{n}")
    assert quote_prompt(paying.pk, CENT, now=NOON).refusal.code == "limit_exceeded"
    # It has held and counted nothing.
    assert UsageCounter.objects.get(feature=SPEND).held == 0


def test_an_expired_hold_makes_no_quote_say_no(paying):
    set_spend_cap(paying.pk, 10, NOON)
    hold(paying.pk, "ai_prompt", 3, tokens=10 * CENT, source="test", key="h", now=NOON)
    assert quote_prompt(paying.pk, CENT, now=NOON).refusal.code == "limit_exceeded"
    later = NOON + timedelta(minutes=6)
    quote = quote_prompt(paying.pk, CENT, now=later)
    assert (quote.refusal, quote.spending.held) == (None, 0)


def test_a_quote_without_a_plan_says_so(alice):
    assert quote_prompt(alice.pk, 10, now=NOON).refusal.code == "no_active_plan"


# --- through API and page ---------------------------------------------------------------------------------------------


@pytest.fixture
def paying_now(alice, give_plan):
    give_plan(alice, start=timezone.now() - timedelta(days=3), token_price_cents=400)
    return alice


def test_the_api_sets_shows_and_removes_the_cap(paying_now, use, client):
    client.force_login(paying_now)
    use(paying_now, "ai_token", 1_234, now=timezone.now())
    said = client.put("/api/user/spend_cap", {"amount": 12.5}, content_type="application/json").json()
    assert (said["spend_cap"], said["spent"], said["spent_exact"]) == (12.5, 0.0, "0.004936")
    assert (said["remaining"], said["remaining_exact"], said["price_per_million"]) == (12.5, "12.495064", 4.0)
    assert client.get("/api/user/spend_cap").json()["spend_cap"] == 12.5
    assert client.delete("/api/user/spend_cap").json()["spend_cap"] is None
    assert client.delete("/api/user/spend_cap").status_code == 200


@pytest.mark.parametrize("amount", [-1, 10_000.01, "5", True, None, 1.005, [1]])
def test_a_cap_that_is_none_is_refused(alice, client, amount):
    client.force_login(alice)
    answer = client.put("/api/user/spend_cap", {"amount": amount}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert not SpendCap.objects.exists()


def test_a_backend_reads_the_refusal(paying_now, backend):
    set_spend_cap(paying_now.pk, 0, timezone.now())
    event = {"user_id": paying_now.pk, "feature": "ai_token", "amount": 5, "key": "e"}
    answer = backend.post("/api/usage/events", event, format="json")
    assert (answer.status_code, answer.json()["code"]) == (402, "spend_cap_reached")
    assert answer.json()["upgrade_url"].endswith("/account/ai-costs")
    hold_it = {"user_id": paying_now.pk, "feature": "ai_prompt", "amount": 1, "tokens": 5, "key": "h"}
    assert backend.post("/api/usage/holds", hold_it, format="json").json()["code"] == "spend_cap_reached"


def test_a_backend_gets_a_quote_and_a_user_their_own(paying_now, backend, client, api_key):
    asked = {"user_id": paying_now.pk, "tokens": 1_000_000, "model": "m"}
    said = backend.post("/api/usage/quote", asked, format="json").json()
    assert (said["cost"], said["cost_exact"], said["fits"], said["error"]) == (4.0, "4.00", True, None)
    client.force_login(paying_now)
    mine = client.get("/api/user/usage/quote?tokens=1000000&model=m").json()
    assert mine == said
    assert client.post("/api/usage/quote", asked, content_type="application/json").status_code == 401
    assert backend.post("/api/usage/quote", asked | {"user_id": 10**9}, format="json").status_code == 404


def test_the_page_sets_and_removes_the_cap(paying_now, client, use):
    client.force_login(paying_now)
    use(paying_now, "ai_token", 1_234, model="opus", now=timezone.now())
    assert client.post("/account/ai-costs/cap", {"amount": "12.50"}).status_code == 303
    page = client.get("/account/ai-costs").content.decode()
    assert "$12.50 a month" in page
    assert "1,234 × 1 × $4.00 per million" in page
    assert "$0.004936" in page
    refused = client.post("/account/ai-costs/cap", {"amount": "10000.01"})
    assert refused.status_code == 400
    assert SpendCap.objects.get().cents == 1250
    client.post("/account/ai-costs/cap", {"remove": "1"})
    assert not SpendCap.objects.exists()


def test_the_page_shows_the_prompts_behind_a_receipt(paying_now, client, use):
    client.force_login(paying_now)
    use(paying_now, "ai_token", 1_234, model="opus", now=timezone.now())
    [receipt] = client.get("/api/user/receipts").json()["receipts"]
    assert receipt["lines"][0]["formula"] == "1,234 tokens × 1 × $4.00 per million = $0.004936"
    [event] = client.get(receipt["events"]).json()["events"]
    assert (event["tokens"], event["rate_exact"], event["cost_exact"]) == (1_234, "4.00", "0.004936")
    page = client.get(receipt["events"].replace("/api/user/receipts/events", "/account/ai-costs/receipt"))
    assert "$0.004936" in page.content.decode()


def test_nobody_sees_anothers_receipts(paying_now, bob, client, use):
    use(paying_now, "ai_token", 1_234, now=timezone.now())
    client.force_login(bob)
    assert client.get("/api/user/receipts").json() == {"receipts": []}


# --- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cents", "level"), [(79, None), (80, "approaching"), (95, "critical"), (100, "exceeded"), (0, None)]
)
def test_a_cap_that_is_nearly_spent_is_told_on_every_page_and_in_the_api(paying_now, use, client, cents, level):
    if cents:
        use(paying_now, "ai_token", cents * CENT, now=timezone.now())
    set_spend_cap(paying_now.pk, 100, timezone.now())
    client.force_login(paying_now)
    said = client.get("/api/user/usage").json()
    tokens = next(limit for limit in said["limits"] if limit["feature"] == "ai_token")
    assert tokens["spending"]["spent"] == cents / 100
    assert [warning["level"] for warning in said["warnings"]] == ([level] if level else [])
    page = client.get("/account/ai-costs").content.decode()
    assert ("Raise or remove the cap" in page) == bool(level)


def test_other_features_have_no_spending(paying_now, client):
    client.force_login(paying_now)
    limits = client.get("/api/user/usage").json()["limits"]
    assert {limit["feature"] for limit in limits if limit["spending"] is not None} == {"ai_token"}
