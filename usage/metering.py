"""Counting one use: the event, the counter, the day's total and the warnings, all or nothing, never over a limit, never
twice.

The limit is kept by the conditional upsert of usage/statements.py: the database decides under its own row lock, and
what does not fit changes nothing. No code here reads a counter to decide. See docs/decisions/0005-metering.md.
"""

from datetime import datetime

from django.db import transaction

from datilio.errors import DomainError, ServiceUnavailable
from usage.api_keys import make_sure_of
from usage.errors import LimitExceeded, SpendCapReached
from usage.features import Feature
from usage.holds import give_back_expired_holds_of, refusal_of
from usage.limits import limit_out
from usage.partitions import make_partition_of
from usage.plan_facts import Facts, plan_facts, plan_facts_now, same_version
from usage.prepared import connection_of_thread
from usage.replays import Recorded, first_answer
from usage.statements import DoesNotFit, KeyTaken, NoPartition, count, met
from usage.uses import Place, Use, place_of, use_of


def record(
    user_id: int,
    feature: str,
    amount: int,
    *,
    source: str,
    key: str,
    timestamp: datetime | None = None,
    model: str = "",
    size_mb: float | None = None,
    now: datetime,
) -> Recorded:
    """Count one event, once per (source, key).

    timestamp (aware; None: now) says in which window it counts, up to 35 days back. A negative amount gives stored
    files back, with a plan or without. size_mb is the size of each file.
    Raises InvalidInput, UserNotFound, NoActivePlan, LimitExceeded, SpendCapReached, NothingToRemove,
    IdempotencyKeyReused; a refusal is not remembered, so the same key may try again.
    """
    use = use_of(user_id, feature, amount, source=source, key=key, timestamp=timestamp, model=model, size_mb=size_mb)
    return record_use(use, now)


def record_use(use: Use, now: datetime) -> Recorded:
    """`record` for who has the use already."""
    return count_or_replay(use, plan_facts(use.user_id), now)


def record_prompt(
    user_id: int, tokens: int, *, source: str, key: str, model: str = "", now: datetime
) -> tuple[Recorded, Recorded]:
    """Count one AI prompt and its tokens, both or neither: (prompt, tokens). Raises what `record` raises."""
    prompt = use_of(user_id, Feature.AI_PROMPT.value, 1, source=source, key=key, model=model)
    its_tokens = use_of(user_id, Feature.AI_TOKEN.value, tokens, source=source, key=f"{key}:tokens", model=model)
    facts = plan_facts(user_id)

    @transaction.atomic
    def both() -> tuple[Recorded, Recorded]:
        one, other = (count_or_replay(use, facts, now, may_give_back=False) for use in (prompt, its_tokens))
        return one, other

    try:
        return both()
    except (LimitExceeded, SpendCapReached):
        # Expired holds are given back outside: their rows are locked before counters, never after.
        if not give_back_expired_holds_of([user_id], now):
            raise
    return both()


def count_or_replay(use: Use, facts: Facts | None, now: datetime, *, may_give_back: bool = True) -> Recorded:
    """Count `use`, or give the first answer to it. facts: as far as they are known; what turns out to be another plan
    by now is read anew. may_give_back: expired holds, where the limit would refuse."""
    # Each turn has seen something change; one that sees ten changes in a row is in nobody's interest.
    for _ in range(10):
        refusal: DomainError | None = None
        try:
            place = place_of(use, facts, now)
        except DomainError as error:
            refusal = error
        else:
            if (counted := _count(use, place)) is not None:
                return _recorded(use, place, *counted)
            if may_give_back and (refusal := _refused_by_its_limit(use, place, now)) is not None:
                raise refusal
        make_sure_of(use.source)
        # What is refused now may have been counted before: as the very event that filled the limit, or while there
        # was still a plan.
        if (first := first_answer(use)) is not None:
            return first
        present = plan_facts_now(use.user_id)
        if not same_version(facts, present):
            facts = present
            continue
        if refusal is not None:
            raise refusal
        if may_give_back and use.amount > 0 and give_back_expired_holds_of([use.user_id], now):
            continue
        if (refusal := refusal_of(use, place)) is not None:
            raise refusal
        # There is room after all: somebody has just given some back.
    raise ServiceUnavailable()


def _refused_by_its_limit(use: Use, place: Place, now: datetime) -> DomainError | None:
    """Found by one look: who has used up a limit goes on asking. None: it may be something else."""
    if use.amount < 0 or len(place.bumps) > 1 or (found := met(use, place, now)) is None:
        return None
    return None if place.own.fits(*found) else place.own.refusal(use, *found)


def _count(use: Use, place: Place, *, may_make_partition: bool = True) -> tuple[int, int] | None:
    """(the event's id, the counter with it). None: nothing was changed."""
    wrapper = connection_of_thread()
    try:
        if wrapper.vendor == "postgresql" and not wrapper.in_atomic_block:
            return count(use, place, wrapper)
        with transaction.atomic():
            counted = count(use, place, wrapper)
            if counted is None:
                transaction.set_rollback(True)
            return counted
    except (KeyTaken, DoesNotFit):
        return None
    except NoPartition:
        if not may_make_partition:
            raise ServiceUnavailable() from None
        # The daily task has not run for months, or a clock was moved: the event makes its own month.
        make_partition_of(place.timestamp)
        return _count(use, place, may_make_partition=False)


def _recorded(use: Use, place: Place, event_id: int, used: int) -> Recorded:
    event = {
        "id": event_id,
        "user_id": use.user_id,
        "feature": use.feature,
        "amount": use.amount,
        "timestamp": place.timestamp,
    }
    return Recorded(event, limit_out(use.metered, used, place.own.limit, place.own.resets_at), replay=False)
