"""Windows tile time: every moment lies in exactly one, whatever the anchor."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.features import Window
from usage.windows import ALWAYS, day_at, month_at, window_at

# The machine may be busy with other tests.
unhurried = settings(deadline=None)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


moments = st.datetimes(
    datetime(1971, 1, 1),
    datetime(2200, 1, 1),
    timezones=st.just(UTC)
    | st.builds(timezone, st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))),
)


@unhurried
@given(st.sampled_from([Window.DAY, Window.MONTH]), moments, moments)
def test_a_window_holds_the_moment_it_was_asked_for(window, now, anchor):
    start, end = window_at(window, now, anchor)
    assert start <= now < end
    assert start.tzinfo is UTC and end.tzinfo is UTC


@pytest.mark.slow
@unhurried
@given(st.sampled_from([Window.DAY, Window.MONTH]), moments, moments)
def test_windows_touch_without_gap_or_overlap(window, now, anchor):
    start, end = window_at(window, now, anchor)
    assert window_at(window, end, anchor)[0] == end
    assert window_at(window, start, anchor) == (start, end)
    assert window_at(window, start - timedelta(microseconds=1), anchor)[1] == start


@unhurried
@given(moments, moments)
def test_a_month_turns_at_midnight_on_the_anchors_day_or_the_months_last(now, anchor):
    for turn in month_at(now, anchor):
        assert (turn.hour, turn.minute, turn.second, turn.microsecond) == (0, 0, 0, 0)
        assert turn.day == min(anchor.astimezone(UTC).day, monthrange(turn.year, turn.month)[1])


@unhurried
@given(moments, moments, st.integers(0, 23))
def test_the_hour_of_the_anchor_does_not_matter(now, anchor, hour):
    assert month_at(now, anchor) == month_at(now, anchor.astimezone(UTC).replace(hour=hour))


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        (utc(2026, 1, 31), utc(2026, 1, 31), utc(2026, 2, 28)),
        (utc(2026, 2, 28), utc(2026, 2, 28), utc(2026, 3, 31)),
        (utc(2026, 3, 30, 23, 59), utc(2026, 2, 28), utc(2026, 3, 31)),
        (utc(2026, 3, 31), utc(2026, 3, 31), utc(2026, 4, 30)),
        (utc(2028, 2, 29), utc(2028, 2, 29), utc(2028, 3, 31)),
        (utc(2026, 12, 31), utc(2026, 12, 31), utc(2027, 1, 31)),
        (utc(2027, 1, 1), utc(2026, 12, 31), utc(2027, 1, 31)),
    ],
)
def test_a_plan_begun_on_the_31st(now, start, end):
    assert month_at(now, anchor=utc(2025, 8, 31, 17)) == (start, end)


def test_a_plan_begun_on_29_february_turns_on_the_28th_in_other_years():
    assert month_at(utc(2027, 3, 1), anchor=utc(2024, 2, 29)) == (utc(2027, 2, 28), utc(2027, 3, 29))


def test_a_day_is_a_utc_day_wherever_the_clock_stands():
    in_auckland = datetime(2026, 3, 15, 1, tzinfo=timezone(timedelta(hours=13)))
    assert day_at(in_auckland) == (utc(2026, 3, 14), utc(2026, 3, 15))


def test_what_has_no_window_has_one_that_never_ends():
    assert window_at(Window.NONE, utc(2026, 3, 15), utc(2026, 1, 1)) == (ALWAYS, None)
