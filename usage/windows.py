"""Period boundaries, derived from time alone: nothing is ever reset, a new window simply has no counter yet.

Pure functions of aware datetimes; everything is UTC, so daylight saving has no part in it.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from usage.features import Window

# The start of the one window of what has none.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def window_at(window: Window, now: datetime, anchor: datetime) -> tuple[datetime, datetime | None]:
    """(start, end) of the window that holds `now`: start <= now < end. An end of None: it never ends.

    anchor: when the plan started; only its UTC day of the month counts, so that a window turns at midnight UTC.
    """
    match window:
        case Window.NONE:
            return ALWAYS, None
        case Window.DAY:
            return day_at(now)
        case Window.MONTH:
            return month_at(now, anchor)


def day_at(now: datetime) -> tuple[datetime, datetime]:
    return _day_of(now.astimezone(UTC).date())


def month_at(now: datetime, anchor: datetime) -> tuple[datetime, datetime]:
    """The month that begins on the anchor's day. In a month too short for it, on its last day; the month after that
    begins on the anchor's day again: 31 Jan, 28 Feb, 31 Mar."""
    now = now.astimezone(UTC)
    return _month_of(now.year, now.month, now.day, anchor.astimezone(UTC).day)


# Asked for with every event, and there are few: a day of every anchor.


@lru_cache(maxsize=256)
def _day_of(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


@lru_cache(maxsize=4096)
def _month_of(year: int, month: int, day: int, turns_on: int) -> tuple[datetime, datetime]:
    turn = _turn(year, month, turns_on)
    # It turns at midnight, so the day alone tells.
    if day >= turn.day:
        return turn, _turn(*_next(year, month), turns_on)
    return _turn(*_previous(year, month), turns_on), turn


def _turn(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, min(day, monthrange(year, month)[1]), tzinfo=UTC)


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def _previous(year: int, month: int) -> tuple[int, int]:
    return (year - 1, 12) if month == 1 else (year, month - 1)
