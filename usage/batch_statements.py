"""The SQL of a batch on PostgreSQL: whole columns go in as arrays, and one statement writes all tables."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

from billing.models import UserPlan
from usage.arrays import numbers, texts, times
from usage.costs import Charge
from usage.plan_facts import NO_LONGER_HOLD, proof_arrays
from usage.prepared import Statement, can_run_prepared, encoded, prepared, run_prepared
from usage.statements import REACHED, THRESHOLDS, told_apart
from usage.uses import NO_LIMIT, Place, Use

# (user, feature, window start): what names a counter.
CounterKey = tuple[int, str, datetime]


@dataclass(slots=True)
class Counter:
    """A counter while a batch is worked out. id, before, held: of the row, once it is locked; until then nobody knows,
    and `used` starts at nothing. most: its limit, as SQL compares it. number: its place, from 1, among those that the
    batch moves."""

    key: CounterKey
    most: int
    id: int = 0
    before: int = 0
    held: int = 0
    used: int = 0
    number: int = 0


class Group:
    """The events of a batch that say the same as `use`, but for their keys: they count in the same place.

    counters: those of `place.bumps`. most_used: the highest that the counter which is warned of (`warned`, as in Place)
    has stood at after one of them. number: its place, from 1, among the groups of which something is accepted.
    """

    __slots__ = (
        "accepted",
        "counters",
        "fingerprint",
        "most_used",
        "moves",
        "number",
        "place",
        "use",
        "warned",
    )

    def __init__(self, use: Use, place: Place, counters: dict[CounterKey, Counter]) -> None:
        self.use, self.place = use, place
        self.fingerprint = use.fingerprint
        self.warned = place.warned
        self.number = self.accepted = self.most_used = 0
        self.counters: list[Counter] = []
        for bump in place.bumps:
            key = (use.user_id, bump.feature, bump.window_start)
            if (counter := counters.get(key)) is None:
                counter = counters[key] = Counter(key, bump.most)
            self.counters.append(counter)
        self.moves = [(counter, bump.amount) for counter, bump in zip(self.counters, place.bumps, strict=True)]


class NewEvents:
    """The accepted events of a batch, in order: column by column, as they are sent. usages: their UsageOut, without an
    id until they are written. counters: those that move."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.counters: list[Counter] = []
        self.numbers: list[int] = []
        self.keys: list[str] = []
        self.used_after: list[int] = []
        self.usages: list[dict[str, Any]] = []

    def add(self, group: Group, key: str) -> dict[str, Any]:
        """Count one more of them. Returns its UsageOut."""
        if not group.accepted:
            self._begin(group)
        group.accepted += 1
        for counter, amount in group.moves:
            counter.used += amount
        if group.warned is not None:
            group.most_used = max(group.most_used, group.counters[group.warned].used)
        self.numbers.append(group.number)
        self.keys.append(key)
        self.used_after.append(group.counters[0].used)
        use = group.use
        usage = {
            "id": 0,
            "user_id": use.user_id,
            "feature": use.metered.name,
            "amount": use.amount,
            "timestamp": group.place.timestamp,
        }
        self.usages.append(usage)
        return usage

    def _begin(self, group: Group) -> None:
        self.groups.append(group)
        group.number = len(self.groups)
        for counter in group.counters:
            if not counter.number:
                self.counters.append(counter)
                counter.number = len(self.counters)


# Everybody locks counters in this order. Making one and locking one that is there are one pass: in two, a row that
# another makes in between would be locked after those behind it.
LOCK_COUNTERS = """
    INSERT INTO usage_usagecounter AS c (user_id, feature, window_start, used)
    SELECT w.user_id, w.feature, w.window_start, 0
    FROM unnest(%(users)s::bigint[], %(features)s::text[], %(windows)s::timestamptz[])
        AS w (user_id, feature, window_start)
    ORDER BY w.user_id, w.feature COLLATE "C", w.window_start
    ON CONFLICT (user_id, feature, window_start) DO UPDATE SET used = c.used WHERE false"""
# `LIMIT 1` makes the planner look up row by row: a plan that was made while a table was small and nobody had analyzed
# it would go through all keys of a backend for every batch, and stays in use as long as the connection.
READ_COUNTERS = """
    SELECT w.n, c.id, c.used, c.held
    FROM unnest(%(users)s::bigint[], %(features)s::text[], %(windows)s::timestamptz[])
        WITH ORDINALITY AS w (user_id, feature, window_start, n)
    CROSS JOIN LATERAL (SELECT c.id, c.used, c.held FROM usage_usagecounter c
        WHERE c.user_id = w.user_id AND c.feature = w.feature AND c.window_start = w.window_start LIMIT 1) c"""
