"""What comes of it if use goes on as it has in this window: when a limit is reached, how much it will be."""

from datetime import datetime, timedelta

# Before this part of the window has passed, one busy minute would look like a whole day's pace.
TOO_EARLY = 10  # a tenth


def can_tell(start: datetime, end: datetime | None, since: datetime, now: datetime) -> bool:
    """Has enough of the window been seen? since: from when on there was anything to use."""
    return end is not None and (now - max(start, since)) * TOO_EARLY >= end - start


def runs_out_at(
    used: int, limit: int | None, *, start: datetime, end: datetime | None, since: datetime, now: datetime
) -> datetime | None:
    """The moment (to the minute) at which `limit` is reached at the present pace. None: not before the window ends, no
    limit, no window, reached already, or too early to tell."""
    if end is None or not limit or not 0 < used < limit or not can_tell(start, end, since, now):
        return None
    windows_left = (limit - used) / used * ((now - max(start, since)) / (end - start))
    # Asked first: what lasts for millions of years is no date.
    if windows_left > 1:
        return None
    at = now + (end - start) * windows_left
    return at.replace(second=0, microsecond=0) if at < end else None


def at_the_end(used: int, *, start: datetime, end: datetime | None, since: datetime, now: datetime) -> int | None:
    """How much it will be when the window ends, at the present pace. None: no window, or too early to tell."""
    if end is None or not can_tell(start, end, since, now):
        return None
    passed, left = now - max(start, since), end - now
    second = timedelta(seconds=1)
    return used + used * (left // second) // max(1, passed // second)
