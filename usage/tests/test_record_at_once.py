"""Many at once, on a real database: exactly the limit is granted, and a key counts once."""

import pytest

from datilio.errors import IdempotencyKeyReused
from usage.errors import LimitExceeded, NothingToRemove
from usage.metering import Recorded, record_prompt
from usage.models import UsageAlert, UsageCounter, UsageEvent
from usage.tests.conftest import NOON

pytestmark = pytest.mark.django_db(transaction=True)


def granted(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, Recorded)]


def refused(outcomes, error=LimitExceeded):
    return [outcome for outcome in outcomes if isinstance(outcome, error)]


def test_exactly_the_limit_is_granted(at_once, alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(ai_prompts_per_day=17))
    outcomes = at_once(8, lambda i: [_or_error(use, alice, "ai_prompt") for _ in range(5)])
    outcomes = [outcome for of_a_thread in outcomes for outcome in of_a_thread]
    assert len(granted(outcomes)) == 17
    assert len(refused(outcomes)) == 40 - 17
    # Each saw the counter at its own place: nobody overtook anybody in between.
    assert sorted(outcome.limit["used"] for outcome in granted(outcomes)) == list(range(1, 18))
    assert UsageCounter.objects.get().used == UsageEvent.objects.count() == 17


def test_a_first_use_is_granted_once_when_there_is_room_for_one(at_once, alice, give_plan, use):
    give_plan(alice)
    outcomes = at_once(8, lambda i: use(alice, "synthetic_rows", 600))
    assert len(granted(outcomes)) == 1
    assert len(refused(outcomes)) == 7
    assert UsageCounter.objects.get().used == 600


def test_the_same_event_counts_once(at_once, alice, give_plan, use):
    give_plan(alice)
    outcomes = at_once(8, lambda i: use(alice, "synthetic_rows", 10, key="same"))
    assert len(granted(outcomes)) == 8, outcomes
    assert sum(not outcome.replay for outcome in outcomes) == 1
    assert len({(outcome.event["id"], outcome.limit["used"]) for outcome in outcomes}) == 1
    assert UsageCounter.objects.get().used == 10
    assert UsageEvent.objects.count() == 1


def test_the_same_event_that_fills_the_limit_counts_once_and_is_refused_to_nobody(at_once, alice, give_plan, use):
    give_plan(alice)
    outcomes = at_once(8, lambda i: use(alice, "ai_prompt", 3, key="same"))
    assert len(granted(outcomes)) == 8, outcomes


def test_one_key_for_different_events_counts_one_of_them(at_once, alice, give_plan, use):
    give_plan(alice)
    outcomes = at_once(8, lambda i: use(alice, "synthetic_rows", 10 + i, key="same"))
    assert len(granted(outcomes)) == 1
    assert len(refused(outcomes, IdempotencyKeyReused)) == 7
    assert UsageCounter.objects.get().used == UsageEvent.objects.get().amount


def test_one_key_for_two_customers_counts_for_one_of_them(at_once, alice, bob, give_plan, use):
    give_plan(bob, give_plan(alice).plan)
    outcomes = at_once(8, lambda i: use((alice, bob)[i % 2], "synthetic_rows", 10, key="same"))
    assert len(granted(outcomes)) == 4
    assert len(refused(outcomes, IdempotencyKeyReused)) == 4
    assert sum(UsageCounter.objects.values_list("used", flat=True)) == 10


def test_files_never_go_below_none(at_once, alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 5)
    outcomes = at_once(8, lambda i: use(alice, "file_upload", -1))
    assert len(granted(outcomes)) == 5
    assert len(refused(outcomes, NothingToRemove)) == 3
    assert UsageCounter.objects.get().used == 0


def test_files_coming_and_going_never_pass_the_limit(at_once, alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 8)
    outcomes = at_once(8, lambda i: [_or_error(use, alice, "file_upload", (3, -3)[i % 2]) for _ in range(4)])
    counted = granted([outcome for of_a_thread in outcomes for outcome in of_a_thread])
    assert all(0 <= outcome.limit["used"] <= 10 for outcome in counted)
    assert UsageCounter.objects.get().used == 8 + sum(outcome.event["amount"] for outcome in counted)


def test_prompts_and_their_tokens_stay_together(at_once, alice, give_plan, make_plan):
    give_plan(alice, make_plan(ai_prompts_per_day=5))
    outcomes = at_once(8, lambda i: record_prompt(alice.pk, 100, source="test", key=f"p{i}", now=NOON))
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) == 5
    assert dict(UsageCounter.objects.values_list("feature", "used")) == {"ai_prompt": 5, "ai_token": 500}


def test_a_threshold_is_told_once(at_once, alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(ai_prompts_per_day=8))
    at_once(8, lambda i: use(alice, "ai_prompt"))
    assert sorted(UsageAlert.objects.values_list("threshold", flat=True)) == [80, 95, 100]


def _or_error(use, *arguments):
    try:
        return use(*arguments)
    except Exception as error:
        return error