KNOWN_KEYS = """
    SELECT k.key, k.fingerprint, k.event_id, k.timestamp
    FROM unnest(%(keys)s::text[]) w (key)
    CROSS JOIN LATERAL (SELECT * FROM usage_usagekey k WHERE k.source = %(source)s AND k.key = w.key LIMIT 1) k"""

# How counters move, in two ways. Each says by `counted` which have (`n`), and what they held `before`.
#
# Locked ones, of which everything is known: `used_after` says it all.
_MOVE_LOCKED = """
    bump AS (
        UPDATE usage_usagecounter c SET used = c.used + b.amount
        FROM unnest(%(b_ids)s::bigint[], %(b_amounts)s::bigint[]) b (id, amount)
        WHERE c.id = b.id AND c.id = ANY(%(b_ids)s::bigint[])
    ), counted AS (
        SELECT n, 0 AS before FROM unnest(%(b_ids)s::bigint[]) WITH ORDINALITY AS b (id, n)
    )"""
# Unknown ones, which is what TAKE is for single events: nothing moves where a plan or a limit is in the way, or one of
# a few keys is known. A limit that another reaches first makes `before` NULL, an error that takes all of it back.
_TAKE = f"""
    wanted AS (
        SELECT * FROM unnest(%(b_users)s::bigint[], %(b_features)s::text[], %(b_windows)s::timestamptz[],
            %(b_amounts)s::bigint[], %(b_mosts)s::bigint[])
        WITH ORDINALITY AS b (user_id, feature, window_start, amount, most, n)
    ), bump AS (
        INSERT INTO usage_usagecounter AS c (user_id, feature, window_start, used)
        SELECT w.user_id, w.feature, w.window_start, w.amount FROM wanted w
        WHERE NOT EXISTS (SELECT 1 FROM unnest(%(few_keys)s::text[]) f (key) CROSS JOIN LATERAL (
                SELECT 1 FROM usage_usagekey k WHERE k.source = %(source)s AND k.key = f.key LIMIT 1) k)
          AND NOT EXISTS ({NO_LONGER_HOLD})
          AND NOT EXISTS (SELECT 1 FROM wanted l CROSS JOIN LATERAL (
                SELECT c.used + c.held AS taken FROM usage_usagecounter c
                WHERE c.user_id = l.user_id AND c.feature = l.feature AND c.window_start = l.window_start LIMIT 1) c
                WHERE l.most < {NO_LIMIT} AND c.taken + l.amount > l.most)
        ORDER BY w.user_id, w.feature COLLATE "C", w.window_start
        ON CONFLICT (user_id, feature, window_start) DO UPDATE SET used = c.used + excluded.used
        RETURNING user_id, feature, window_start, used, held
    ), moved AS (
        SELECT w.n, b.used - w.amount AS before, b.used + b.held <= w.most AS fits
        FROM bump b JOIN wanted w USING (user_id, feature, window_start)
    ), counted AS (
        SELECT n, CASE WHEN (SELECT bool_and(fits) FROM moved) THEN before END AS before FROM moved
    )"""
