"""Hold the worst case, settle the true use, release what never began; what is forgotten gives itself back.

A hold counts towards the limit through `UsageCounter.held`, by the same conditional upsert as use does. Every way
out of `open` happens under the lock of the hold's own row, so that it gives back once. Locks are taken in one order:
the hold, then its counters by feature. See docs/usage.md, Holds.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput, ServiceUnavailable
from datilio.times import iso
from usage.costs import MAX_COST, SPEND, Charge
from usage.errors import HoldIsReleased, HoldIsSettled, HoldNotFound
from usage.features import FEATURES, Feature
from usage.models import UsageCounter, UsageEvent, UsageHold
from usage.money import dollars
from usage.partitions import make_partition_of
from usage.plan_facts import plan_facts, plan_facts_now, same_version
from usage.statements import NoPartition, add_event, add_hold, settle_counter, write_spend_alerts
from usage.uses import MAX_AMOUNT, Bump, Place, Slot, Use, fingerprint_of, place_of, use_of

SHORTEST, LONGEST, USUAL = (timedelta(seconds=seconds) for seconds in (10, 3600, 300))
# Given back by one run of the sweep; the next one comes in a minute.
_AT_ONCE = 2_000


@dataclass(frozen=True)
class Held:
    """hold: {id, user_id, feature, amount, tokens (None where none are held), expires_at}; replay: it was there."""

    hold: dict[str, Any]
    replay: bool


def hold(
    user_id: int,
    feature: str,
    amount: int,
    *,
    source: str,
    key: str,
    tokens: int | None = None,
    model: str = "",
    expires_in: timedelta = USUAL,
    now: datetime,
) -> Held:
    """Keep the worst case free until it is settled, released or has expired. Once per (source, key).

    tokens: for `ai_prompt`, the most tokens that it may take; both are held or neither.
    Raises InvalidInput, UserNotFound, NoActivePlan, LimitExceeded, IdempotencyKeyReused.
    """
    if tokens is not None and feature != Feature.AI_PROMPT.value:
        raise InvalidInput({"tokens": ["Only for `ai_prompt`; for `ai_token` the amount says it."]})
    if amount < 1:
        raise InvalidInput({"amount": [f"A whole number from 1 to {MAX_AMOUNT:,}."]})
    if not SHORTEST <= expires_in <= LONGEST:
        raise InvalidInput({"expires_in": [f"From {SHORTEST.seconds} to {LONGEST.seconds:,} seconds."]})
    uses = [use_of(user_id, feature, amount, source=source, key=key, model=model)]
    if tokens is not None:
        if not 1 <= tokens <= MAX_AMOUNT:
            raise InvalidInput({"tokens": [f"A whole number from 1 to {MAX_AMOUNT:,}."]})
        uses.append(use_of(user_id, Feature.AI_TOKEN.value, tokens, source=source, key=key, model=model))
    fingerprint = fingerprint_of([user_id, feature, amount, tokens, model, int(expires_in.total_seconds())])
    return _hold_or_replay(uses, fingerprint, expires_in, now)


def _hold_or_replay(uses: list[Use], fingerprint: str, expires_in: timedelta, now: datetime) -> Held:
    user_id, facts, expired_looked_at = uses[0].user_id, plan_facts(uses[0].user_id), False
    for _ in range(10):
        refusal: DomainError | None = None
        try:
            places = [place_of(use, facts, now) for use in uses]
            row = _take(uses, places, fingerprint, now + expires_in, now)
        except DomainError as error:
            row, refusal = None, error
        if row is not None:
            return Held(hold_out(row, now), replay=False)
        if (first := UsageHold.objects.filter(source=uses[0].source, key=uses[0].key).first()) is not None:
            if first.fingerprint != fingerprint:
                raise IdempotencyKeyReused()
            return Held(hold_out(first, now), replay=True)
        present = plan_facts_now(user_id)
        if not same_version(facts, present):
            facts = present
        elif refusal is not None:
            raise refusal
        elif not expired_looked_at and give_back_expired_holds_of([user_id], now):
            expired_looked_at = True
        elif (refusal := _refusal(uses, places)) is not None:
            raise refusal
    raise ServiceUnavailable()


def _take(
    uses: list[Use], places: list[Place], fingerprint: str, expires_at: datetime, now: datetime
) -> UsageHold | None:
    """The one transaction. None: nothing was changed, for want of room, another plan by now, or a key that is there."""
    lines = [(use, place, bump) for use, place in zip(uses, places, strict=True) for bump in place.bumps]
    with transaction.atomic():
        for use, place, bump in sorted(lines, key=lambda line: line[2].feature):
            if not add_hold(use, place, bump):
                transaction.set_rollback(True)
                return None
        row, made = UsageHold.objects.get_or_create(
            source=uses[0].source,
            key=uses[0].key,
            defaults={
                "user_id": uses[0].user_id,
                "fingerprint": fingerprint,
                "model": uses[0].model,
                "amounts": [_line(place, bump) for _, place, bump in lines],
                "created_at": now,
                "expires_at": expires_at,
            },
        )
        if not made:
            transaction.set_rollback(True)
            return None
    return row


def _line(place: Place, bump: Bump) -> dict[str, Any]:
    # Tokens keep the rate at which they were held, whatever comes before they are settled.
    charge = place.slot.charge if bump is place.own else None
    return {
        "charge": charge and _charge_line(charge),
        "feature": bump.feature,
        "amount": bump.amount,
        "window_start": iso(bump.window_start),
        "resets_at": iso(bump.resets_at),
        "limit": bump.limit,
        "alert_window": iso(place.slot.alert_window),
    }


def _charge_line(charge: Charge) -> dict[str, Any]:
    return {
        "factor": charge.factor,
        "price_cents": charge.price_cents,
        "period_start": charge.period_start.isoformat(),
        "day_start": charge.day_start.isoformat(),
    }


def _charge(line: dict[str, Any]) -> Charge | None:
    kept = line.get("charge")
    if not kept:
        return None
    period_start, day_start = (datetime.fromisoformat(kept[name]) for name in ("period_start", "day_start"))
    return Charge(kept["factor"], kept["price_cents"], period_start, day_start)


def _refusal(uses: list[Use], places: list[Place]) -> DomainError | None:
    for use, place in zip(uses, places, strict=True):
        if (refusal := refusal_of(use, place)) is not None:
            return refusal
    return None


def refusal_of(use: Use, place: Place) -> DomainError | None:
    """Of the first counter of a use that has no room. None: all of them have, by now."""
    for bump in place.bumps:
        row = UsageCounter.objects.filter(
            user_id=use.user_id, feature=bump.feature, window_start=bump.window_start
        ).values_list("used", "held")
        used, held = row.first() or (0, 0)
        if not bump.fits(used, held):
            return bump.refusal(use, used, held)
    return None


# --- the ways out -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settled:
    """usage: UsageOut of each event (none for what was 0 in the end); replay: it was settled before, just so."""

    usage: list[dict[str, Any]]
    replay: bool


def settle(hold_id: int, amount: int, *, source: str, tokens: int | None = None, now: datetime) -> Settled:
    """Count what was truly used, 0 or more, and give back what was held for it.

    What was used is always counted: more than was held too, after the hold has expired, and beyond the limit. It counts
    in the window in which the hold was made. Settling twice with the same numbers gives the first answer.
    Raises HoldNotFound, HoldIsSettled, HoldIsReleased, InvalidInput.
    """
    try:
        with transaction.atomic():
            row = _locked(hold_id, source)
            true = _true_amounts(row, amount, tokens)
            if row.state == UsageHold.State.RELEASED:
                raise HoldIsReleased()
            if row.state == UsageHold.State.SETTLED:
                if row.settled != true:
                    raise HoldIsSettled(settled=_told(row))
                return Settled(_events_of(row), replay=True)
            still_held = row.state == UsageHold.State.OPEN
            # Counters before events and days, as every other statement does.
            used = {}
            for line in _in_order(row):
                give_back = line["amount"] if still_held else 0
                used[line["feature"]] = settle_counter(row.user_id, _bump(line), give_back, true[line["feature"]])
                if line["feature"] == SPEND and true[SPEND]:
                    # By the cap of now: that of the hold may have been raised since.
                    write_spend_alerts(row.user_id, _bump(line).window_start)
            usage = [_add_event(row, line, used[line["feature"]], true[line["feature"]]) for line in row.amounts]
            row.state, row.settled, row.ended_at = UsageHold.State.SETTLED, true, now
            row.save(update_fields=["state", "settled", "ended_at"])
            return Settled([event for event in usage if event is not None], replay=False)
    except NoPartition:
        make_partition_of(UsageHold.objects.values_list("created_at", flat=True).get(pk=hold_id))
        return settle(hold_id, amount, source=source, tokens=tokens, now=now)


def release(hold_id: int, *, source: str, now: datetime) -> dict[str, Any]:
    """Nothing was used: give it back. Twice is no error, nor is a hold that has expired by itself. Returns the hold as
    `Held.hold`. Raises HoldNotFound, HoldIsSettled."""
    with transaction.atomic():
        row = _locked(hold_id, source)
        if row.state == UsageHold.State.SETTLED:
            raise HoldIsSettled(settled=_told(row))
        if row.state == UsageHold.State.OPEN:
            _give_back(row, UsageHold.State.RELEASED, now)
        elif row.state == UsageHold.State.EXPIRED:
            row.state = UsageHold.State.RELEASED
            row.save(update_fields=["state"])
    return hold_out(row, now)


def give_back_expired_holds(now: datetime) -> int:
    """The sweep: give back what has expired, oldest first. Returns how many."""
    expired = UsageHold.objects.filter(state=UsageHold.State.OPEN, expires_at__lte=now).order_by("expires_at")
    return _expire(list(expired.values_list("pk", flat=True)[:_AT_ONCE]), now)


def give_back_expired_holds_of(user_ids: list[int], now: datetime) -> int:
    """The same for some users alone: asked where a limit would otherwise refuse."""
    expired = UsageHold.objects.filter(user_id__in=user_ids, state=UsageHold.State.OPEN, expires_at__lte=now)
    return _expire(sorted(expired.values_list("pk", flat=True)), now)


def _expire(hold_ids: list[int], now: datetime) -> int:
    """Each in a transaction of its own: short locks. One that somebody settles just now is passed over."""
    count = 0
    for hold_id in hold_ids:
        with transaction.atomic():
            row = (
                UsageHold.objects.select_for_update(skip_locked=_can_skip())
                .filter(pk=hold_id, state=UsageHold.State.OPEN, expires_at__lte=now)
                .first()
            )
            if row is not None:
                _give_back(row, UsageHold.State.EXPIRED, now)
                count += 1
    return count


def _can_skip() -> bool:
    return transaction.get_connection().features.has_select_for_update_skip_locked


def _locked(hold_id: int, source: str) -> UsageHold:
    row = UsageHold.objects.select_for_update().filter(pk=hold_id, source=source).first()
    if row is None:
        raise HoldNotFound()
    return row


def _give_back(row: UsageHold, state: Any, now: datetime) -> None:
    for line in _in_order(row):
        settle_counter(row.user_id, _bump(line), line["amount"], 0)
    row.state, row.ended_at = state, now
    row.save(update_fields=["state", "ended_at"])


def _in_order(row: UsageHold) -> list[dict[str, Any]]:
    return sorted(row.amounts, key=lambda line: line["feature"])


def _true_amounts(row: UsageHold, amount: int, tokens: int | None) -> dict[str, int]:
    """{feature: what was truly used} for every counter of the hold. Raises InvalidInput."""
    features = [line["feature"] for line in row.amounts]
    true = {features[0]: _checked("amount", amount)}
    if features[0] == Feature.AI_PROMPT.value and Feature.AI_TOKEN.value in features:
        if tokens is None:
            raise InvalidInput({"tokens": ["This hold holds tokens: say how many were used."]})
        true[Feature.AI_TOKEN.value] = _checked("tokens", tokens)
    elif tokens is not None:
        raise InvalidInput({"tokens": ["This hold holds no tokens."]})
    for line in row.amounts:
        if (charge := _charge(line)) is not None:
            true[SPEND] = charge.cost(true[line["feature"]])
            if true[SPEND] > MAX_COST:
                raise InvalidInput({"tokens": [f"These would cost more than ${dollars(MAX_COST):,.0f}."]})
    return true


def _told(row: UsageHold) -> dict[str, int]:
    """What it was settled with, in the words of who settled it."""
    return {feature: amount for feature, amount in (row.settled or {}).items() if feature in FEATURES}


def _checked(name: str, number: int) -> int:
    if not 0 <= number <= MAX_AMOUNT:
        raise InvalidInput({name: [f"A whole number from 0 to {MAX_AMOUNT:,}."]})
    return number


def _bump(line: dict[str, Any]) -> Bump:
    start, end = (parse_datetime(line[name]) if line[name] else None for name in ("window_start", "resets_at"))
    assert start is not None
    return Bump(line["feature"], start, end, line["amount"], line["limit"], None)


def _event_source(row: UsageHold) -> str:
    """The events of a hold have a source of their own, so that no key of a backend can stand in their way."""
    return f"hold:{row.pk}"


def _add_event(row: UsageHold, line: dict[str, Any], used: int, amount: int) -> dict[str, Any] | None:
    metered = FEATURES.get(line["feature"])
    if metered is None or not amount:
        return None
    use = Use(row.user_id, metered, amount, _event_source(row), line["feature"], row.model)
    alert_window = parse_datetime(line["alert_window"])
    assert alert_window is not None
    charge = _charge(line)
    cost = charge.cost(amount) if charge else 0
    slot = Slot(row.created_at.date(), (_bump(line)._replace(amount=amount),), alert_window, cost, charge)
    place = Place(row.created_at, slot, None)
    event_id = add_event(use, place, used)
    return {
        "id": event_id,
        "user_id": row.user_id,
        "feature": use.feature,
        "amount": amount,
        "timestamp": row.created_at,
    }


def _events_of(row: UsageHold) -> list[dict[str, Any]]:
    """UsageOut of what it was settled with, in the order of its amounts."""
    events = UsageEvent.objects.filter(user_id=row.user_id, timestamp=row.created_at, source=_event_source(row)).values(
        "id", "user_id", "feature", "amount", "timestamp"
    )
    by_feature = {event["feature"]: event for event in events}
    return [by_feature[line["feature"]] for line in row.amounts if line["feature"] in by_feature]


def hold_out(row: UsageHold, now: datetime) -> dict[str, Any]:
    """HoldOut: what the API tells of a hold. One whose time is over is expired, also before the sweep comes by."""
    is_over = row.state == UsageHold.State.OPEN and row.expires_at <= now
    amounts = {line["feature"]: line["amount"] for line in row.amounts}
    feature = row.amounts[0]["feature"]
    return {
        "id": row.pk,
        "user_id": row.user_id,
        "feature": feature,
        "amount": amounts[feature],
        "tokens": amounts.get(Feature.AI_TOKEN.value) if feature == Feature.AI_PROMPT.value else None,
        "expires_at": row.expires_at,
        "state": str(UsageHold.State.EXPIRED) if is_over else row.state,
    }
