"""Counting one use: the event, the counter and the warnings, all or nothing, never over a limit, never twice.

The limit is kept by one statement, the conditional upsert TAKE: the database decides under its own row lock, and what
does not fit changes nothing. No code here reads a counter to decide. The same SQL runs on sqlite and PostgreSQL.
See docs/decisions/0005-metering.md.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, transaction

from billing.models import UserPlan
from billing.subscriptions import live_plan
from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput
from datilio.times import iso
from usage.errors import (
    LimitExceeded,
    NoActivePlan,
    NothingToRemove,
    UserNotFound,
)
from usage.features import FEATURES, Feature, Metered, Window
from usage.limits import LimitOut, cheapest_plan_allowing, in_words, limit_out, thresholds_reached
from usage.models import UsageAlert, UsageCounter, UsageEvent
from usage.windows import ALWAYS, month_at, window_at

MAX_AMOUNT = 10**12
# A backend that was cut off for a month can still deliver; older than that is a mistake.
LATEST = timedelta(days=35)
# What clocks of well-kept machines differ by, and then some.
CLOCK_SKEW = timedelta(minutes=5)
# Stands for "unlimited" in SQL. Adding MAX_AMOUNT to it still fits a bigint.
_NO_LIMIT = 2**62


@dataclass(frozen=True)
class Recorded:
    """event: UsageOut; limit: LimitOut with this event in it; replay: it was counted before, and this is what was
    answered then."""

    event: dict[str, Any]
    limit: LimitOut
    replay: bool


@dataclass(frozen=True)
class _Use:
    """One event on its way in. `sent_at` is the sender's own timestamp, if it gave one."""

    user_id: int
    metered: Metered
    amount: int
    source: str
    key: str
    model: str
    size_mb: float | None
    sent_at: datetime | None

    @property
    def fingerprint(self) -> str:
        """The event as sent. Without our clock: a retry a second later is the same event."""
        sent = [self.user_id, self.metered.feature.value, self.amount, self.model, self.size_mb, iso(self.sent_at)]
        return hashlib.sha256(json.dumps(sent).encode()).hexdigest()


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
    Raises InvalidInput, UserNotFound, NoActivePlan, LimitExceeded, NothingToRemove, IdempotencyKeyReused; a refusal is
    not remembered, so the same key may try again.
    """
    use = _use(user_id, feature, amount, source, key, model, size_mb, timestamp)
    return _count_or_replay(use, live_plan(user_id), now)


def record_prompt(
    user_id: int, tokens: int, *, source: str, key: str, model: str = "", now: datetime
) -> tuple[Recorded, Recorded]:
    """Count one AI prompt and its tokens, both or neither: (prompt, tokens). Raises what `record` raises."""
    prompt = _use(user_id, Feature.AI_PROMPT.value, 1, source, key, model, None, None)
    its_tokens = _use(user_id, Feature.AI_TOKEN.value, tokens, source, f"{key}:tokens", model, None, None)
    user_plan = live_plan(user_id)
    with transaction.atomic():
        return _count_or_replay(prompt, user_plan, now), _count_or_replay(its_tokens, user_plan, now)


def _use(
    user_id: int,
    feature: str,
    amount: int,
    source: str,
    key: str,
    model: str,
    size_mb: float | None,
    timestamp: datetime | None,
) -> _Use:
    """The rules about what an event may say. Raises InvalidInput."""
    metered = FEATURES.get(feature)
    if metered is None:
        raise InvalidInput({"feature": [f"One of {', '.join(FEATURES)}."]})
    if amount == 0 or abs(amount) > MAX_AMOUNT or (amount < 0 and not metered.can_be_given_back):
        raise InvalidInput({"amount": [_amount_rule(metered)]})
    if size_mb is not None and (metered.per_item_limit_field is None or amount < 0):
        raise InvalidInput({"size_mb": ["Only for files that are uploaded."]})
    return _Use(user_id, metered, amount, source, key, model, None if size_mb is None else float(size_mb), timestamp)


def _amount_rule(metered: Metered) -> str:
    rule = f"A whole number from 1 to {MAX_AMOUNT:,}"
    return f"{rule}, or its negative when {metered.unit} are gone." if metered.can_be_given_back else f"{rule}."


@dataclass(frozen=True)
class _Place:
    """Where and up to what an event counts: `window_start` names its counter, `limit` (None: unlimited) is its most.

    alert_window: what has no window of its own (files) is warned of once in a month of the plan.
    """

    timestamp: datetime
    window_start: datetime
    resets_at: datetime | None
    limit: int | None
    alert_window: datetime


def _count_or_replay(use: _Use, user_plan: UserPlan | None, now: datetime) -> Recorded:
    # What is refused now may have been counted before: as the very event that filled the limit, or while there was
    # still a plan.
    try:
        place = _place(use, user_plan, now)
    except DomainError:
        first = _first_answer(use)
        if first is None:
            raise
        return first
    recorded = _count(use, place) or _first_answer(use)
    if recorded is None:
        raise _refusal(use, place)
    return recorded


def _place(use: _Use, user_plan: UserPlan | None, now: datetime) -> _Place:
    """The rules about plan and time. Raises InvalidInput, UserNotFound, NoActivePlan, LimitExceeded (file size)."""
    metered, timestamp = use.metered, _timestamp(use, now)
    if user_plan is None or not user_plan.is_active(now):
        if not get_user_model()._default_manager.filter(pk=use.user_id).exists():
            raise UserNotFound()
        if use.amount > 0:
            raise NoActivePlan(feature=metered.feature.value)
        # What is gone is gone, whether they still pay or not.
        return _Place(timestamp, ALWAYS, None, limit=0, alert_window=ALWAYS)
    _check_size(use, user_plan)
    window_start, resets_at = window_at(metered.window, timestamp, user_plan.usage_anchor)
    alert_window = window_start
    if metered.window is Window.NONE:
        alert_window, _ = month_at(timestamp, user_plan.usage_anchor)
    return _Place(timestamp, window_start, resets_at, metered.limit_of(user_plan.plan), alert_window)


def _count(use: _Use, place: _Place) -> Recorded | None:
    """The one transaction. None: nothing was written, because it does not fit or was counted before."""
    with transaction.atomic():
        used = _change_counter(use, place)
        event_id = None if used is None else _insert_event(use, place, used)
        if used is None or event_id is None:
            # Takes the counter back too, where the event turned out to be there already.
            transaction.set_rollback(True)
            return None
        if use.amount > 0:
            _write_alerts(use, place, used)
    event = {
        "id": event_id,
        "user_id": use.user_id,
        "feature": use.metered.feature.value,
        "amount": use.amount,
        "timestamp": place.timestamp,
    }
    return Recorded(event, limit_out(use.metered, used, place.limit, place.resets_at), replay=False)


def _timestamp(use: _Use, now: datetime) -> datetime:
    if use.sent_at is None:
        return now.astimezone(UTC)
    if use.sent_at > now + CLOCK_SKEW:
        raise InvalidInput({"timestamp": [f"This is in the future. It is {iso(now)} here."]})
    if use.sent_at < now - LATEST:
        raise InvalidInput({"timestamp": [f"This is more than {LATEST.days} days ago, too late to count."]})
    return use.sent_at.astimezone(UTC)


def _check_size(use: _Use, user_plan: UserPlan) -> None:
    """Each file by itself, never the sum."""
    field = use.metered.per_item_limit_field
    if field is None or use.size_mb is None:
        return
    most = getattr(user_plan.plan, field)
    if most is not None and use.size_mb > most:
        plan = cheapest_plan_allowing(use.metered, use.amount, use.size_mb)
        raise LimitExceeded(
            # Rounded up: 5.001 of 5 MB must not read as 5 of 5.
            f"A file of {ceil(use.size_mb * 100) / 100:,} MB is too large: the plan allows {most:,} MB per file. "
            f"{_way_out(plan)}",
            feature=use.metered.feature.value,
            limit_name=field,
            used=use.size_mb,
            limit=most,
            resets_at=None,
            upgrade_plan=plan,
        )


# --- the statements ---------------------------------------------------------------------------------------------------

# Both refuse by returning no row: over the limit, or counted before (the caller looks which). Under READ COMMITTED two
# of the same event may both pass NOT EXISTS; then the unique key of the event stops the second, and the rollback takes
# its count back.
TAKE = """
    INSERT INTO usage_usagecounter (user_id, feature, window_start, used)
    SELECT %(user_id)s, %(feature)s, %(window_start)s, %(amount)s
    WHERE %(amount)s <= %(limit)s
      AND NOT EXISTS (SELECT 1 FROM usage_usageevent WHERE source = %(source)s AND key = %(key)s)
    ON CONFLICT (user_id, feature, window_start) DO UPDATE
    SET used = usage_usagecounter.used + excluded.used
    WHERE usage_usagecounter.used + excluded.used <= %(limit)s
    RETURNING used
