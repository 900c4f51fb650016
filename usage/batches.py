"""Counting up to 1,000 events at once: each is answered for itself, in order, and what is accepted is written together.

On PostgreSQL one transaction with one round trip per table: the plans of all users, their own thresholds, their
counters (locked in one order, so that two batches never wait for each other), the keys that are known; then Python
decides in the order of the events under those locks, and one statement writes. On sqlite the events are counted one by
one in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from django.db import OperationalError, connection, transaction
from psycopg import errors as pg

from billing.models import UserPlan
from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput, ServiceUnavailable
from usage.batch_statements import (
    ChargeKey,
    CounterKey,
    NewEvent,
    insert_alerts,
    known_keys,
    lock_counters,
    write_events,
)
from usage.holds import give_back_expired_holds_of
from usage.limits import thresholds_reached
from usage.metering import count_or_replay
from usage.models import UsageKey
from usage.partitions import make_partition_of
from usage.plan_facts import plan_facts_of_many, spend_cap_cents
from usage.replays import answer_of, events_of
from usage.statements import KeyTaken, NoPartition
from usage.uses import Asked, Place, Use, place_of
from usage.warning_choices import own_thresholds_of
from usage.warning_mails import ring_for

MOST = 1000
# Two may meet at a key, or with a plan that changes; three meetings in a row is an overload.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Invalid:
    """An event that says what no event may say. key: as far as it has one."""

    key: str | None
    error: DomainError


@dataclass(frozen=True, slots=True)
class Answer:
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
    look_for_expired = True
    for _ in range(_TRIES):
        try:
            with transaction.atomic():
                return _Batch(events, source, now, look_for_expired).run()
        except _HoldsInTheWay as error:
            look_for_expired = bool(give_back_expired_holds_of(error.user_ids, now))
        except KeyTaken:
            continue
        except NoPartition:
            for month in {(use.sent_at or now).strftime("%Y%m"): use for use in _uses(events)}.values():
                make_partition_of(month.sent_at or now)
        except OperationalError as error:
            if not isinstance(error.__cause__, (pg.DeadlockDetected, pg.SerializationFailure)):
                raise
    raise ServiceUnavailable()


def _can_be_warned(use: Use, user_plan: UserPlan | None) -> bool:
    """Of a limit of the plan, or of the customer's own cap."""
    return user_plan is not None and (use.metered.limit_field is not None or spend_cap_cents(user_plan) is not None)


def _uses(events: Sequence[Use | Invalid]) -> list[Use]:
    return [event for event in events if isinstance(event, Use)]


# --- PostgreSQL: all together -----------------------------------------------------------------------------------------


class _HoldsInTheWay(Exception):
    """Something would be refused for what is held: perhaps that has expired."""

    def __init__(self, user_ids: list[int]) -> None:
        self.user_ids = user_ids


