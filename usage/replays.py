"""The first answer to an event that is sent again; and how long it is remembered."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q

from datilio.errors import IdempotencyKeyReused
from usage.features import FEATURES
from usage.limits import LimitOut, limit_out
from usage.models import UsageEvent, UsageKey
from usage.uses import LATEST, Use

# A key is forgotten this long after its event's own time, which may be 35 days before it was counted: so a retry is
# recognised for 65 days at least. One that gives its timestamp is refused as too late long before its key is forgotten.
KEYS_KEPT = timedelta(days=100)
assert KEYS_KEPT > 2 * LATEST
# Rows forgotten by one statement: short locks, and a task that can be stopped at any time.
_AT_ONCE = 10_000


class Recorded(NamedTuple):
    """event: UsageOut; limit: LimitOut with this event in it; replay: it was counted before, and this is what was
    answered then."""

    event: dict[str, Any]
    limit: LimitOut
    replay: bool


def first_answer(use: Use) -> Recorded | None:
    """What this (source, key) was answered when it was counted; None: it never was. Raises IdempotencyKeyReused."""
    return first_answers(use.source, [use]).get(use.key)


def first_answers(source: str, uses: Iterable[Use]) -> dict[str, Recorded]:
    """{key: the first answer} of those that were counted. Two queries. Raises IdempotencyKeyReused for one use."""
    by_key = {use.key: use for use in uses}
    keys = UsageKey.objects.filter(source=source, key__in=list(by_key))
    found = {key.key: key for key in keys}
    for key in found.values():
        if key.fingerprint != by_key[key.key].fingerprint:
            raise IdempotencyKeyReused()
    events = events_of(found.values())
    return {key.key: answer_of(events[key.event_id]) for key in found.values() if key.event_id in events}


def events_of(keys: Iterable[UsageKey]) -> dict[int, dict[str, Any]]:
    """{id: the event's row} of these keys. Both columns are asked for: the timestamp names the partition."""
    places = [Q(id=key.event_id, timestamp=key.timestamp) for key in keys if key.event_id is not None]
    if not places:
        return {}
    if len(places) == 1:
        rows = UsageEvent.objects.filter(places[0])
    else:
        rows = UsageEvent.objects.filter(
            id__in=[key.event_id for key in keys], timestamp__in={key.timestamp for key in keys}
        )
    return {row["id"]: row for row in rows.values()}


def answer_of(event: dict[str, Any]) -> Recorded:
    return Recorded(
        {name: event[name] for name in ("id", "user_id", "feature", "amount", "timestamp")},
        limit_out(FEATURES[event["feature"]], event["used_after"], event["limit_then"], event["resets_at"]),
        replay=True,
    )


def forget_old_keys(now: datetime) -> int:
    """Delete the keys that no retry can carry any more. Returns how many."""
    forgotten = 0
    while True:
        old = UsageKey.objects.filter(timestamp__lt=now - KEYS_KEPT).order_by("timestamp")[:_AT_ONCE]
        keys = list(old.values_list("source", "key"))
        if not keys:
            return forgotten
        by_source: dict[str, list[str]] = {}
        for source, key in keys:
            by_source.setdefault(source, []).append(key)
        for source, of_source in by_source.items():
            forgotten += UsageKey.objects.filter(
                source=source, key__in=of_source, timestamp__lt=now - KEYS_KEPT
            ).delete()[0]
