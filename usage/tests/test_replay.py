"""The same key is the same event: it counts once and gets the first answer, whatever has happened since."""

from datetime import timedelta

import pytest

from datilio.errors import IdempotencyKeyReused
from usage.errors import LimitExceeded
from usage.models import UsageCounter, UsageEvent
from usage.tests.conftest import NOON


def test_a_replay_counts_nothing_and_repeats_the_first_answer(alice, give_plan, use):
    give_plan(alice)
    first = use(alice, "synthetic_rows", 300, key="k")
    use(alice, "synthetic_rows", 500)
    again = use(alice, "synthetic_rows", 300, key="k", now=NOON + timedelta(days=40))
    assert again.replay and not first.replay
    assert (again.event, again.limit) == (first.event, first.limit)
    assert UsageCounter.objects.get().used == 800
    assert UsageEvent.objects.count() == 2


def test_the_event_that_filled_the_limit_is_still_replayed(alice, give_plan, use):
    give_plan(alice)
    first = use(alice, "ai_prompt", 3, key="k")
    assert use(alice, "ai_prompt", 3, key="k").limit == first.limit


def test_it_is_replayed_after_the_plan_has_ended(alice, give_plan, use):
    plan = give_plan(alice)
    use(alice, "ai_prompt", key="k")
    plan.is_live, plan.status = False, "canceled"
    plan.save()
    assert use(alice, "ai_prompt", key="k").replay


def test_it_is_replayed_when_its_timestamp_has_become_too_old(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", key="k", timestamp=NOON)
    assert use(alice, "ai_prompt", key="k", timestamp=NOON, now=NOON + timedelta(days=60)).replay


def test_files_that_went_are_not_removed_again(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 5)
    use(alice, "file_upload", -5, key="gone")
    assert use(alice, "file_upload", -5, key="gone").replay
    assert UsageCounter.objects.get().used == 0


@pytest.mark.parametrize(
    "change",
    [{"amount": 2}, {"feature": "ai_token"}, {"model": "m"}, {"timestamp": NOON}, {"size_mb": 1.0}],
    ids=lambda change: next(iter(change)),
)
def test_the_key_of_another_event_is_refused(alice, give_plan, use, change):
    give_plan(alice)
    feature = "file_upload" if "size_mb" in change else "ai_prompt"
    sent = {"feature": feature, "amount": 1, "key": "k"}
    use(alice, **sent)
    with pytest.raises(IdempotencyKeyReused) as refused:
        use(alice, **(sent | change))
    assert refused.value.status == 422
    assert UsageCounter.objects.get().used == 1


def test_the_key_of_another_customers_event_is_refused(alice, bob, give_plan, use):
    give_plan(bob, give_plan(alice).plan)
    use(alice, "ai_prompt", key="k")
    with pytest.raises(IdempotencyKeyReused):
        use(bob, "ai_prompt", key="k")


def test_two_sources_may_choose_the_same_key(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", key="k", source="one")
    assert use(alice, "ai_prompt", key="k", source="two").limit["used"] == 2


def test_a_refusal_is_not_remembered(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 10)
    with pytest.raises(LimitExceeded):
        use(alice, "file_upload", key="k")
    use(alice, "file_upload", -1)
    assert not use(alice, "file_upload", key="k").replay


def test_the_same_moment_in_another_zone_is_the_same_event(alice, give_plan, use):
    from datetime import timezone

    give_plan(alice)
    use(alice, "ai_prompt", key="k", timestamp=NOON)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert use(alice, "ai_prompt", key="k", timestamp=elsewhere).replay
