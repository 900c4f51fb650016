"""The SQL of a batch on PostgreSQL: whole columns go in as arrays, and one statement writes all tables."""

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from django.db import IntegrityError, connection, transaction

from usage.arrays import numbers, texts, times
from usage.plan_facts import NO_LONGER_HOLD, Facts, proof_arrays
from usage.prepared import Statement, can_run_prepared, connection_of_thread, encoded, prepared, run_prepared
from usage.statements import REACHED, THRESHOLDS, execute, tell_apart
from usage.uses import NO_LIMIT, Place, Use


class CounterKind:
    """What the counters of many users have in common: their feature and window, and the limit as SQL compares it.
    number: its place, from 1, among those of counters that move."""

    __slots__ = ("feature", "most", "number", "window_start")

    def __init__(self, feature: str, window_start: datetime, most: int) -> None:
        self.feature, self.window_start, self.most = feature, window_start, most
        self.number = 0


class Counter:
    """A counter while a batch is worked out. id, before, held: of the row, once it is locked; until then nobody knows,
    and `used` starts at nothing. number: its place, from 1, among those that the batch moves."""

    __slots__ = ("before", "held", "id", "kind", "number", "used", "user_id")

    def __init__(self, user_id: int, kind: CounterKind) -> None:
        self.user_id, self.kind = user_id, kind
        self.id = self.before = self.held = self.used = self.number = 0


# Of a batch, {what they have in common: (that, theirs: {user: Counter})}. Beside each other, not one in the other: in a
# circle thousands of them would wait for the garbage collector.
Counters = dict[tuple[str, datetime, int], tuple[CounterKind, dict[int, Counter]]]


class Kind:
    """What events have in common that say the same and count under the same terms, whoever's they are.

    moves: of each of `place.bumps`, what kind of counter it moves, those that are known, and by how much. number: its
    place, from 1, among the kinds of which something is accepted.
    """

    __slots__ = ("model", "moves", "number", "place")

    def __init__(self, model: str, place: Place, counters: Counters) -> None:
        self.model, self.place = model, place
        self.number = 0
        self.moves: list[tuple[CounterKind, dict[int, Counter], int]] = []
        for bump in place.bumps:
            what = (bump.feature, bump.window_start, bump.most)
            if (known := counters.get(what)) is None:
                known = counters[what] = (CounterKind(*what), {})
            self.moves.append((*known, bump.amount))


class Group:
    """The events of a batch that say the same as `use`, but for their keys: they count in the same place.

    moves: the counters of `kind.moves`, this user's. most_used: the highest that the counter which is warned of has
    stood at after one of them. number: its place, from 1, among the groups of which something is accepted.
    """

    __slots__ = ("accepted", "kind", "most_used", "moves", "number", "use")

    def __init__(self, use: Use, kind: Kind) -> None:
        self.use, self.kind = use, kind
        self.number = self.accepted = self.most_used = 0
        self.moves: list[tuple[Counter, int]] = []
        user_id = use.user_id
        for of, counters, amount in kind.moves:
            if (counter := counters.get(user_id)) is None:
                counter = counters[user_id] = Counter(user_id, of)
            self.moves.append((counter, amount))

    @property
    def warned_number(self) -> int | None:
        """Of the counter that is warned of; None: of none."""
        warned = self.kind.place.slot.warned
        return None if warned is None else self.moves[warned][0].number


