"""When a limit will be reached if use goes on as it has in this window."""

from datetime import datetime

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
