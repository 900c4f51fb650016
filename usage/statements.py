"""The SQL that counts: pieces that PostgreSQL runs as one statement and sqlite as several in one transaction.

The pieces are the same text on both. Where one follows from another (the event from its counter), PostgreSQL reads it
from the CTE before; sqlite gets the number as a parameter. See docs/decisions/0005-metering.md.
"""

from collections.abc import Iterable
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any

from django.db import IntegrityError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors as pg
from psycopg.types.numeric import Int8

from billing.pricing import NANOCENTS
from usage.api_keys import KEY_HOLDS, is_of_a_key
from usage.costs import SPEND
from usage.features import Feature
from usage.limits import WARNING_LEVELS
from usage.plan_facts import PROOF, STILL_HOLD, proof
from usage.prepared import Statement, can_run_prepared, encoded, prepared, run_prepared
from usage.uses import Bump, Place, Slot, Use
from usage.warning_mails import ring_for

# A parameter that stands in more than one place must be of one type in all of them.
_SOURCE, _KEY, _FEATURE, _MODEL = (f"CAST(%({name})s AS varchar)" for name in ("source", "key", "feature", "model"))

NOT_COUNTED_YET = f"NOT EXISTS (SELECT 1 FROM usage_usagekey k WHERE k.source = {_SOURCE} AND k.key = {_KEY})"

# Both refuse by returning no row: over the limit, counted before, another plan than was thought, or an API key that may
# no longer (the caller looks which). `WHERE amount <= limit` guards the first use, that of the conflict all others.
# Under READ COMMITTED two of the same event may both pass NOT_COUNTED_YET; then the unique key stops the second and
# takes back all that it did.
TAKE = """
    INSERT INTO usage_usagecounter AS c (user_id, feature, window_start, used)
    SELECT %(user_id)s, {feature}, %(window)s, {amount} {source}
    WHERE {amount} <= {limit} AND {condition}
    ON CONFLICT (user_id, feature, window_start) DO UPDATE SET used = c.used + excluded.used
    WHERE c.used + c.held + excluded.used <= {limit}
    RETURNING used"""
# Giving back asks for no limit: after a change to a smaller plan there may be more than it allows. An upsert would
# fail: PostgreSQL checks `used >= 0` on the proposed row before it looks for the conflict.
GIVE_BACK = """
    UPDATE usage_usagecounter SET used = used + {amount}
    WHERE user_id = %(user_id)s AND feature = {feature} AND window_start = %(window)s
      AND used + {amount} >= 0 AND {condition}
    RETURNING used"""
# What a use that was not counted met, if nothing but its counter can have refused it; no row: something else may have.
MET = f"""
    SELECT COALESCE(c.used, 0), COALESCE(c.held, 0) FROM (SELECT 1 AS one) o
    LEFT JOIN usage_usagecounter c ON c.user_id = %(user_id)s AND c.feature = {_FEATURE} AND c.window_start = %(window)s
    WHERE {{condition}} AND NOT EXISTS (SELECT 1 FROM usage_usagehold h
        WHERE h.user_id = %(user_id)s AND h.state = 'open' AND h.expires_at <= %(now)s)"""
ADD_TO_DAY = f"""
    INSERT INTO usage_usageday AS d (user_id, feature, day, amount, cost_nanocents)
    SELECT %(user_id)s, {_FEATURE}, %(day)s, %(amount)s, %(cost)s {{source}} WHERE true
    ON CONFLICT (user_id, feature, day)
    DO UPDATE SET amount = d.amount + excluded.amount, cost_nanocents = d.cost_nanocents + excluded.cost_nanocents"""
# A line of the receipt, and what Stripe's meter is to be told: billing/meter_reports.py.
ADD_TO_CHARGE = f"""
    INSERT INTO billing_tokencharge AS t (user_id, period_start, day_start, model, factor, price_cents, tokens,
                                          cost_nanocents)
    SELECT %(user_id)s, %(period_start)s, %(charge_day)s, {_MODEL}, %(factor)s, %(price_cents)s, %(amount)s, %(cost)s
    {{source}} WHERE true
    ON CONFLICT (user_id, period_start, day_start, model, factor, price_cents)
    DO UPDATE SET tokens = t.tokens + excluded.tokens, cost_nanocents = t.cost_nanocents + excluded.cost_nanocents"""
