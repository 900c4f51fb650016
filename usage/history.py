"""The list of what a user has used, newest first, page by page."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from datilio.errors import InvalidInput
from usage.models import UsageEvent

_USAGE_OUT = ("id", "user_id", "feature", "amount", "timestamp")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def usage_of(
    user_id: int,
    *,
    limit: int,
    cursor: str | None = None,
    feature: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """(UsageOut rows with since <= timestamp < until, the cursor of the next page or None). One query.

    The cursor names the last row seen, so new events neither repeat nor hide any. Raises InvalidInput.
    """
    return rows_of(user_id, limit=limit, cursor=cursor, feature=feature, since=since, until=until, fields=_USAGE_OUT)


def rows_of(
    user_id: int,
    *,
    limit: int,
    fields: tuple[str, ...],
    cursor: str | None = None,
    feature: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """The same with other `fields` of UsageEvent, `id` and `timestamp` among them."""
    events = UsageEvent.objects.filter(user_id=user_id)
    if feature:
        events = events.filter(feature=feature)
    if since:
        events = events.filter(timestamp__gte=since)
    if until:
        events = events.filter(timestamp__lt=until)
    if cursor:
        timestamp, event_id = read_cursor(cursor)
        # The first condition is what the index can start from.
        events = events.filter(Q(timestamp__lte=timestamp), Q(timestamp__lt=timestamp) | Q(id__lt=event_id))
    rows = list(events.order_by("-timestamp", "-id").values(*fields)[: limit + 1])
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], write_cursor(rows[limit - 1])


def write_cursor(row: dict[str, Any]) -> str:
    microseconds = (row["timestamp"] - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}.{row['id']}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, int]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        microseconds, event_id = (int(part) for part in text.split("."))
        timestamp = _EPOCH + timedelta(microseconds=microseconds)
        if not 0 < event_id < 2**63 or write_cursor({"timestamp": timestamp, "id": event_id}) != cursor:
            raise ValueError
    except (ValueError, OverflowError, binascii.Error) as exc:
        raise InvalidInput({"cursor": ["Send the `next_cursor` of the page before, unchanged."]}) from exc
    return timestamp, event_id
