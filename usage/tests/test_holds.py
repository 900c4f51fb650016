"""The worst case is held, the true use is settled, what is forgotten gives itself back."""

from datetime import timedelta

import pytest

from datilio.errors import IdempotencyKeyReused, InvalidInput
from usage.errors import HoldIsReleased, HoldIsSettled, HoldNotFound, LimitExceeded, NoActivePlan, UserNotFound
from usage.holds import give_back_expired_holds, hold, release, settle
from usage.metering import record_prompt
from usage.models import UsageAlert, UsageCounter, UsageDay, UsageEvent, UsageHold
from usage.tests.conftest import NOON

LATER = NOON + timedelta(minutes=6)


def held(user, feature="ai_prompt", amount=1, key="h", **arguments):
    return hold(user.pk, feature, amount, source="test", key=key, **({"now": NOON} | arguments))


def counters():
    return {row.feature: (row.used, row.held) for row in UsageCounter.objects.all()}


def test_a_hold_takes_room_and_the_settled_use_gives_the_rest_back(alice, give_plan, use):
    give_plan(alice)
    made = held(alice, "synthetic_rows", 900)
    assert made.hold == {
        "id": made.hold["id"],
        "user_id": alice.pk,
        "feature": "synthetic_rows",
        "amount": 900,
        "tokens": None,
        "expires_at": NOON + timedelta(minutes=5),
        "state": "open",
    }
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "synthetic_rows", 101)
    assert (refused.value.details["used"], refused.value.details["held"]) == (0, 900)
    assert not UsageEvent.objects.exists()
    settled = settle(made.hold["id"], 20, source="test", now=NOON + timedelta(seconds=9))
    assert [(event["feature"], event["amount"], event["timestamp"]) for event in settled.usage] == [
        ("synthetic_rows", 20, NOON)
    ]
    assert counters() == {"synthetic_rows": (20, 0)}
    assert UsageEvent.objects.get().used_after == 20
    assert UsageDay.objects.get().amount == 20
    assert use(alice, "synthetic_rows", 980).limit["used"] == 1000


def test_two_holds_share_the_limit(alice, give_plan):
    give_plan(alice)
    held(alice, amount=2)
    with pytest.raises(LimitExceeded):
        held(alice, amount=2, key="other")
    assert counters() == {"ai_prompt": (0, 2)}
    assert UsageHold.objects.count() == 1


def test_a_first_hold_over_the_limit_leaves_nothing(alice, give_plan):
    give_plan(alice)
    with pytest.raises(LimitExceeded):
        held(alice, amount=4)
    assert not UsageCounter.objects.exists()


def test_a_prompt_is_held_with_its_tokens_and_settled_with_them(alice, give_plan):
    give_plan(alice)
    made = held(alice, tokens=4000, model="m-1")
    assert counters() == {"ai_prompt": (0, 1), "ai_token": (0, 4000)}
    settled = settle(made.hold["id"], 1, tokens=321, source="test", now=LATER)
    assert [(event["feature"], event["amount"]) for event in settled.usage] == [("ai_prompt", 1), ("ai_token", 321)]
    assert counters() == {"ai_prompt": (1, 0), "ai_token": (321, 0)}
    assert set(UsageEvent.objects.values_list("model", flat=True)) == {"m-1"}


def test_tokens_that_cannot_be_held_take_their_prompt_back(alice, give_plan):
    give_plan(alice)
    record_prompt(alice.pk, 1, source="test", key="p", now=NOON)
    UsageCounter.objects.filter(feature="ai_token").update(used=2**62)
    with pytest.raises(LimitExceeded):
        held(alice, tokens=10)
    assert counters()["ai_prompt"] == (1, 0)


def test_a_hold_is_made_once_for_its_key(alice, give_plan):
    give_plan(alice)
    first = held(alice)
    again = held(alice, now=NOON + timedelta(seconds=3))
    assert again.replay and not first.replay
    assert again.hold == first.hold
    assert counters() == {"ai_prompt": (0, 1)}
    with pytest.raises(IdempotencyKeyReused):
        held(alice, amount=2)


def test_whoever_asks_again_is_told_that_it_has_expired(alice, give_plan):
    """Also where no sweep has been by."""
    give_plan(alice)
    states = [held(alice, now=moment).hold["state"] for moment in (NOON, NOON + timedelta(minutes=4), LATER)]
    assert states == ["open", "open", "expired"]
    assert UsageHold.objects.get().state == "open"


def test_the_hold_that_filled_the_limit_is_still_replayed(alice, give_plan):
    give_plan(alice)
    assert held(alice, amount=3).hold == held(alice, amount=3).hold


def test_settling_twice_counts_once(alice, give_plan):
    give_plan(alice)
    hold_id = held(alice, tokens=100).hold["id"]
    first = settle(hold_id, 1, tokens=50, source="test", now=NOON)
    again = settle(hold_id, 1, tokens=50, source="test", now=LATER)
    assert again.replay and again.usage == first.usage
    with pytest.raises(HoldIsSettled) as refused:
        settle(hold_id, 1, tokens=51, source="test", now=LATER)
    assert refused.value.details["settled"] == {"ai_prompt": 1, "ai_token": 50}
    assert counters() == {"ai_prompt": (1, 0), "ai_token": (50, 0)}


