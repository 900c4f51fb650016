"""The SQL of a batch on PostgreSQL: whole columns go in as arrays, one statement a table to read, one to write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from usage.arrays import numbers, texts, times
from usage.costs import Charge
from usage.prepared import prepared
from usage.statements import told_apart
from usage.uses import Place, Use

# (user, model, how it is charged): what names a TokenCharge; its numbers are [tokens, nanocents].
ChargeKey = tuple[int, str, Charge]
# (user, feature, window start): what names a counter.
CounterKey = tuple[int, str, datetime]


@dataclass(slots=True)
class Counter:
    """A locked row; `before` is what it held when it was locked."""

    id: int
    used: int
    held: int
    before: int

    @property
    def state(self) -> tuple[int, int]:
        return self.used, self.held


@dataclass(slots=True)
class NewEvent:
    """An accepted event; `usage` (UsageOut) gets its id when it is written."""

    use: Use
    place: Place
    counter: CounterKey
    used_after: int
    fingerprint: str
    usage: dict[str, Any]


# `LIMIT 1` makes the planner look up row by row: a plan that was made while a table was small and nobody had analyzed
# it would go through all keys of a backend for every batch, and stays in use as long as the connection.

# Rows that are missing are made first, then all are locked, both in one order. A row that another has made in between
# is returned by neither half: the caller asks again.
LOCK_COUNTERS = """
    WITH wanted AS (
        SELECT * FROM unnest(%(users)s::bigint[], %(features)s::text[], %(windows)s::timestamptz[])
        WITH ORDINALITY AS w (user_id, feature, window_start, n)
    ), made AS (
        INSERT INTO usage_usagecounter AS c (user_id, feature, window_start, used)
        SELECT w.user_id, w.feature, w.window_start, 0 FROM wanted w
        WHERE (SELECT 1 FROM usage_usagecounter c
            WHERE c.user_id = w.user_id AND c.feature = w.feature AND c.window_start = w.window_start LIMIT 1) IS NULL
        ORDER BY w.user_id, w.feature COLLATE "C", w.window_start
        ON CONFLICT DO NOTHING
        RETURNING id, user_id, feature, window_start, used, held
    ), locked AS (
        SELECT w.n, c.id, c.used, c.held
        FROM (SELECT * FROM wanted ORDER BY user_id, feature COLLATE "C", window_start) w
        CROSS JOIN LATERAL (SELECT c.id, c.used, c.held FROM usage_usagecounter c
            WHERE c.user_id = w.user_id AND c.feature = w.feature AND c.window_start = w.window_start
            LIMIT 1 FOR UPDATE) c
    )
    SELECT w.n, m.id, m.used, m.held FROM made m JOIN wanted w USING (user_id, feature, window_start)
    UNION ALL SELECT * FROM locked"""
KNOWN_KEYS = """
    SELECT k.key, k.fingerprint, k.event_id, k.timestamp
    FROM unnest(%(keys)s::text[]) w (key)
    CROSS JOIN LATERAL (SELECT * FROM usage_usagekey k WHERE k.source = %(source)s AND k.key = w.key LIMIT 1) k"""
# Events name their counter by its place (`n`) among the counters, so that its columns are sent once.
WRITE = """
    WITH counter AS (
        SELECT * FROM unnest(%(c_users)s::bigint[], %(c_features)s::text[], %(c_windows)s::timestamptz[],
            %(c_resets)s::timestamptz[], %(c_limits)s::bigint[])
        WITH ORDINALITY AS c (user_id, feature, window_start, resets_at, limit_then, n)
    ), new AS (
        SELECT * FROM unnest(%(ns)s::int[], %(amounts)s::bigint[], %(times)s::timestamptz[], %(keys)s::text[],
            %(prints)s::text[], %(models)s::text[], %(costs)s::bigint[], %(periods)s::timestamptz[],
            %(used)s::bigint[])
        WITH ORDINALITY AS e (n, amount, timestamp, key, fingerprint, model, cost, billed_from, used_after, i)
    ), bump AS (
        UPDATE usage_usagecounter c SET used = c.used + b.amount
        FROM unnest(%(b_ids)s::bigint[], %(b_amounts)s::bigint[]) b (id, amount) WHERE c.id = b.id
    ), day AS (
        INSERT INTO usage_usageday AS d (user_id, feature, day, amount, cost_nanocents)
        SELECT * FROM unnest(%(d_users)s::bigint[], %(d_features)s::text[], %(d_days)s::date[],
            %(d_amounts)s::bigint[], %(d_costs)s::bigint[]) u (user_id, feature, day, amount, cost)
        ORDER BY u.user_id, u.feature COLLATE "C", u.day
        ON CONFLICT (user_id, feature, day) DO UPDATE
        SET amount = d.amount + excluded.amount, cost_nanocents = d.cost_nanocents + excluded.cost_nanocents
    ), charge AS (
        INSERT INTO billing_tokencharge AS t (user_id, period_start, day_start, model, factor, price_cents, tokens,
                                              cost_nanocents)
        SELECT * FROM unnest(%(t_users)s::bigint[], %(t_periods)s::timestamptz[], %(t_days)s::timestamptz[],
            %(t_models)s::text[], %(t_factors)s::int[], %(t_prices)s::int[], %(t_tokens)s::bigint[],
            %(t_costs)s::bigint[]) u (user_id, period_start, day_start, model, factor, price_cents, tokens, cost)
        ORDER BY u.user_id, u.period_start, u.day_start, u.model COLLATE "C", u.factor, u.price_cents
        ON CONFLICT (user_id, period_start, day_start, model, factor, price_cents) DO UPDATE
        SET tokens = t.tokens + excluded.tokens, cost_nanocents = t.cost_nanocents + excluded.cost_nanocents
    ), event AS (
        INSERT INTO usage_usageevent (user_id, feature, amount, timestamp, source, key, model, cost_nanocents,
                                      billed_from, window_start, resets_at, used_after, limit_then)
        SELECT c.user_id, c.feature, e.amount, e.timestamp, %(source)s, e.key, e.model, e.cost,
               e.billed_from, c.window_start, c.resets_at, e.used_after, c.limit_then
        FROM new e JOIN counter c USING (n) ORDER BY e.i
        RETURNING id, key, timestamp
    ), key AS (
        INSERT INTO usage_usagekey (source, key, fingerprint, event_id, timestamp)
        SELECT %(source)s, e.key, e.fingerprint, event.id, event.timestamp
        FROM new e JOIN event USING (key) ORDER BY e.key COLLATE "C"
    )
    SELECT key, id FROM event"""
INSERT_ALERTS = """
    INSERT INTO usage_usagealert (user_id, feature, window_start, threshold)
    SELECT * FROM unnest(%(users)s::bigint[], %(features)s::text[], %(windows)s::timestamptz[],
                         %(percents)s::smallint[])
    ON CONFLICT DO NOTHING
    RETURNING user_id"""


def lock_counters(wanted: Iterable[CounterKey]) -> dict[CounterKey, Counter]:
    """Lock the counters, making those that are missing. One statement, unless another makes one at the same time."""
    counters: dict[CounterKey, Counter] = {}
    missing = sorted(wanted)
    while missing:
        rows = _fetch_all(
            LOCK_COUNTERS,
            {
                "users": numbers(user for user, _, _ in missing),
                "features": texts(feature for _, feature, _ in missing),
                "windows": times(start for _, _, start in missing),
            },
        )
        for n, counter_id, used, held in rows:
            counters[missing[n - 1]] = Counter(counter_id, used, held, used)
        missing = [key for key in missing if key not in counters]
    return counters


def known_keys(source: str, keys: list[str]) -> list[tuple[str, str, int | None, datetime]]:
    """[(key, fingerprint, event id, its timestamp)] of those that were counted before."""
    return _fetch_all(KNOWN_KEYS, {"source": source, "keys": texts(keys)}) if keys else []


def write_events(
    source: str,
    new: Sequence[NewEvent],
    counters: dict[CounterKey, Counter],
    days: dict[tuple[int, str, date], list[int]],
    charges: dict[ChargeKey, list[int]],
) -> dict[str, int]:
    """Write the events with their keys, the counters', the days' and the charges' new numbers. Returns {key: the
    event's id}.

    Raises KeyTaken, NoPartition: then the transaction must be taken back.
    """
    places: dict[CounterKey, tuple[int, Place]] = {}
    for event in new:
        places.setdefault(event.counter, (len(places) + 1, event.place))
    changed = [counter for counter in counters.values() if counter.used != counter.before]
    own = [place.own for _, place in places.values()]
    params = {
        "source": source,
        "c_users": numbers(user for user, _, _ in places),
        "c_features": texts(feature for _, feature, _ in places),
        "c_windows": times(start for _, _, start in places),
        "c_resets": times(bump.resets_at for bump in own),
        "c_limits": numbers(bump.limit for bump in own),
        "ns": numbers(places[event.counter][0] for event in new),
        "amounts": numbers(event.use.amount for event in new),
        "times": times(event.place.timestamp for event in new),
        "keys": texts(event.use.key for event in new),
        "prints": texts(event.fingerprint for event in new),
        "models": texts(event.use.model for event in new),
        "costs": numbers(event.place.cost_nanocents for event in new),
        "periods": times(event.place.charge.period_start if event.place.charge else None for event in new),
        "used": numbers(event.used_after for event in new),
        "b_ids": numbers(counter.id for counter in changed),
        "b_amounts": numbers(counter.used - counter.before for counter in changed),
        "d_users": numbers(user for user, _, _ in days),
        "d_features": texts(feature for _, feature, _ in days),
        "d_days": texts(day.isoformat() for _, _, day in days),
        "d_amounts": numbers(amount for amount, _ in days.values()),
        "d_costs": numbers(cost for _, cost in days.values()),
        "t_users": numbers(user for user, _, _ in charges),
        "t_periods": times(charge.period_start for _, _, charge in charges),
        "t_days": times(charge.day_start for _, _, charge in charges),
        "t_models": texts(model for _, model, _ in charges),
        "t_factors": numbers(charge.factor for _, _, charge in charges),
        "t_prices": numbers(charge.price_cents for _, _, charge in charges),
        "t_tokens": numbers(tokens for tokens, _ in charges.values()),
        "t_costs": numbers(cost for _, cost in charges.values()),
    }
    with told_apart():
        return dict(_fetch_all(WRITE, params))


def insert_alerts(alerts: Iterable[tuple[int, str, datetime, int]]) -> set[int]:
    """Write those that there are not yet; returns whose they are."""
    rows = sorted(alerts)
    params = {
        "users": numbers(user for user, _, _, _ in rows),
        "features": texts(feature for _, feature, _, _ in rows),
        "windows": times(start for _, _, start, _ in rows),
        "percents": numbers(percent for _, _, _, percent in rows),
    }
    return {user for (user,) in _fetch_all(INSERT_ALERTS, params)}


def _fetch_all(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()
