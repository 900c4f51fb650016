"""Counting up to 1,000 events at once: each is answered for itself, in order, and what is accepted is written together.

On PostgreSQL one transaction with one round trip per table: the plans of all users, their counters (locked in one
order, so that two batches never wait for each other), the keys that are known; then Python decides in the order of the
events under those locks, and one statement writes. Events that say the same but for their key are worked out once.

A batch that is sent again finds all of its keys, a new one none: a few are looked for. All are where one of these is
known, where something would be refused (it may have been counted before), and when a key turns out to be taken.

On sqlite the events are counted one by one in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from django.db import OperationalError, connection, transaction
from psycopg import errors as pg

from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput, ServiceUnavailable
from usage.batch_statements import Group, NewEvents, insert_alerts, known_keys, lock_counters, write_events
from usage.holds import give_back_expired_holds_of
from usage.limits import thresholds_reached
from usage.metering import count_or_replay
from usage.models import UsageKey
from usage.partitions import make_partition_of
from usage.plan_facts import plan_facts_of_many
from usage.replays import answer_of, events_of
from usage.statements import KeyTaken, NoPartition
from usage.uses import Asked, Use, place_of
from usage.warning_mails import ring_for

MOST = 1000
# Two may meet at a key, or with a plan that changes; three meetings in a row is an overload.
_TRIES = 5
# Of up to a thousand keys so many are looked for at first.
_FEW_KEYS = 10


@dataclass(frozen=True, slots=True)
class Invalid:
    """An event that says what no event may say. key: as far as it has one."""

    key: str | None
    error: DomainError


class Answer(NamedTuple):
    """usage: UsageOut, with `duplicate` that of the first time; error: why it is `refused`."""

    key: str | None
    status: Literal["accepted", "duplicate", "refused"]
    usage: dict[str, Any] | None
    error: DomainError | None


def record_batch(events: Sequence[Use | Invalid], *, source: str, now: datetime) -> list[Answer]:
    """Count each event as `record` would, in order; the answers are in the same order. No event fails the others.

    All of them are of `source` (usage.uses.use_of makes them). Raises InvalidInput for none or more than 1,000, and
    ServiceUnavailable, which has counted nothing.
    """
    if not 1 <= len(events) <= MOST:
        raise InvalidInput({"events": [f"From 1 to {MOST:,} events."]})
    if connection.vendor != "postgresql":
        return _one_by_one(events, now)
    look_for_expired, look_for_all_keys = True, False
    for _ in range(_TRIES):
        try:
            with transaction.atomic():
                return _Batch(events, source, now, look_for_expired, look_for_all_keys).run()
        except _HoldsInTheWay as error:
            look_for_expired = bool(give_back_expired_holds_of(error.user_ids, now))
        except KeyTaken:
            look_for_all_keys = True
        except NoPartition:
            for month in {(use.sent_at or now).strftime("%Y%m"): use for use in _uses(events)}.values():
                make_partition_of(month.sent_at or now)
        except OperationalError as error:
            if not isinstance(error.__cause__, (pg.DeadlockDetected, pg.SerializationFailure)):
                raise
    raise ServiceUnavailable()


def _uses(events: Sequence[Use | Invalid]) -> list[Use]:
    return [event for event in events if isinstance(event, Use)]


# --- PostgreSQL: all together -----------------------------------------------------------------------------------------


# {key: (fingerprint, UsageOut)} of what is counted.
_Counted = dict[str, tuple[str, dict[str, Any] | None]]


class _HoldsInTheWay(Exception):
    """Something would be refused for what is held: perhaps that has expired."""

    def __init__(self, user_ids: list[int]) -> None:
        self.user_ids = user_ids


class _Batch:
    """One try, inside a transaction."""

    def __init__(
        self,
        events: Sequence[Use | Invalid],
        source: str,
        now: datetime,
        look_for_expired: bool,
        look_for_all_keys: bool,
    ) -> None:
        self.events = events
        self.source = source
        self.now = now
        self.look_for_expired = look_for_expired
        self.look_for_all_keys = look_for_all_keys
        self.asked = Asked()

    def run(self) -> list[Answer]:
        where = self._groups()
        groups = [group for group in dict.fromkeys(where) if isinstance(group, Group)]
        counters = lock_counters({key for group in groups for key in group.counter_keys})
        for group in groups:
            group.counters = [counters[key] for key in group.counter_keys]
        answers = self._answers(where, groups)
        if self.in_the_way and self.look_for_expired:
            raise _HoldsInTheWay(sorted(self.in_the_way))
        if self.new.usages:
            ids = write_events(self.source, self.new, counters.values())
            for usage, event_id in zip(self.new.usages, ids, strict=True):
                usage["id"] = event_id
        if alerts := {alert for group in groups for alert in _alerts(group)}:
            ring_for(insert_alerts(alerts))
        return answers

    def _answers(self, where: list[Group | DomainError], groups: list[Group]) -> list[Answer]:
        keys = [use.key for use in _uses(self.events)]
        few = keys[:: len(keys) // _FEW_KEYS + 1]
        if not self.look_for_all_keys and len(few) < len(keys) and not self._counted_before(few):
            answers = self._decide({}, where, groups)
            if all(answer.status != "refused" for answer in answers):
                return answers
        return self._decide(self._counted_before(keys), where, groups)

    def _decide(self, counted: _Counted, where: list[Group | DomainError], groups: list[Group]) -> list[Answer]:
        self.counted = counted  # and what this batch adds to it
        self.new = NewEvents()
        self.in_the_way: set[int] = set()
        for group in groups:
            group.begin()
        return [self._answer(event, group) for event, group in zip(self.events, where, strict=True)]

    def _groups(self) -> list[Group | DomainError]:
        """Where each event counts, or why it does not."""
        users = sorted({use.user_id for use in _uses(self.events)})
        plans = plan_facts_of_many(users) if users else {}
        if len(plans) < len(users):
            self.asked.look_for_users([user for user in users if user not in plans])
        groups: dict[tuple[Any, ...], Group | DomainError] = {}
        where: list[Group | DomainError] = []
        for event in self.events:
            if isinstance(event, Invalid):
                where.append(event.error)
                continue
            user_id, metered, amount, _, _, model, size_mb, sent_at, level = event
            says = (user_id, metered.name, amount, model, size_mb, sent_at, level)
            if (group := groups.get(says)) is None:
                try:
                    group = Group(event, place_of(event, plans.get(user_id), self.now, self.asked))
                except DomainError as error:
                    group = error
                groups[says] = group
            where.append(group)
        return where

    def _counted_before(self, keys: list[str]) -> _Counted:
        found = known_keys(self.source, keys)
        rows = events_of([UsageKey(event_id=event_id, timestamp=moment) for _, _, event_id, moment in found])
        return {
            key: (fingerprint, answer_of(rows[event_id]).event if event_id in rows else None)
            for key, fingerprint, event_id, _ in found
        }

    def _answer(self, event: Use | Invalid, group: Group | DomainError) -> Answer:
        if isinstance(event, Invalid):
            return Answer(event.key, "refused", None, event.error)
        key = event.key
        if (known := self.counted.get(key)) is not None:
            if known[0] != event.fingerprint:
                return Answer(key, "refused", None, IdempotencyKeyReused())
            return Answer(key, "duplicate", known[1], None)
        if not isinstance(group, Group):
            return Answer(key, "refused", None, group)
        bumps, counters = group.place.bumps, group.counters
        for bump, counter in zip(bumps, counters, strict=True):
            if not bump.fits(counter.used, counter.held):
                if counter.held and bump.amount > 0:
                    self.in_the_way.add(event.user_id)
                return Answer(key, "refused", None, bump.refusal(event, counter.used, counter.held, self.asked))
        for bump, counter in zip(bumps, counters, strict=True):
            counter.used += bump.amount
        if group.warned is not None:
            group.most_used = max(group.most_used, counters[group.warned].used)
        usage = {
            "id": 0,
            "user_id": event.user_id,
            "feature": bumps[0].feature,
            "amount": event.amount,
            "timestamp": group.place.timestamp,
        }
        self.counted[key] = group.fingerprint, usage
        self.new.add(group, key, usage)
        return Answer(key, "accepted", usage, None)


def _alerts(group: Group) -> list[tuple[int, str, datetime, int]]:
    """What thresholds its events have reached: rows of UsageAlert."""
    if group.warned is None or not group.accepted:
        return []
    bump, own_threshold = group.place.bumps[group.warned], group.counters[group.warned].own_threshold
    return [
        (group.use.user_id, bump.feature, group.place.alert_window, percent)
        for percent in thresholds_reached(group.most_used, bump.limit, own_threshold)
    ]


# --- sqlite: one by one -----------------------------------------------------------------------------------------------


@transaction.atomic
def _one_by_one(events: Sequence[Use | Invalid], now: datetime) -> list[Answer]:
    plans = plan_facts_of_many(sorted({use.user_id for use in _uses(events)}))
    answers = []
    for event in events:
        if isinstance(event, Invalid):
            answers.append(Answer(event.key, "refused", None, event.error))
            continue
        try:
            recorded = count_or_replay(event, plans.get(event.user_id), now)
        except DomainError as error:
            answers.append(Answer(event.key, "refused", None, error))
        else:
            answers.append(Answer(event.key, "duplicate" if recorded.replay else "accepted", recorded.event, None))
    return answers
