"""How many files there are now: the difference counts."""

from datetime import timedelta

import pytest

from datilio.errors import IdempotencyKeyReused, InvalidInput
from usage.errors import LimitExceeded, NoActivePlan, UserNotFound
from usage.holds import hold
from usage.levels import set_level
from usage.models import UsageCounter, UsageDay, UsageEvent
from usage.tests.conftest import NOON


def level(user, number, key, feature="file_upload", now=NOON):
    return set_level(getattr(user, "pk", user), feature, number, source="test", key=key, now=now)


def test_the_difference_is_counted(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 4)
    up, down = level(alice, 9, "up"), level(alice, 2, "down")
    assert (up.usage["amount"], up.limit["used"], up.limit["limit"]) == (5, 9, 10)
    assert (down.usage["amount"], down.limit["used"]) == (-7, 2)
    assert UsageCounter.objects.get().used == UsageDay.objects.get().amount == 2
    assert list(UsageEvent.objects.order_by("id").values_list("amount", flat=True)) == [4, 5, -7]


def test_the_same_key_changes_nothing_again(alice, give_plan, use):
    give_plan(alice)
    first = level(alice, 5, "k")
    use(alice, "file_upload", 2)
    again = level(alice, 5, "k")
    assert again.replay and (again.usage, again.limit) == (first.usage, first.limit)
    assert UsageCounter.objects.get().used == 7
    with pytest.raises(IdempotencyKeyReused):
        level(alice, 6, "k")
    with pytest.raises(IdempotencyKeyReused):
        use(alice, "file_upload", 5, key="k")


def test_a_level_that_was_there_takes_its_key(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 3)
    same = level(alice, 3, "k")
    assert (same.usage, same.limit["used"], same.replay) == (None, 3, False)
    use(alice, "file_upload", 2)
    assert level(alice, 3, "k").replay
    assert UsageCounter.objects.get().used == 5
    assert UsageEvent.objects.count() == 2


def test_more_must_fit_and_fewer_always_do(alice, bob, give_plan, use):
    plan = give_plan(alice)
    with pytest.raises(LimitExceeded):
        level(alice, 11, "too many")
    level(alice, 10, "full")
    plan.is_live, plan.status = False, "canceled"
    plan.save()
    assert level(alice, 4, "fewer").limit["used"] == 4
    with pytest.raises(NoActivePlan):
        level(alice, 5, "more")
    with pytest.raises(UserNotFound):
        level(2**62, 1, "nobody")


@pytest.mark.parametrize(("feature", "number"), [("ai_prompt", 1), ("cpu", 1), ("file_upload", -1)])
def test_levels_that_do_not_exist(alice, give_plan, feature, number):
    give_plan(alice)
    with pytest.raises(InvalidInput):
        level(alice, number, "k", feature)


def test_through_the_api(backend, an_event, alice):
    body = {"user_id": alice.pk, "feature": "file_upload", "level": 6, "key": "tonight"}
    an_event()
    first = backend.post("/api/usage/events", body)
    assert first.status_code == 201, first.content
    assert (first.json()["usage"]["amount"], first.json()["limit"]["used"]) == (6, 6)
    again = backend.post("/api/usage/events", body)
    assert (again.status_code, again.json()) == (200, first.json())
    for wrong in ({"level": -1}, {"level": True}, {"feature": "ai_prompt"}, {"amount": 1}, {"key": ""}):
        response = backend.post("/api/usage/events", body | wrong)
        assert response.status_code == 400, response.content
        assert list(response.json()["errors"]) == list(wrong)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_end_at_one_of_the_two(at_once, alice, give_plan):
    give_plan(alice)
    outcomes = at_once(6, lambda i: level(alice, (4, 7)[i % 2], f"k{i}"))
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    used = UsageCounter.objects.get().used
    assert used in (4, 7)
    assert sum(UsageEvent.objects.values_list("amount", flat=True)) == used


def test_an_expired_hold_stands_in_nobodys_way(alice, give_plan):
    """Without a sweep: the level gives it back itself, as an event does."""
    give_plan(alice)
    hold(alice.pk, "file_upload", 8, source="test", key="h", now=NOON)
    with pytest.raises(LimitExceeded):
        level(alice, 5, "up")
    later = NOON + timedelta(minutes=6)
    assert level(alice, 5, "up", now=later).limit["used"] == 5
    assert UsageCounter.objects.get().held == 0
