"""The SQL of a batch on PostgreSQL: whole columns go in as arrays, one statement a table to read, one to write."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from usage.arrays import numbers, texts, times
from usage.costs import Charge
from usage.prepared import prepared
from usage.statements import told_apart
from usage.uses import Place, Use

# (user, feature, window start): what names a counter.
CounterKey = tuple[int, str, datetime]


@dataclass(slots=True)
class Counter:
    """A locked row; `before` is what it held when it was locked. own_threshold: the percentage of its limit at which
    the user wants to be warned."""

    id: int
    used: int
    held: int
    before: int
    own_threshold: int | None


class Group:
    """The events of a batch that say the same as `use`, but for their keys: they count in the same place.

    counters: those of `place.bumps`. most_used: the highest that the counter which is warned of (`warned`, as in Place)
    has stood at after one of them. number: its place, from 1, among the groups of which something is accepted.
    """

    __slots__ = ("accepted", "counter_keys", "counters", "fingerprint", "most_used", "number", "place", "use", "warned")
    counters: list[Counter]
    number: int
    accepted: int
    most_used: int

    def __init__(self, use: Use, place: Place) -> None:
        self.use, self.place = use, place
        self.fingerprint = use.fingerprint
        self.warned = place.warned
        self.counter_keys: list[CounterKey] = [(use.user_id, bump.feature, bump.window_start) for bump in place.bumps]

    def begin(self) -> None:
        """Nothing of it is accepted yet."""
        self.number = self.accepted = self.most_used = 0
        for counter in self.counters:
            counter.used = counter.before


class NewEvents:
    """The accepted events of a batch, in order: column by column, as they are sent. usages: their UsageOut."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.numbers: list[int] = []
        self.keys: list[str] = []
        self.used_after: list[int] = []
        self.usages: list[dict[str, Any]] = []

    def add(self, group: Group, key: str, usage: dict[str, Any]) -> None:
        if not group.accepted:
            self.groups.append(group)
            group.number = len(self.groups)
        group.accepted += 1
        self.numbers.append(group.number)
        self.keys.append(key)
        self.used_after.append(group.counters[0].used)
        self.usages.append(usage)


# `LIMIT 1` makes the planner look up row by row: a plan that was made while a table was small and nobody had analyzed
# it would go through all keys of a backend for every batch, and stays in use as long as the connection.

# Rows that are missing are made first, then all are locked, both in one order. A row that another has made in between
# is returned by neither half: the caller asks again.
LOCK_COUNTERS = """
    WITH wanted AS (
        SELECT w.*, (SELECT t.own_threshold FROM usage_usagewarningchoice t
            WHERE t.user_id = w.user_id AND t.feature = w.feature LIMIT 1) AS own_threshold
        FROM unnest(%(users)s::bigint[], %(features)s::text[], %(windows)s::timestamptz[])
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
        SELECT w.n, c.id, c.used, c.held, w.own_threshold
        FROM (SELECT * FROM wanted ORDER BY user_id, feature COLLATE "C", window_start) w
        CROSS JOIN LATERAL (SELECT c.id, c.used, c.held FROM usage_usagecounter c
            WHERE c.user_id = w.user_id AND c.feature = w.feature AND c.window_start = w.window_start
            LIMIT 1 FOR UPDATE) c
    )
    SELECT w.n, m.id, m.used, m.held, w.own_threshold
    FROM made m JOIN wanted w USING (user_id, feature, window_start)
    UNION ALL SELECT * FROM locked"""
KNOWN_KEYS = """
    SELECT k.key, k.fingerprint, k.event_id, k.timestamp
    FROM unnest(%(keys)s::text[]) w (key)
    CROSS JOIN LATERAL (SELECT * FROM usage_usagekey k WHERE k.source = %(source)s AND k.key = w.key LIMIT 1) k"""