INSERT_EVENT = f"""
    INSERT INTO usage_usageevent (user_id, feature, amount, timestamp, source, key, model, cost_nanocents, billed_from,
                                  window_start, resets_at, used_after, limit_then)
    SELECT %(user_id)s, {_FEATURE}, %(amount)s, %(timestamp)s, {_SOURCE}, {_KEY}, {_MODEL}, %(cost)s,
           {{billed_from}}, %(window)s, %(resets_at)s, {{used}}, %(limit_then)s {{source}}
    WHERE true
    RETURNING id"""
INSERT_KEY = f"""
    INSERT INTO usage_usagekey (source, key, fingerprint, event_id, timestamp)
    SELECT {_SOURCE}, {_KEY}, %(fingerprint)s, {{event_id}}, %(timestamp)s {{source}} WHERE true"""
# A row for every threshold reached that has none yet in this window; `created_at` of the first one stays. The user's
# own threshold is read where it stands, so that a choice counts from the next use on, in every process. Rounded up
# instead of `used * 100`: nanocents times a hundred do not fit a bigint.
_PERCENTS = " UNION ALL ".join(f"SELECT {percent} AS percent" for percent in WARNING_LEVELS)
THRESHOLDS = f"""({_PERCENTS} UNION ALL SELECT own_threshold FROM usage_usagewarningchoice
          WHERE user_id = {{user_id}} AND feature = {{feature}}) t"""
REACHED = "{used} >= (t.percent * CAST({limit} AS bigint) + 99) / 100"
WRITE_ALERTS = f"""
    INSERT INTO usage_usagealert (user_id, feature, window_start, threshold)
    SELECT %(user_id)s, {{feature}}, %(alert_window)s, t.percent
    FROM {THRESHOLDS.format(user_id="%(user_id)s", feature="{feature}")} {{source}}
    WHERE {REACHED}
    ON CONFLICT DO NOTHING"""
# The same for dollars where no use of the moment names the cap: it is read where it stands.
WRITE_SPEND_ALERTS = f"""
    INSERT INTO usage_usagealert (user_id, feature, window_start, threshold)
    SELECT c.user_id, c.feature, c.window_start, t.percent
    FROM usage_usagecounter c JOIN usage_spendcap s ON s.user_id = c.user_id
    CROSS JOIN {THRESHOLDS.format(user_id="%(user_id)s", feature=f"'{SPEND}'")}
    WHERE c.user_id = %(user_id)s AND c.feature = '{SPEND}' AND c.window_start = %(window)s AND c.used > 0
      AND c.used >= t.percent * CAST(s.cents AS bigint) * {NANOCENTS // 100}
    ON CONFLICT DO NOTHING"""


# What these name, and of which type, in the order in which it is sent.
_OF_USE: dict[str, type] = {
    "user_id": int,
    "timestamp": datetime,
    "source": str,
    "key": str,
    "model": str,
    "fingerprint": str,
}
# The same for all uses in one slot.
_OF_SLOT: dict[str, type] = {
    "amount": int,
    "day": date,
    "cost": int,
    "feature": str,
    "window": datetime,
    "resets_at": datetime,
    "limit_then": int,
    "limit": int,
    "alert_window": datetime,
}
# Only of what costs something. cap: of the second counter, which moves by the cost.
_OF_CHARGE: dict[str, type] = {
    "period_start": datetime,
    "charge_day": datetime,
    "factor": int,
    "price_cents": int,
    "cap": int,
}
# How a place's counters are named in the pieces: its own, and the dollars, in the same window.
_COUNTERS = (
    {"feature": _FEATURE, "amount": "%(amount)s", "limit": "%(limit)s"},
    {"feature": f"CAST('{SPEND}' AS varchar)", "amount": "%(cost)s", "limit": "%(cap)s"},
)
# {how many there are: the order in which they are locked}: everywhere that of their features.
_ORDERS = {1: (0,), 2: (1, 0)}
assert SPEND < Feature.AI_TOKEN