def test_more_than_was_held_is_counted_too(alice, give_plan):
    give_plan(alice)
    settle(held(alice, amount=2).hold["id"], 5, source="test", now=NOON)
    assert counters() == {"ai_prompt": (5, 0)}
    assert sorted(UsageAlert.objects.values_list("threshold", flat=True)) == [80, 95, 100]


def test_nothing_used_leaves_no_event(alice, give_plan):
    give_plan(alice)
    assert settle(held(alice).hold["id"], 0, source="test", now=NOON).usage == []
    assert counters() == {"ai_prompt": (0, 0)}
    assert not UsageEvent.objects.exists()


def test_a_released_hold_gives_back_once(alice, give_plan):
    give_plan(alice)
    hold_id = held(alice, tokens=9).hold["id"]
    assert release(hold_id, source="test", now=NOON)["state"] == "released"
    release(hold_id, source="test", now=NOON)
    assert counters() == {"ai_prompt": (0, 0), "ai_token": (0, 0)}
    with pytest.raises(HoldIsReleased):
        settle(hold_id, 1, tokens=1, source="test", now=NOON)


def test_a_settled_hold_cannot_be_released(alice, give_plan):
    give_plan(alice)
    hold_id = held(alice).hold["id"]
    settle(hold_id, 1, source="test", now=NOON)
    with pytest.raises(HoldIsSettled):
        release(hold_id, source="test", now=NOON)


def test_an_expired_hold_gives_itself_back_once(alice, give_plan):
    give_plan(alice)
    hold_id = held(alice, tokens=9).hold["id"]
    assert give_back_expired_holds(NOON + timedelta(minutes=5) - timedelta(microseconds=1)) == 0
    assert give_back_expired_holds(LATER) == 1
    assert give_back_expired_holds(LATER) == 0
    assert counters() == {"ai_prompt": (0, 0), "ai_token": (0, 0)}
    assert release(hold_id, source="test", now=LATER)["state"] == "released"


@pytest.mark.parametrize("taker", ["event", "hold", "prompt"])
def test_what_has_expired_makes_room_for_who_would_be_refused(alice, give_plan, use, taker):
    give_plan(alice)
    held(alice, amount=3)
    if taker == "event":
        use(alice, "ai_prompt", 3, now=LATER)
    elif taker == "hold":
        held(alice, amount=3, key="next", now=LATER)
    else:
        record_prompt(alice.pk, 5, source="test", key="p", now=LATER)
    assert UsageHold.objects.get(key="h").state == "expired"


def test_true_use_is_counted_after_the_hold_expired_and_beyond_the_limit(alice, give_plan, use):
    give_plan(alice)
    hold_id = held(alice, amount=2).hold["id"]
    use(alice, "ai_prompt", 3, now=LATER)
    settle(hold_id, 2, source="test", now=LATER)
    assert counters() == {"ai_prompt": (5, 0)}


def test_it_counts_in_the_window_in_which_it_was_held(alice, give_plan):
    give_plan(alice)
    midnight = NOON.replace(day=16, hour=0)
    hold_id = held(alice, now=midnight - timedelta(seconds=1)).hold["id"]
    settle(hold_id, 1, source="test", now=midnight + timedelta(seconds=20))
    assert UsageCounter.objects.get().window_start == NOON.replace(hour=0)
    assert UsageDay.objects.get().day == NOON.date()


def test_a_hold_belongs_to_who_made_it(alice, give_plan):
    give_plan(alice)
    hold_id = held(alice).hold["id"]
    for wrong in (lambda: settle(hold_id, 1, source="other", now=NOON), lambda: release(hold_id, source="x", now=NOON)):
        with pytest.raises(HoldNotFound):
            wrong()


def test_without_a_plan_nothing_is_held(alice):
    with pytest.raises(NoActivePlan):
        held(alice)
    with pytest.raises(UserNotFound):
        hold(2**62, "ai_prompt", 1, source="test", key="h", now=NOON)


@pytest.mark.parametrize(
    "wrong",
    [{"amount": 0}, {"amount": -1}, {"feature": "cpu"}, {"tokens": 0}, {"tokens": 10**12 + 1}]
    + [{"feature": "ai_token", "tokens": 5}, {"expires_in": timedelta(seconds=9)}]
    + [{"expires_in": timedelta(seconds=3601)}, {"feature": "file_upload", "amount": -1}],
)
def test_holds_that_do_not_exist(alice, give_plan, wrong):
    give_plan(alice)
    with pytest.raises(InvalidInput):
        held(alice, **wrong)
    assert not UsageHold.objects.exists()


@pytest.mark.parametrize("wrong", [{"tokens": None}, {"tokens": -1}, {"amount": -1, "tokens": 1}])
def test_settlements_that_do_not_exist(alice, give_plan, wrong):
    give_plan(alice)
    hold_id = held(alice, tokens=5).hold["id"]
    with pytest.raises(InvalidInput):
        settle(hold_id, source="test", now=NOON, **({"amount": 1} | wrong))
    assert counters() == {"ai_prompt": (0, 1), "ai_token": (0, 5)}