# What events of a group have in common is sent once; each names its group by its number (`n`), which names its counter
# (`c`). Ids are drawn in the order of the events, from the sequence of the column, whichever it is
# (usage/partitions.py). The `ANY` above lets the counters be found by their index instead of in a reading of all.
_WRITE = f"""
    WITH {{moving}}, common AS (
        SELECT g.*, counted.before FROM unnest(%(users)s::bigint[], %(features)s::text[], %(amounts)s::bigint[],
            %(times)s::timestamptz[], %(models)s::text[], %(costs)s::bigint[], %(periods)s::timestamptz[],
            %(windows)s::timestamptz[], %(resets)s::timestamptz[], %(limits)s::bigint[], %(prints)s::text[],
            %(counters)s::bigint[])
        WITH ORDINALITY AS g (user_id, feature, amount, timestamp, model, cost, billed_from, window_start, resets_at,
                              limit_then, fingerprint, c, n)
        JOIN counted ON counted.n = g.c
    ), new AS (
        SELECT nextval((SELECT pg_get_serial_sequence('usage_usageevent', 'id')::regclass)) AS id, e.*
        FROM (SELECT * FROM unnest(%(ns)s::bigint[], %(keys)s::text[], %(used)s::bigint[])
            WITH ORDINALITY AS e (n, key, used, i) JOIN common USING (n) ORDER BY i) e
    ), event AS (
        INSERT INTO usage_usageevent (id, user_id, feature, amount, timestamp, source, key, model, cost_nanocents,
                                      billed_from, window_start, resets_at, used_after, limit_then)
        SELECT id, user_id, feature, amount, timestamp, %(source)s, key, model, cost, billed_from, window_start,
               resets_at, before + used, limit_then
        FROM new
    ), key AS (
        INSERT INTO usage_usagekey (source, key, fingerprint, event_id, timestamp)
        SELECT %(source)s, key, fingerprint, id, timestamp FROM new ORDER BY key COLLATE "C"
    ), day AS (
        INSERT INTO usage_usageday AS d (user_id, feature, day, amount, cost_nanocents)
        SELECT * FROM unnest(%(d_users)s::bigint[], %(d_features)s::text[], %(d_days)s::date[],
            %(d_amounts)s::bigint[], %(d_costs)s::bigint[]) u (user_id, feature, day, amount, cost)
        WHERE EXISTS (SELECT 1 FROM counted)
        ORDER BY u.user_id, u.feature COLLATE "C", u.day
        ON CONFLICT (user_id, feature, day) DO UPDATE
        SET amount = d.amount + excluded.amount, cost_nanocents = d.cost_nanocents + excluded.cost_nanocents
    ), charge AS (
        INSERT INTO billing_tokencharge AS t (user_id, period_start, day_start, model, factor, price_cents, tokens,
                                              cost_nanocents)
        SELECT * FROM unnest(%(t_users)s::bigint[], %(t_periods)s::timestamptz[], %(t_days)s::timestamptz[],
            %(t_models)s::text[], %(t_factors)s::int[], %(t_prices)s::int[], %(t_tokens)s::bigint[],
            %(t_costs)s::bigint[]) u (user_id, period_start, day_start, model, factor, price_cents, tokens, cost)
        WHERE EXISTS (SELECT 1 FROM counted)
        ORDER BY u.user_id, u.period_start, u.day_start, u.model COLLATE "C", u.factor, u.price_cents
        ON CONFLICT (user_id, period_start, day_start, model, factor, price_cents) DO UPDATE
        SET tokens = t.tokens + excluded.tokens, cost_nanocents = t.cost_nanocents + excluded.cost_nanocents
    ), alerts AS (
        INSERT INTO usage_usagealert (user_id, feature, window_start, threshold)
        SELECT a.user_id, a.feature, a.window_start, t.percent
        FROM unnest(%(a_users)s::bigint[], %(a_features)s::text[], %(a_windows)s::timestamptz[],
            %(a_limits)s::bigint[], %(a_used)s::bigint[], %(a_counters)s::bigint[])
            AS a (user_id, feature, window_start, most, used, c)
        JOIN counted ON counted.n = a.c
        CROSS JOIN LATERAL {THRESHOLDS.format(user_id="a.user_id", feature="a.feature")}
        WHERE {REACHED.format(used="counted.before + a.used", limit="a.most")}
        ON CONFLICT DO NOTHING
        RETURNING user_id
    )
    SELECT (SELECT string_agg(id::text, ',' ORDER BY i) FROM new),
           (SELECT string_agg(DISTINCT user_id::text, ',') FROM alerts)"""
WRITE_LOCKED = _WRITE.format(moving=_MOVE_LOCKED)
TAKE_AND_WRITE = _WRITE.format(moving=_TAKE)


def lock_counters(counters: dict[CounterKey, Counter]) -> None:
    """Lock the rows, making those that are missing, and tell each of `counters` what it holds."""
    keys = list(counters)
    if not keys:
        return
    params = {
        "users": numbers(user for user, _, _ in keys),
        "features": texts(feature for _, feature, _ in keys),
        "windows": times(start for _, _, start in keys),
    }
    _run(LOCK_COUNTERS, params)
    for n, counter_id, used, held in _fetch_all(READ_COUNTERS, params):
        counter = counters[keys[n - 1]]
        counter.id, counter.before, counter.used, counter.held = counter_id, used, used, held


def known_keys(source: str, keys: list[str]) -> list[tuple[str, str, int | None, datetime]]:
    """[(key, fingerprint, event id, its timestamp)] of those that were counted before."""
    return _fetch_all(KNOWN_KEYS, {"source": source, "keys": texts(keys)}) if keys else []