# What events of a group have in common is sent once; each names its group by its number (`n`). Ids are drawn in the
# order of the events, from the sequence of the column, whichever it is (usage/partitions.py). The `ANY` lets the
# counters be found by their index instead of in a reading of all.
WRITE = """
    WITH common AS (
        SELECT * FROM unnest(%(users)s::bigint[], %(features)s::text[], %(amounts)s::bigint[], %(times)s::timestamptz[],
            %(models)s::text[], %(costs)s::bigint[], %(periods)s::timestamptz[], %(windows)s::timestamptz[],
            %(resets)s::timestamptz[], %(limits)s::bigint[], %(prints)s::text[])
        WITH ORDINALITY AS g (user_id, feature, amount, timestamp, model, cost, billed_from, window_start, resets_at,
                              limit_then, fingerprint, n)
    ), new AS (
        SELECT nextval((SELECT pg_get_serial_sequence('usage_usageevent', 'id')::regclass)) AS id, e.*
        FROM (SELECT * FROM unnest(%(ns)s::bigint[], %(keys)s::text[], %(used)s::bigint[])
            WITH ORDINALITY AS e (n, key, used_after, i) JOIN common USING (n) ORDER BY i) e
    ), bump AS (
        UPDATE usage_usagecounter c SET used = c.used + b.amount
        FROM unnest(%(b_ids)s::bigint[], %(b_amounts)s::bigint[]) b (id, amount)
        WHERE c.id = b.id AND c.id = ANY(%(b_ids)s::bigint[])
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
        INSERT INTO usage_usageevent (id, user_id, feature, amount, timestamp, source, key, model, cost_nanocents,
                                      billed_from, window_start, resets_at, used_after, limit_then)
        SELECT id, user_id, feature, amount, timestamp, %(source)s, key, model, cost, billed_from, window_start,
               resets_at, used_after, limit_then
        FROM new
    ), key AS (
        INSERT INTO usage_usagekey (source, key, fingerprint, event_id, timestamp)
        SELECT %(source)s, key, fingerprint, id, timestamp FROM new ORDER BY key COLLATE "C"
    )
    SELECT string_agg(id::text, ',' ORDER BY i) FROM new"""
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
        for n, counter_id, used, held, own_threshold in rows:
            counters[missing[n - 1]] = Counter(counter_id, used, held, used, own_threshold)
        missing = [key for key in missing if key not in counters]
    return counters


def known_keys(source: str, keys: list[str]) -> list[tuple[str, str, int | None, datetime]]:
    """[(key, fingerprint, event id, its timestamp)] of those that were counted before."""
    return _fetch_all(KNOWN_KEYS, {"source": source, "keys": texts(keys)}) if keys else []


def write_events(source: str, new: NewEvents, counters: Iterable[Counter]) -> list[int]:
    """Write the events with their keys, the counters', the days' and the charges' new numbers. Returns the events' ids
    in their order.

    Raises KeyTaken, NoPartition: then the transaction must be taken back.
    """
    groups = new.groups
    uses, places = [group.use for group in groups], [group.place for group in groups]
    own = [place.own for place in places]
    changed = [counter for counter in counters if counter.used != counter.before]
    days: dict[tuple[int, str, date], list[int]] = {}
    charges: dict[tuple[int, str, Charge], list[int]] = {}
    for group in groups:
        use, place = group.use, group.place
        amount, cost = group.accepted * use.amount, group.accepted * place.cost_nanocents
        _add(days, (use.user_id, place.own.feature, place.day), amount, cost)
        if place.charge is not None:
            _add(charges, (use.user_id, use.model, place.charge), amount, cost)
    params = {
        "source": source,
        "users": numbers(use.user_id for use in uses),
        "features": texts(bump.feature for bump in own),
        "amounts": numbers(use.amount for use in uses),
        "times": times(place.timestamp for place in places),
        "models": texts(use.model for use in uses),
        "costs": numbers(place.cost_nanocents for place in places),
        "periods": times(place.charge.period_start if place.charge else None for place in places),
        "windows": times(bump.window_start for bump in own),
        "resets": times(bump.resets_at for bump in own),
        "limits": numbers(bump.limit for bump in own),
        "prints": texts(group.fingerprint for group in groups),
        "ns": numbers(new.numbers),
        "keys": texts(new.keys),
        "used": numbers(new.used_after),
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
        [(ids,)] = _fetch_all(WRITE, params)
    return [int(event_id) for event_id in ids.split(",")]


def _add(sums: dict[Any, list[int]], key: Any, amount: int, cost: int) -> None:
    found = sums.setdefault(key, [0, 0])
    found[0] += amount
    found[1] += cost


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