def count(use: Use, place: Place, wrapper: BaseDatabaseWrapper) -> tuple[int, int] | None:
    """Count one use on this connection: (the event's id, its counter with it), or None: nothing was changed, because it
    does not fit, was counted before, or the plan is another one by now.

    On PostgreSQL one statement; outside of a transaction that is all. Elsewhere the caller holds a transaction, and
    takes it back on None. Raises KeyTaken, DoesNotFit, NoPartition: these, too, must be taken back.
    """
    try:
        if wrapper.vendor != "postgresql":
            row: Any = _one_by_one(use, place)
        elif can_run_prepared(wrapper):
            statement, texts = _sent(use, place)
            row = run_prepared(wrapper, statement, texts)
        else:
            row = fetch_one(*statement_and_params(use, place))
    except IntegrityError as error:
        tell_apart(error)
        raise
    if row is None:
        return None
    event_id, used, alerts = map(int, row)
    if alerts:
        ring_for([use.user_id])
    return event_id, used


def met(use: Use, place: Place, now: datetime) -> tuple[int, int] | None:
    """(used, held) of the own counter of a use that was not counted. None: the plan may be another one by now, the API
    key may write no longer, the event may have been counted before, or a hold has expired."""
    has_plan, has_key, *_ = _shape(use, place)
    sql = MET.format(condition=_condition(has_plan, has_key))
    return fetch_one(_short(sql), {**_params(use, place), "now": db_time(now)})


# --- PostgreSQL: one statement ----------------------------------------------------------------------------------------


def statement_and_params(use: Use, place: Place) -> tuple[str, dict[str, Any]]:
    """The one statement that counts `use` on PostgreSQL."""
    return _statement(use, place).sql, _params(use, place)


def _statement(use: Use, place: Place) -> Statement:
    return _as_one_statement(*_shape(use, place))


@lru_cache(maxsize=64)
def _as_one_statement(
    has_plan: bool, has_key: bool, gives_back: bool, warned: int | None, counters: int, costs: bool
) -> Statement:
    """The pieces as CTEs. Counters follow one another: what refuses leaves the later ones alone. A later one that
    refuses cannot undo the first; the event then has no number to answer with: an error, which undoes all."""
    order = _ORDERS[counters]
    first, last = order[0], order[-1]
    parts = []
    for position, i in enumerate(order):
        piece = GIVE_BACK if gives_back and i == 0 else TAKE
        condition = _condition(has_plan, has_key) if position == 0 else "true"
        source = "" if position == 0 else f"FROM bump_{order[position - 1]}"
        parts.append(f"bump_{i} AS ({piece.format(**_COUNTERS[i], source=source, condition=condition)})")
    used, bumped = "bump_0.used", f"FROM bump_{first}"
    if len(order) > 1:
        bumped = f"FROM bump_{first}" + "".join(f" LEFT JOIN bump_{i} ON true" for i in order[1:])
        used = f"CASE WHEN bump_{last}.used IS NOT NULL THEN bump_0.used END"
    parts.append(f"event AS ({_insert_event(costs, source=bumped, used=used)})")
    parts.append(f"key AS ({INSERT_KEY.format(source='FROM event', event_id='event.id')})")
    parts.append(f"day AS ({ADD_TO_DAY.format(source='FROM event')})")
    if costs:
        parts.append(f"charge AS ({ADD_TO_CHARGE.format(source='FROM event')})")
    if warned is not None:
        row = f"bump_{warned}"
        parts.append(f"alerts AS ({_alerts(warned, source=f', {row}', used=f'{row}.used')} RETURNING 1)")
    alerts = "0" if warned is None else "(SELECT count(*) FROM alerts)"
    sql = _short(f"WITH {', '.join(parts)} SELECT event.id, bump_0.used, {alerts} FROM event, bump_0")
    return Statement(sql, _names(has_plan, costs))


def _short(sql: str) -> str:
    """psycopg remembers how it translated a text of less than 4 kB; a longer one costs more than its execution."""
    return " ".join(sql.split())


# --- sqlite: several --------------------------------------------------------------------------------------------------


