"""Period boundaries, derived from time alone: nothing is ever reset, a new window simply has no counter yet.

Pure functions of aware datetimes; everything is UTC, so daylight saving has no part in it.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

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
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1)


def month_at(now: datetime, anchor: datetime) -> tuple[datetime, datetime]:
    """The month that begins on the anchor's day. In a month too short for it, on its last day; the month after that
    begins on the anchor's day again: 31 Jan, 28 Feb, 31 Mar."""
    now, day = now.astimezone(UTC), anchor.astimezone(UTC).day
    turn = _turn(now.year, now.month, day)
    if now >= turn:
        return turn, _turn(*_next(now.year, now.month), day)
    return _turn(*_previous(now.year, now.month), day), turn


def _turn(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, min(day, monthrange(year, month)[1]), tzinfo=UTC)


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def _previous(year: int, month: int) -> tuple[int, int]:
    return (year - 1, 12) if month == 1 else (year, month - 1)