"""
# Giving back asks for no limit: after a change to a smaller plan there may be more than it allows.
GIVE_BACK = """
    UPDATE usage_usagecounter
    SET used = used + %(amount)s
    WHERE user_id = %(user_id)s AND feature = %(feature)s AND window_start = %(window_start)s
      AND used + %(amount)s >= 0
      AND NOT EXISTS (SELECT 1 FROM usage_usageevent WHERE source = %(source)s AND key = %(key)s)
    RETURNING used
"""
INSERT_EVENT = """
    INSERT INTO usage_usageevent (user_id, feature, amount, timestamp, source, key, fingerprint, model,
                                  window_start, resets_at, used_after, limit_then)
    VALUES (%(user_id)s, %(feature)s, %(amount)s, %(timestamp)s, %(source)s, %(key)s, %(fingerprint)s, %(model)s,
            %(window_start)s, %(resets_at)s, %(used_after)s, %(limit_then)s)
    ON CONFLICT (source, key) DO NOTHING
    RETURNING id
"""


def _change_counter(use: _Use, place: _Place) -> int | None:
    """The counter with this event in it; None: refused, nothing changed."""
    params = {
        "user_id": use.user_id,
        "feature": use.metered.feature.value,
        "window_start": _db_time(place.window_start),
        "amount": use.amount,
        "source": use.source,
        "key": use.key,
    }
    if use.amount > 0:
        return _one(TAKE, {**params, "limit": _NO_LIMIT if place.limit is None else place.limit})
    return _one(GIVE_BACK, params)


def _insert_event(use: _Use, place: _Place, used: int) -> int | None:
    """The new event's id; None: its key is taken."""
    return _one(
        INSERT_EVENT,
        {
            "user_id": use.user_id,
            "feature": use.metered.feature.value,
            "amount": use.amount,
            "timestamp": _db_time(place.timestamp),
            "source": use.source,
            "key": use.key,
            "fingerprint": use.fingerprint,
            "model": use.model,
            "window_start": _db_time(place.window_start),
            "resets_at": _db_time(place.resets_at),
            "used_after": used,
            "limit_then": place.limit,
        },
    )


