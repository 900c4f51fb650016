"""Counting up to 1,000 events at once: each is answered for itself, in order, and what is accepted is written together.

On PostgreSQL one statement counts a batch of which all is new and fits, as it does a single event: by the plans as they
are remembered, and of counters that nobody has looked at. It writes nothing where a plan is another one by now, a limit
is in the way, or one of a few keys is known (a batch that is sent again finds all of its keys, a new one none).

Such a batch, and one with anything to refuse or to give back, is worked out with care: the plans of all users, their
counters, locked in the order in which everybody locks them, and all keys are read; then Python decides in the order of
the events under those locks, and one statement writes. Events that say the same but for their key are worked out once.

On sqlite the events are counted one by one in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from django.db import OperationalError, connection, transaction
from psycopg import errors as pg

from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput, ServiceUnavailable
from usage.batch_statements import (
    Counters,
    Group,
    Kind,
    NewEvents,
    Written,
    known_keys,
    lock_counters,
    take_and_write_events,
    write_events,
)
from usage.holds import give_back_expired_holds_of
from usage.metering import count_or_replay
from usage.models import UsageKey
from usage.partitions import make_partition_of, month_of
from usage.plan_facts import Facts, known_plan_facts, plan_facts_of_many
from usage.replays import answer_of, events_of
from usage.statements import DoesNotFit, KeyTaken, NoPartition
from usage.uses import Asked, Use, place_of, terms_for
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
    with_care, look_for_expired = False, True
    for _ in range(_TRIES):
        batch = _Batch(events, source, now, look_for_expired)
        try:
            answers = None if with_care else batch.run()
            return batch.run_with_care() if answers is None else answers
        except _HoldsInTheWay as error:
            with_care, look_for_expired = True, bool(give_back_expired_holds_of(error.user_ids, now))
        except (DoesNotFit, KeyTaken):
            with_care = True
        except NoPartition:
            for month in {month_of(use.sent_at or now) for use in _uses(events)}:
                make_partition_of(month.start)
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
    """One try."""

    def __init__(self, events: Sequence[Use | Invalid], source: str, now: datetime, look_for_expired: bool) -> None:
        self.events = events
        self.source = source
        self.now = now
        self.look_for_expired = look_for_expired
        self.asked = Asked()

    def run(self) -> list[Answer] | None:
        """The short way. None: this is not for it, and nothing was changed."""
        users = self._users()
        plans = known_plan_facts(users)
        if len(plans) < len(users):
            return None
        where = self._groups(plans)
        answers = self._all_accepted(where) if self._only_takes() else None
        if answers is None or not self.new.usages:
            return answers
        keys = self.new.keys
        written = take_and_write_events(self.source, self.new, plans.values(), keys[:: len(keys) // _FEW_KEYS + 1])
        return None if written is None else self._told(answers, written)

    @transaction.atomic
    def run_with_care(self) -> list[Answer]:
        users = self._users()
        plans = plan_facts_of_many(users)
        if len(plans) < len(users):
            self.asked.look_for_users([user for user in users if user not in plans])
        where = self._groups(plans)
        lock_counters([counter for _, of_users in self.counters.values() for counter in of_users.values()])
        self.counted = self._counted_before([use.key for use in _uses(self.events)])  # and what this batch adds to it
        self.new = NewEvents()
        self.in_the_way: set[int] = set()
        answers = [self._answer(event, group) for event, group in zip(self.events, where, strict=True)]
        if self.in_the_way and self.look_for_expired:
            raise _HoldsInTheWay(sorted(self.in_the_way))
        return self._told(answers, write_events(self.source, self.new)) if self.new.usages else answers

    def _only_takes(self) -> bool:
        """Is nothing given back, and each counter warned of in one month? Then its end says what was reached."""
        months: dict[int, datetime] = {}
        for group in self.groups:
            slot = group.kind.place.slot
            own, month = slot.own, slot.alert_window
            if own.amount < 0:
                return False
            # Files have a window without an end.
            if month != own.window_start and months.setdefault(group.use.user_id, month) != month:
                return False
        return True

    def _all_accepted(self, where: list[Group | DomainError]) -> list[Answer] | None:
        """The answers if all is new, with numbers as if nothing had been used before. None: not even so it fits."""
        new = self.new = NewEvents()
        answers = []
        for event, group in zip(self.events, where, strict=True):
            if isinstance(event, Invalid):
                answers.append(Answer(event.key, "refused", None, event.error))
            elif isinstance(group, Group):
                answers.append(Answer(event.key, "accepted", new.add(group, event.key), None))
            else:
                return None
        if len(set(new.keys)) < len(new.keys) or any(one.used > one.kind.most for one in new.counters):
            return None
        return answers

    def _users(self) -> list[int]:
        return sorted({event.user_id for event in self.events if isinstance(event, Use)})

    def _told(self, answers: list[Answer], written: Written) -> list[Answer]:
        ids, warned = written
        for usage, event_id in zip(self.new.usages, ids, strict=True):
            usage["id"] = event_id
        if warned:
            ring_for(warned)
        return answers

    def _groups(self, plans: dict[int, Facts]) -> list[Group | DomainError]:
        """Where each event counts, or why it does not."""
        self.counters: Counters = {}
        self.groups: list[Group] = []
        # {what an event says: ({user: where it counts}, {terms: where it counts under them})}
        known: dict[tuple[Any, ...], tuple[dict[int, Group | DomainError], dict[Any, Kind | DomainError]]] = {}
        where: list[Group | DomainError] = []
        for event in self.events:
            if isinstance(event, Invalid):
                where.append(event.error)
                continue
            user_id, metered, amount, _, _, model, size_mb, sent_at, level = event
            says = (metered.name, amount, model, size_mb, sent_at, level)
            if (found := known.get(says)) is None:
                found = known[says] = ({}, {})
            groups, kinds = found
            if (group := groups.get(user_id)) is None:
                group = groups[user_id] = self._group(event, plans.get(user_id), kinds)
            where.append(group)
        return where

    def _group(self, use: Use, facts: Facts | None, kinds: dict[Any, Kind | DomainError]) -> Group | DomainError:
        if facts is None or not facts.is_active(self.now):
            kind = self._kind(use, facts)
        else:
            terms = terms_for(use.metered, facts)
            if (known := kinds.get(terms)) is None:
                known = kinds[terms] = self._kind(use, facts)
            kind = known
        if not isinstance(kind, Kind):
            return kind
        group = Group(use, kind)
        self.groups.append(group)
        return group

    def _kind(self, use: Use, facts: Facts | None) -> Kind | DomainError:
        try:
            place = place_of(use, facts, self.now, self.asked)
        except DomainError as error:
            return error
        return Kind(use.model, place, self.counters)

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
        for bump, (counter, _) in zip(group.kind.place.bumps, group.moves, strict=True):
            if not bump.fits(counter.used, counter.held):
                if counter.held and bump.amount > 0:
                    self.in_the_way.add(event.user_id)
                return Answer(key, "refused", None, bump.refusal(event, counter.used, counter.held, self.asked))
        usage = self.new.add(group, key)
        self.counted[key] = event.fingerprint, usage
        return Answer(key, "accepted", usage, None)


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