class _Batch:
    """One try, inside a transaction."""

    def __init__(self, events: Sequence[Use | Invalid], source: str, now: datetime, look_for_expired: bool) -> None:
        self.events = events
        self.source = source
        self.now = now
        self.look_for_expired = look_for_expired
        self.answers: list[Answer | None] = [None] * len(events)
        self.new: list[NewEvent] = []
        # {key: (fingerprint, UsageOut)} of what is counted, before or in this batch.
        self.counted: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self.days: dict[tuple[int, str, date], list[int]] = {}
        self.charges: dict[ChargeKey, list[int]] = {}
        self.alerts: set[tuple[int, str, datetime, int]] = set()
        self.in_the_way: set[int] = set()

    def run(self) -> list[Answer]:
        places = self._places()
        wanted = {
            (use.user_id, bump.feature, bump.window_start)
            for use, place in zip(self.events, places, strict=True)
            if isinstance(place, Place) and isinstance(use, Use)
            for bump in place.bumps
        }
        self.counters = lock_counters(wanted)
        self.counted = self._counted_before()
        for i, (event, place) in enumerate(zip(self.events, places, strict=True)):
            self.answers[i] = self._answer(event, place)
        if self.in_the_way and self.look_for_expired:
            raise _HoldsInTheWay(sorted(self.in_the_way))
        if self.new:
            ids = write_events(self.source, self.new, self.counters, self.days, self.charges)
            for new in self.new:
                new.usage["id"] = ids[new.use.key]
        if self.alerts:
            ring_for(insert_alerts(self.alerts))
        return [answer for answer in self.answers if answer is not None]

    def _places(self) -> list[Place | DomainError]:
        users = sorted({use.user_id for use in _uses(self.events)})
        plans = plan_facts_of_many(users) if users else {}
        warned = sorted({use.user_id for use in _uses(self.events) if _can_be_warned(use, plans.get(use.user_id))})
        self.own_thresholds = own_thresholds_of(warned) if warned else {}
        self.asked = Asked()
        if len(plans) < len(users):
            self.asked.look_for_users([user for user in users if user not in plans])
        places: list[Place | DomainError] = []
        for event in self.events:
            if isinstance(event, Invalid):
                places.append(event.error)
                continue
            try:
                places.append(place_of(event, plans.get(event.user_id), self.now, self.asked))
            except DomainError as error:
                places.append(error)
        return places

    def _counted_before(self) -> dict[str, tuple[str, dict[str, Any] | None]]:
        keys = known_keys(self.source, [use.key for use in _uses(self.events)])
        rows = events_of([UsageKey(event_id=event_id, timestamp=moment) for _, _, event_id, moment in keys])
        return {
            key: (fingerprint, answer_of(rows[event_id]).event if event_id in rows else None)
            for key, fingerprint, event_id, _ in keys
        }

    def _answer(self, event: Use | Invalid, place: Place | DomainError) -> Answer:
        if isinstance(event, Invalid):
            return Answer(event.key, "refused", None, event.error)
        fingerprint = event.fingerprint
        if (known := self.counted.get(event.key)) is not None:
            if known[0] != fingerprint:
                return Answer(event.key, "refused", None, IdempotencyKeyReused())
            return Answer(event.key, "duplicate", known[1], None)
        if isinstance(place, DomainError):
            return Answer(event.key, "refused", None, place)
        for bump in place.bumps:
            used, held = self.counters[event.user_id, bump.feature, bump.window_start].state
            if not bump.fits(used, held):
                if held and bump.amount > 0:
                    self.in_the_way.add(event.user_id)
                return Answer(event.key, "refused", None, bump.refusal(event, used, held, self.asked))
        return self._accept(event, place, fingerprint)

    def _accept(self, use: Use, place: Place, fingerprint: str) -> Answer:
        for bump in place.bumps:
            self.counters[use.user_id, bump.feature, bump.window_start].used += bump.amount
        own = place.own
        key: CounterKey = (use.user_id, own.feature, own.window_start)
        used = self.counters[key].used
        usage = {
            "id": 0,
            "user_id": use.user_id,
            "feature": own.feature,
            "amount": use.amount,
            "timestamp": place.timestamp,
        }
        self.new.append(NewEvent(use, place, key, used, fingerprint, usage))
        self.counted[use.key] = fingerprint, usage
        day = self.days.setdefault((use.user_id, own.feature, place.day), [0, 0])
        day[0] += use.amount
        day[1] += place.cost_nanocents
        if place.charge is not None:
            charged = self.charges.setdefault((use.user_id, use.model, place.charge), [0, 0])
            charged[0] += use.amount
            charged[1] += place.cost_nanocents
        if (warned := place.warned) is not None:
            bump = place.bumps[warned]
            used = self.counters[use.user_id, bump.feature, bump.window_start].used
            own_threshold = self.own_thresholds.get((use.user_id, bump.feature))
            for percent in thresholds_reached(used, bump.limit, own_threshold):
                self.alerts.add((use.user_id, bump.feature, place.alert_window, percent))
        return Answer(use.key, "accepted", usage, None)


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