def _one_by_one(use: Use, place: Place) -> tuple[int, int, int] | None:
    has_plan, has_key, gives_back, warned, counters, costs = _shape(use, place)
    params = _params(use, place)
    used = {}
    for i in _ORDERS[counters]:
        piece = GIVE_BACK if gives_back and i == 0 else TAKE
        row = fetch_one(piece.format(**_COUNTERS[i], source="", condition=_condition(has_plan, has_key)), params)
        if row is None:
            return None
        used[i] = row[0]
    params["used_after"] = used[0]
    event = fetch_one(_insert_event(costs, source="", used="%(used_after)s"), params)
    assert event is not None
    params["event_id"] = event[0]
    execute(INSERT_KEY.format(source="", event_id="%(event_id)s"), params)
    execute(ADD_TO_DAY.format(source=""), params)
    if costs:
        execute(ADD_TO_CHARGE.format(source=""), params)
    return event[0], used[0], 0 if warned is None else _write_alerts(params, warned, used[warned])


# --- holds: both databases take these as they are -----------------------------------------------------------------

HOLD = """
    INSERT INTO usage_usagecounter AS c (user_id, feature, window_start, used, held)
    SELECT %(user_id)s, %(feature)s, %(window)s, 0, %(amount)s
    WHERE %(amount)s <= %(limit)s AND {condition}
    ON CONFLICT (user_id, feature, window_start) DO UPDATE SET held = c.held + excluded.held
    WHERE c.used + c.held + excluded.held <= %(limit)s
    RETURNING held"""
SETTLE = """
    UPDATE usage_usagecounter SET used = used + %(used)s, held = held - %(held)s
    WHERE user_id = %(user_id)s AND feature = %(feature)s AND window_start = %(window)s
    RETURNING used"""


def add_hold(use: Use, place: Place, bump: Bump) -> bool:
    """Hold `bump.amount`. False: nothing was changed, because it does not fit or the plan is another one by now."""
    condition = "true"
    params = {
        "user_id": big(use.user_id),
        "feature": bump.feature,
        "window": db_time(bump.window_start),
        "amount": big(bump.amount),
        "limit": big(bump.most),
    }
    if place.facts is not None:
        condition = STILL_HOLD
        params |= _adapted(PROOF, proof(place.facts.user_plan))
    return fetch_one(_short(HOLD.format(condition=condition)), params) is not None


def settle_counter(user_id: int, bump: Bump, give_back: int, used: int) -> int:
    """Give back what was held and count what was used, whatever the limit. Returns the counter."""
    params = {
        "user_id": big(user_id),
        "feature": bump.feature,
        "window": db_time(bump.window_start),
        "held": big(give_back),
        "used": big(used),
    }
    return fetch_one(_short(SETTLE), params)[0]


def add_event(use: Use, place: Place, used: int) -> int:
    """The event of a use that its counter has already: with the day's total and the warnings. Returns its id.
    Raises NoPartition."""
    params = {**_params(use, place), "used_after": big(used)}
    costs = place.slot.charge is not None
    try:
        event_id = fetch_one(_short(_insert_event(costs, source="", used="%(used_after)s")), params)[0]
    except IntegrityError as error:
        tell_apart(error)
        raise
    execute(ADD_TO_DAY.format(source=""), params)
    if costs:
        execute(ADD_TO_CHARGE.format(source=""), params)
    if (warned := place.slot.warned) is not None and _write_alerts(params, warned, used):
        ring_for([use.user_id])
    return event_id


# --- both -------------------------------------------------------------------------------------------------------------


def write_spend_alerts(user_id: int, window_start: datetime) -> None:
    """The warnings of the customer's own cap as it stands now, and as much as is spent."""
    if execute(_short(WRITE_SPEND_ALERTS), {"user_id": big(user_id), "window": db_time(window_start)}):
        ring_for([user_id])


def _write_alerts(params: dict[str, Any], warned: int, used: int) -> int:
    """Returns how many are new."""
    return execute(_short(_alerts(warned, source="", used="%(warned_used)s")), {**params, "warned_used": big(used)})


def _alerts(i: int, **parts: str) -> str:
    """WRITE_ALERTS for the counter `i`."""
    return WRITE_ALERTS.format(feature=_COUNTERS[i]["feature"], limit=_COUNTERS[i]["limit"], **parts)


def _insert_event(costs: bool, **parts: str) -> str:
    return INSERT_EVENT.format(billed_from="%(period_start)s" if costs else "NULL", **parts)


