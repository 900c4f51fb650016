"""How many there are now, told as a number instead of comings and goings: the difference is counted as an event.

For who knows the state better than its changes (a storage that lists its files every night), and to mend a counter that
missed a change. Only for what has no window.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from datilio.errors import IdempotencyKeyReused, InvalidInput
from usage.errors import LimitExceeded, UserNotFound
from usage.features import FEATURES, Metered
from usage.holds import give_back_expired_holds_of
from usage.limits import LimitOut, limit_out
from usage.metering import count_or_replay
from usage.models import UsageCounter, UsageKey
from usage.plan_facts import plan_facts_now
from usage.uses import MAX_AMOUNT, Asked, Use
from usage.windows import ALWAYS


@dataclass(frozen=True)
class LevelSet:
    """usage: UsageOut of the difference; None: there was none. limit: LimitOut with this level."""

    usage: dict[str, Any] | None
    limit: LimitOut
    replay: bool


def set_level(user_id: int, feature: str, level: int, *, source: str, key: str, now: datetime) -> LevelSet:
    """Make the counter say `level`, 0 or more, once per (source, key). Of two at once the later one stands.

    More than there were must fit the plan's limit; fewer always do, with a plan or without. Raises InvalidInput,
    UserNotFound, NoActivePlan, LimitExceeded, IdempotencyKeyReused.
    """
    metered = FEATURES.get(feature)
    if metered is None or not metered.can_be_given_back:
        fitting = ", ".join(name for name, one in FEATURES.items() if one.can_be_given_back)
        raise InvalidInput({"feature": [f"Only what is stored has a level: {fitting}."]})
    if not 0 <= level <= MAX_AMOUNT:
        raise InvalidInput({"level": [f"A whole number from 0 to {MAX_AMOUNT:,}."]})
    try:
        return _set(user_id, metered, level, source, key, now)
    except LimitExceeded:
        # Expired holds are given back outside: their rows are locked before counters, never after.
        if not give_back_expired_holds_of([user_id], now):
            raise
    return _set(user_id, metered, level, source, key, now)


def _set(user_id: int, metered: Metered, level: int, source: str, key: str, now: datetime) -> LevelSet:
    with transaction.atomic():
        if not Asked().user_exists(user_id):
            raise UserNotFound()
        before = _locked_counter(user_id, metered)
        use = Use(user_id, metered, level - before, source, key, level=level)
        seen = UsageKey.objects.filter(source=source, key=key).first()
        if seen is not None and seen.fingerprint != use.fingerprint:
            raise IdempotencyKeyReused()
        facts = plan_facts_now(user_id)
        if seen is None and use.amount or seen is not None and seen.event_id is not None:
            recorded = count_or_replay(use, facts, now, may_give_back=False)
            return LevelSet(recorded.event, recorded.limit, recorded.replay)
        if seen is None:
            # Nothing to count, and the key is taken all the same: sent again later it must change nothing.
            UsageKey.objects.create(source=source, key=key, fingerprint=use.fingerprint, timestamp=now)
        limit = metered.limit_of(facts.user_plan.plan) if facts is not None and facts.is_active(now) else 0
        return LevelSet(None, limit_out(metered, before, limit, None), replay=seen is not None)


def _locked_counter(user_id: int, metered: Metered) -> int:
    """What is counted now; nobody else changes it until the transaction is over."""
    place = {"user_id": user_id, "feature": metered.feature.value, "window_start": ALWAYS}
    UsageCounter.objects.bulk_create([UsageCounter(**place)], ignore_conflicts=True)
    counters = UsageCounter.objects.filter(**place)
    if connection.features.has_select_for_update:
        counters = counters.select_for_update()
    return counters.values_list("used", flat=True).get()