class NewEvents:
    """The accepted events of a batch, in order: column by column, as they are sent. usages: their UsageOut, without an
    id until they are written. counters: those that move; kinds, counter_kinds: those of which there is something."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.kinds: list[Kind] = []
        self.counters: list[Counter] = []
        self.counter_kinds: list[CounterKind] = []
        self.numbers: list[int] = []
        self.keys: list[str] = []
        self.used_after: list[int] = []
        self.usages: list[dict[str, Any]] = []

    def add(self, group: Group, key: str) -> dict[str, Any]:
        """Count one more of them. Returns its UsageOut."""
        if not group.accepted:
            self._begin(group)
        group.accepted += 1
        moves, place = group.moves, group.kind.place
        for counter, amount in moves:
            counter.used += amount
        if (warned := place.slot.warned) is not None:
            group.most_used = max(group.most_used, moves[warned][0].used)
        self.numbers.append(group.number)
        self.keys.append(key)
        self.used_after.append(moves[0][0].used)
        use = group.use
        usage = {
            "id": 0,
            "user_id": use.user_id,
            "feature": use.metered.name,
            "amount": use.amount,
            "timestamp": place.timestamp,
        }
        self.usages.append(usage)
        return usage

    def _begin(self, group: Group) -> None:
        self.groups.append(group)
        group.number = len(self.groups)
        kind = group.kind
        if not kind.number:
            self.kinds.append(kind)
            kind.number = len(self.kinds)
        for counter, _ in group.moves:
            if not counter.number:
                self.counters.append(counter)
                counter.number = len(self.counters)
            of = counter.kind
            if not of.number:
                self.counter_kinds.append(of)
                of.number = len(self.counter_kinds)


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

# How counters move, in two ways. Each says by `counted` what they held before: `befores`, in the order of their
# numbers. NULL: they have not moved. An array, since the server would think that a join of what has moved has few rows,
# and might go through all of them for each.
#
# Locked ones, of which everything is known: `used_after` says it all.
_MOVE_LOCKED = """
    bump AS (
        UPDATE usage_usagecounter c SET used = c.used + b.amount
        FROM unnest(%(b_ids)s::bigint[], %(b_amounts)s::bigint[]) b (id, amount)
        WHERE c.id = b.id AND c.id = ANY(%(b_ids)s::bigint[])
    ), counted AS (
        SELECT array_fill(0::bigint, ARRAY[cardinality(%(b_ids)s::bigint[])]) AS befores
    )"""
# Unknown ones, which is what TAKE is for single events: nothing moves where a plan or a limit is in the way, or one of
# a few keys is known. A limit that another reaches first leaves no `before`, an error that takes all of it back.
_TAKE = f"""
    wanted AS (
        SELECT b.user_id, k.feature, k.window_start, b.amount, k.most, b.n
        FROM unnest(%(b_users)s::bigint[], %(b_kinds)s::bigint[], %(b_amounts)s::bigint[])
            WITH ORDINALITY AS b (user_id, kind, amount, n)
        LEFT JOIN unnest(%(c_features)s::text[], %(c_windows)s::timestamptz[], %(c_mosts)s::bigint[])
            WITH ORDINALITY AS k (feature, window_start, most, kind) USING (kind)
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
        SELECT CASE bool_and(fits) WHEN true THEN array_agg(before ORDER BY n) WHEN false THEN '{{}}' END AS befores
        FROM moved
    )"""
# What events of a kind, and of a group, have in common is sent once; each names its group by its number (`n`), and that
# its kind and its counters (`c`, and the one that is warned of: `warned`). Days, charges and warnings follow from the
# groups. Ids are drawn in the order of the events, from the sequence of the column, whichever it is
# (usage/partitions.py). The `ANY` above lets the counters be found by their index instead of in a reading of all.
# `LEFT JOIN` tells the planner that none is lost.
_WRITE = f"""
    WITH {{moving}}, kinds AS (
        SELECT * FROM unnest(%(features)s::text[], %(amounts)s::bigint[], %(times)s::timestamptz[], %(days)s::date[],
            %(models)s::text[], %(costs)s::bigint[], %(factors)s::int[], %(prices)s::int[], %(bills)s::timestamptz[],
            %(bill_days)s::timestamptz[], %(windows)s::timestamptz[], %(resets)s::timestamptz[], %(limits)s::bigint[],
            %(a_features)s::text[], %(a_windows)s::timestamptz[], %(a_limits)s::bigint[])
        WITH ORDINALITY AS k (feature, amount, timestamp, day, model, cost, factor, price_cents, billed_from, bill_day,
                              window_start, resets_at, limit_then, alert_feature, alert_window, alert_limit, kind)
    ), common AS (
        SELECT g.n, g.user_id, g.fingerprint, g.accepted, (SELECT befores FROM counted)[g.c] AS before,
               (SELECT befores FROM counted)[g.warned] + g.most_used AS reached, kinds.*
        FROM unnest(%(users)s::bigint[], %(kinds)s::bigint[], %(prints)s::text[], %(accepted)s::bigint[],
            %(counters)s::bigint[], %(warned)s::bigint[], %(most_used)s::bigint[])
            WITH ORDINALITY AS g (user_id, kind, fingerprint, accepted, c, warned, most_used, n)
        LEFT JOIN kinds USING (kind)
        WHERE (SELECT befores FROM counted) IS NOT NULL
    ), new AS (
        SELECT nextval((SELECT pg_get_serial_sequence('usage_usageevent', 'id')::regclass)) AS id, e.*
        FROM (SELECT e.key, e.used + c.before AS used_after, e.i, c.user_id, c.fingerprint, c.feature, c.amount,
                     c.timestamp, c.model, c.cost, c.billed_from, c.window_start, c.resets_at, c.limit_then
            FROM unnest(%(ns)s::bigint[], %(keys)s::text[], %(used)s::bigint[])
            WITH ORDINALITY AS e (n, key, used, i) JOIN common c USING (n) ORDER BY i) e
    ), event AS (
        INSERT INTO usage_usageevent (id, user_id, feature, amount, timestamp, source, key, model, cost_nanocents,
                                      billed_from, window_start, resets_at, used_after, limit_then)
        SELECT id, user_id, feature, amount, timestamp, %(source)s, key, model, cost, billed_from, window_start,
               resets_at, used_after, limit_then
        FROM new
    ), key AS (
        INSERT INTO usage_usagekey (source, key, fingerprint, event_id, timestamp)
        SELECT %(source)s, key, fingerprint, id, timestamp FROM new ORDER BY key COLLATE "C"
    ), day AS (
        INSERT INTO usage_usageday AS d (user_id, feature, day, amount, cost_nanocents)
        SELECT user_id, feature COLLATE "C", day, sum(accepted * amount), sum(accepted * cost) FROM common
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (user_id, feature, day) DO UPDATE
        SET amount = d.amount + excluded.amount, cost_nanocents = d.cost_nanocents + excluded.cost_nanocents
    ), charge AS (
        INSERT INTO billing_tokencharge AS t (user_id, period_start, day_start, model, factor, price_cents, tokens,
                                              cost_nanocents)
        SELECT user_id, billed_from, bill_day, model COLLATE "C", factor, price_cents, sum(accepted * amount),
               sum(accepted * cost)
        FROM common WHERE billed_from IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (user_id, period_start, day_start, model, factor, price_cents) DO UPDATE
        SET tokens = t.tokens + excluded.tokens, cost_nanocents = t.cost_nanocents + excluded.cost_nanocents
    ), alerts AS (
        INSERT INTO usage_usagealert (user_id, feature, window_start, threshold)
        SELECT a.user_id, a.alert_feature, a.alert_window, t.percent
        FROM (SELECT user_id, alert_feature, alert_window, alert_limit, max(reached) AS used FROM common
            WHERE reached IS NOT NULL GROUP BY 1, 2, 3, 4) a
        CROSS JOIN LATERAL {THRESHOLDS.format(user_id="a.user_id", feature="a.alert_feature")}
        WHERE {REACHED.format(used="a.used", limit="a.alert_limit")}
        ON CONFLICT DO NOTHING
        RETURNING user_id
    )
    SELECT (SELECT string_agg(id::text, ',' ORDER BY i) FROM new),
           (SELECT string_agg(DISTINCT user_id::text, ',') FROM alerts)"""
WRITE_LOCKED = _WRITE.format(moving=_MOVE_LOCKED)
TAKE_AND_WRITE = _WRITE.format(moving=_TAKE)


def lock_counters(counters: list[Counter]) -> None:
    """Lock the rows, making those that are missing, and tell each of `counters` what it holds."""
    if not counters:
        return
    params = {
        "users": numbers(counter.user_id for counter in counters),
        "features": texts(counter.kind.feature for counter in counters),
        "windows": times(counter.kind.window_start for counter in counters),
    }
    execute(LOCK_COUNTERS, params)
    for n, counter_id, used, held in _fetch_all(READ_COUNTERS, params):
        counter = counters[n - 1]
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
    try:
        [row] = _fetch_all(WRITE_LOCKED, params)
    except IntegrityError as error:
        tell_apart(error)
        raise
    return _written(*row)


def take_and_write_events(source: str, new: NewEvents, facts: Iterable[Facts], few_keys: list[str]) -> Written | None:
    """The same of counters that nobody has looked at, as far as everything is new and fits, and all plans hold. None:
    nothing was written. A transaction of its own. Raises DoesNotFit, KeyTaken, NoPartition: nothing was written, too.
    """
    params = {
        "b_users": numbers(counter.user_id for counter in new.counters),
        "b_kinds": numbers(counter.kind.number for counter in new.counters),
        "b_amounts": numbers(counter.used for counter in new.counters),
        "c_features": texts(kind.feature for kind in new.counter_kinds),
        "c_windows": times(kind.window_start for kind in new.counter_kinds),
        "c_mosts": numbers(kind.most for kind in new.counter_kinds),
        "few_keys": texts(few_keys),
        **proof_arrays(facts),
        **_arrays(source, new),
    }
    wrapper = connection_of_thread()
    try:
        if can_run_prepared(wrapper):
            ids, warned = run_prepared(wrapper, _take_and_write(tuple(params)), encoded(params.values()))
        else:
            with transaction.atomic():
                [(ids, warned)] = _fetch_all(TAKE_AND_WRITE, params)
    except IntegrityError as error:
        tell_apart(error)
        raise
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
    groups, slots = new.groups, [kind.place.slot for kind in new.kinds]
    own = [slot.own for slot in slots]
    charges = [slot.charge for slot in slots]
    warned = [slot.bumps[slot.warned or 0] for slot in slots]
    return {
        "source": source,
        "features": texts(bump.feature for bump in own),
        "amounts": numbers(bump.amount for bump in own),
        "times": times(kind.place.timestamp for kind in new.kinds),
        "days": texts(slot.day.isoformat() for slot in slots),
        "models": texts(kind.model for kind in new.kinds),
        "costs": numbers(slot.cost_nanocents for slot in slots),
        "factors": numbers(charge and charge.factor for charge in charges),
        "prices": numbers(charge and charge.price_cents for charge in charges),
        "bills": times(charge and charge.period_start for charge in charges),
        "bill_days": times(charge and charge.day_start for charge in charges),
        "windows": times(bump.window_start for bump in own),
        "resets": times(bump.resets_at for bump in own),
        "limits": numbers(bump.limit for bump in own),
        "a_features": texts(bump.feature for bump in warned),
        "a_windows": times(slot.alert_window for slot in slots),
        "a_limits": numbers(bump.limit for bump in warned),
        "users": numbers(group.use.user_id for group in groups),
        "kinds": numbers(group.kind.number for group in groups),
        "prints": texts(group.use.fingerprint for group in groups),
        "accepted": numbers(group.accepted for group in groups),
        "counters": numbers(group.moves[0][0].number for group in groups),
        "warned": numbers(group.warned_number for group in groups),
        "most_used": numbers(group.most_used for group in groups),
        "ns": numbers(new.numbers),
        "keys": texts(new.keys),
        "used": numbers(new.used_after),
    }


def _fetch_all(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with prepared(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()