def _shape(use: Use, place: Place) -> tuple[bool, bool, bool, int | None, int, bool]:
    """(does it rest on a plan, on an API key, does it give back, which counter can reach a threshold, how many there
    are, does it cost something)."""
    slot = place.slot
    return (
        place.facts is not None,
        is_of_a_key(use.source),
        use.amount < 0,
        slot.warned,
        len(slot.bumps),
        slot.charge is not None,
    )


def _condition(has_plan: bool, has_key: bool) -> str:
    return " AND ".join([NOT_COUNTED_YET, *[STILL_HOLD] * has_plan, *[KEY_HOLDS] * has_key])


# --- what the pieces name ---------------------------------------------------------------------------------------------


@cache
def _names(has_plan: bool, costs: bool) -> dict[str, type]:
    return _OF_USE | _OF_SLOT | (_OF_CHARGE if costs else {}) | (PROOF if has_plan else {})


def _of_use(use: Use, place: Place) -> tuple[Any, ...]:
    return use.user_id, place.timestamp, use.source, use.key, use.model, use.fingerprint


def _of_slot(slot: Slot) -> tuple[Any, ...]:
    own, charge = slot.own, slot.charge
    values = (
        own.amount,
        slot.day,
        slot.cost_nanocents,
        own.feature,
        own.window_start,
        own.resets_at,
        own.limit,
        own.most,
        slot.alert_window,
    )
    if charge is None:
        return values
    cap = slot.bumps[1].most if len(slot.bumps) > 1 else None
    return *values, charge.period_start, charge.day_start, charge.factor, charge.price_cents, cap


def _sent(use: Use, place: Place) -> tuple[Statement, list[bytes | None]]:
    """The statement and the values of `_names`, for run_prepared."""
    facts, slot = place.facts, place.slot
    form = facts is not None, is_of_a_key(use.source)
    if (sent := slot.sent.get(form)) is None:
        sent = slot.sent[form] = _statement(use, place), encoded(_of_slot(slot))
    statement, of_slot = sent
    texts = encoded(_of_use(use, place))
    texts += of_slot
    if facts is not None:
        texts += facts.own
        texts += facts.common
    return statement, texts


def _params(use: Use, place: Place) -> dict[str, Any]:
    """{name: value} of `_names`, for a cursor."""
    values = [*_of_use(use, place), *_of_slot(place.slot)]
    if place.facts is not None:
        values += proof(place.facts.user_plan)
    return _adapted(_names(place.facts is not None, place.slot.charge is not None), values)


def _adapted(names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    return {name: _parameter(value) for name, value in zip(names, values, strict=True)}


def _parameter(value: Any) -> Any:
    match value:
        case int():
            return big(value)
        case datetime():
            return db_time(value)
        case date():
            return connection.ops.adapt_datefield_value(value)
    return value


# psycopg names a number by its size (smallint, integer, bigint), and each combination would be a statement of its
# own to be prepared. sqlite takes its subclass of int as what it is.
big = Int8


def db_time(moment: Any) -> Any:
    """A parameter as the column holds it: sqlite keeps times as text."""
    return connection.ops.adapt_datetimefield_value(moment)


def fetch_one(sql: str, params: dict[str, Any]) -> Any:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()


def execute(sql: str, params: dict[str, Any]) -> int:
    """Returns how many rows it wrote."""
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount


# --- what the database refuses with an error --------------------------------------------------------------------------


class KeyTaken(Exception):
    """Another has just counted an event of this key."""


class DoesNotFit(Exception):
    """The first counters had room, a later one has none."""


class NoPartition(Exception):
    """The events of this month have no place yet."""


def tell_apart(error: IntegrityError) -> None:
    """Raise the above one that this is; if none, nothing."""
    cause = error.__cause__
    if isinstance(cause, pg.UniqueViolation) and cause.diag.table_name == "usage_usagekey":
        raise KeyTaken from error
    if isinstance(cause, pg.NotNullViolation) and cause.diag.column_name == "used_after":
        raise DoesNotFit from error
    if isinstance(cause, pg.CheckViolation) and cause.diag.constraint_name is None:
        raise NoPartition from error