# (the events' ids in their order, whose thresholds were reached just now)
Written = tuple[list[int], set[int]]


def write_events(source: str, new: NewEvents) -> Written:
    """Write the events with their keys, and the new numbers of their locked counters, of days, charges and warnings.

    Raises KeyTaken, NoPartition: then the transaction must be taken back.
    """
    params = {
        "b_ids": numbers(counter.id for counter in new.counters),
        "b_amounts": numbers(counter.used - counter.before for counter in new.counters),
        **_arrays(source, new),
    }
    with told_apart():
        [row] = _fetch_all(WRITE_LOCKED, params)
    return _written(*row)


def take_and_write_events(
    source: str, new: NewEvents, user_plans: Iterable[UserPlan], few_keys: list[str]
) -> Written | None:
    """The same of counters that nobody has looked at, as far as everything is new and fits, and all plans hold. None:
    nothing was written. A transaction of its own. Raises DoesNotFit, KeyTaken, NoPartition: nothing was written, too.
    """
    params = {
        "b_users": numbers(counter.key[0] for counter in new.counters),
        "b_features": texts(counter.key[1] for counter in new.counters),
        "b_windows": times(counter.key[2] for counter in new.counters),
        "b_amounts": numbers(counter.used for counter in new.counters),
        "b_mosts": numbers(counter.most for counter in new.counters),
        "few_keys": texts(few_keys),
        **proof_arrays(user_plans),
        **_arrays(source, new),
    }
    wrapper = connections[DEFAULT_DB_ALIAS]
    with told_apart():
        if can_run_prepared(wrapper):
            ids, warned = run_prepared(wrapper, _take_and_write(tuple(params)), encoded(params.values()))
        else:
            with transaction.atomic():
                [(ids, warned)] = _fetch_all(TAKE_AND_WRITE, params)
    return None if ids is None else _written(ids, warned)


@cache
def _take_and_write(names: tuple[str, ...]) -> Statement:
    return Statement(TAKE_AND_WRITE, dict.fromkeys(names, str))


def _written(ids: str | bytes, warned: str | bytes | None) -> Written:
    return _numbers_in(ids), set(_numbers_in(warned or ""))


def _numbers_in(text: str | bytes) -> list[int]:
    return json.loads(b"[%b]" % text if isinstance(text, bytes) else f"[{text}]")


def _arrays(source: str, new: NewEvents) -> dict[str, str]:
    """The parameters of _WRITE."""
    groups = new.groups
    uses, places = [group.use for group in groups], [group.place for group in groups]
    own = [place.own for place in places]
    days: dict[tuple[int, str, date], list[int]] = {}
    charges: dict[tuple[int, str, Charge], list[int]] = {}
    # {what is warned of: (its limit, the highest it has stood at, its counter)}
    reached: dict[tuple[int, str, datetime], tuple[int | None, int, int]] = {}
    for group in groups:
        use, place = group.use, group.place
        amount, cost = group.accepted * use.amount, group.accepted * place.cost_nanocents
        _add(days, (use.user_id, place.own.feature, place.day), amount, cost)
        if place.charge is not None:
            _add(charges, (use.user_id, use.model, place.charge), amount, cost)
        if group.warned is not None:
            bump, counter = place.bumps[group.warned], group.counters[group.warned]
            what = (use.user_id, bump.feature, place.alert_window)
            _, most_used, _ = reached.get(what, (None, 0, 0))
            reached[what] = bump.limit, max(most_used, group.most_used), counter.number
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
        "counters": numbers(group.counters[0].number for group in groups),
        "ns": numbers(new.numbers),
        "keys": texts(new.keys),
        "used": numbers(new.used_after),
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
        "a_users": numbers(user for user, _, _ in reached),
        "a_features": texts(feature for _, feature, _ in reached),
        "a_windows": times(start for _, _, start in reached),
        "a_limits": numbers(limit for limit, _, _ in reached.values()),
        "a_used": numbers(used for _, used, _ in reached.values()),
        "a_counters": numbers(number for _, _, number in reached.values()),
    }
    return params


def _add(sums: dict[Any, list[int]], key: Any, amount: int, cost: int) -> None:
    found = sums.setdefault(key, [0, 0])
    found[0] += amount
    found[1] += cost


def _fetch_all(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _run(sql: str, params: dict[str, Any]) -> None:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
