"""When a limit runs out at the present pace: told once a tenth of the window has passed, and only if it does."""

from datetime import UTC, datetime, timedelta

import pytest

from usage.limits import limits_of
from usage.pace import at_the_end, runs_out_at
from usage.tests.conftest import NOON

MIDNIGHT = datetime(2026, 3, 15, tzinfo=UTC)
LONG_AGO = MIDNIGHT - timedelta(days=90)


def told(used, limit=100, *, hour, minute=0, since=LONG_AGO):
    now = MIDNIGHT + timedelta(hours=hour, minutes=minute)
    return runs_out_at(used, limit, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1), since=since, now=now)


def test_half_used_at_eight_is_all_used_at_four():
    assert told(50, hour=8) == MIDNIGHT + timedelta(hours=16)


def test_it_waits_for_a_tenth_of_the_window():
    assert told(50, hour=2, minute=23) is None
    assert told(50, hour=2, minute=24) == MIDNIGHT + timedelta(hours=4, minutes=48)


@pytest.mark.parametrize("used", [0, 33, 100, 120])
def test_what_lasts_or_is_used_up_already_has_no_such_moment(used):
    assert told(used, hour=8) is None


@pytest.mark.parametrize("limit", [None, 0])
def test_no_limit_no_moment(limit):
    assert told(5, limit, hour=8) is None


def test_the_pace_of_a_new_plan_is_that_since_it_began():
    evening = MIDNIGHT + timedelta(hours=18)
    assert told(40, hour=20, since=evening) is None  # two hours are too short
    assert told(60, hour=21, since=evening) == MIDNIGHT + timedelta(hours=23)


def test_a_limit_that_lasts_for_ages_is_no_error():
    assert told(1, 2**62, hour=8) is None


def test_what_goes_on_as_it_began_is_so_much_at_the_end():
    at_eight = {"start": MIDNIGHT, "end": MIDNIGHT + timedelta(days=1), "now": MIDNIGHT + timedelta(hours=8)}
    assert at_the_end(50, since=LONG_AGO, **at_eight) == 150
    assert at_the_end(50, since=MIDNIGHT + timedelta(hours=4), **at_eight) == 250
    assert at_the_end(50, since=MIDNIGHT + timedelta(hours=7), **at_eight) is None
    assert at_the_end(50, since=LONG_AGO, **(at_eight | {"end": None})) is None
    assert at_the_end(10**18, since=LONG_AGO, **at_eight) == 3 * 10**18


def test_limits_tell_it_of_what_has_a_window(alice, give_plan, use):
    give_plan(alice, start=NOON - timedelta(days=40))
    use(alice, "ai_prompt", 2)
    use(alice, "file_upload", 9)
    limits = {limit["feature"]: limit for limit in limits_of(alice.pk, NOON)}
    assert limits["ai_prompt"]["runs_out_at"] == MIDNIGHT + timedelta(hours=18)
    assert limits["file_upload"]["runs_out_at"] is None
    assert (limits["ai_prompt"]["can_tell_pace"], limits["file_upload"]["can_tell_pace"]) == (True, False)