def _write_alerts(use: _Use, place: _Place, used: int) -> None:
    """A row for every threshold reached that has none yet in this window; `created_at` of the first one stays."""
    reached = thresholds_reached(used, place.limit)
    if reached:
        UsageAlert.objects.bulk_create(
            [
                UsageAlert(
                    user_id=use.user_id,
                    feature=use.metered.feature.value,
                    window_start=place.alert_window,
                    threshold=percent,
                )
                for percent in reached
            ],
            ignore_conflicts=True,
        )


def _one(sql: str, params: dict[str, Any]) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return row[0] if row else None


def _db_time(moment: datetime | None) -> Any:
    """A parameter as the column holds it: sqlite keeps times as text."""
    return connection.ops.adapt_datetimefield_value(moment)


# --- what it was, when no row came back -------------------------------------------------------------------------------


def _first_answer(use: _Use) -> Recorded | None:
    """What this (source, key) was answered when it was counted; None: it never was. Raises IdempotencyKeyReused."""
    event = UsageEvent.objects.filter(source=use.source, key=use.key).values().first()
    if event is None:
        return None
    if event["fingerprint"] != use.fingerprint:
        raise IdempotencyKeyReused()
    return Recorded(
        {name: event[name] for name in ("id", "user_id", "feature", "amount", "timestamp")},
        limit_out(use.metered, event["used_after"], event["limit_then"], event["resets_at"]),
        replay=True,
    )


def _refusal(use: _Use, place: _Place) -> DomainError:
    """The refusal in words. `used` is read for the message, after the decision has been made."""
    metered = use.metered
    counter = UsageCounter.objects.filter(
        user_id=use.user_id, feature=metered.feature.value, window_start=place.window_start
    )
    used = counter.values_list("used", flat=True).first() or 0
    if use.amount < 0:
        return NothingToRemove(feature=metered.feature.value, used=used)
    most = _NO_LIMIT if place.limit is None else place.limit
    plan = cheapest_plan_allowing(metered, used + use.amount, use.size_mb)
    reset = f"The count starts again on {in_words(place.resets_at)}. " if place.resets_at else ""
    return LimitExceeded(
        f"{used:,} of {most:,} {metered.unit} are used, and this takes {use.amount:,} more. {reset}{_way_out(plan)}",
        feature=metered.feature.value,
        limit_name=metered.limit_field,
        used=used,
        limit=most,
        resets_at=iso(place.resets_at),
        upgrade_plan=plan,
    )


def _way_out(plan: str | None) -> str:
    return f"{plan} has room for it." if plan else "No plan on sale has room for it."
