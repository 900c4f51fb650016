"""The events' table by months on PostgreSQL: made, kept ahead, and taken off again. On sqlite it is an ordinary table.

The models stay the source of the schema: whatever made the plain table (migrations, or tests straight from the models),
`prepare_event_table` turns it into a partitioned one after every `migrate`. There is no default partition, since with
one nothing can be detached while the site writes; a month that is missing is made by the event that needs it
(usage/metering.py). See docs/decisions/0014-events-by-month.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from usage.models import UsageCounter, UsageDay, UsageEvent

TABLE = UsageEvent._meta.db_table
SEQUENCE = f"{TABLE}_ids"
# How far back an event may lie (LATEST of usage/uses.py), and how long the daily task may fail before an event has
# to make its own month.
BACK = timedelta(days=35)
MONTHS_AHEAD = 3
# Updated with every event: half of each page is left free, so that the new version of a row lies beside the old one
# and no index is touched (HOT).
_HALF_FULL = (UsageCounter._meta.db_table, UsageDay._meta.db_table)
# Two that make partitions wait for each other. Any number that nothing else in this database uses.
_LOCK = 0x0DA7_1111


@dataclass(frozen=True)
class Partition:
    """start <= timestamp < end."""

    name: str
    start: datetime
    end: datetime


def month_of(moment: datetime) -> Partition:
    """The partition for the UTC month of `moment` (aware), whether it is there or not."""
    start = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    return Partition(f"{TABLE}_{start:%Y_%m}", start, end)


def partitions() -> list[Partition]:
    """Those attached, oldest first; [] where the table is not partitioned."""
    if connection.vendor != "postgresql":
        return []
    return sorted((_parsed(name) for (name,) in _rows(_ATTACHED, [TABLE])), key=lambda partition: partition.start)


def make_partitions(now: datetime) -> list[str]:
    """Make what an event may need from 35 days before `now` to three months after. Returns the new names."""
    if connection.vendor != "postgresql":
        return []
    months = [month_of(now - BACK)]
    while months[-1].start <= now or len(months) < _months_between(months[0].start, now) + MONTHS_AHEAD + 1:
        months.append(month_of(months[-1].end))
    there = {partition.name for partition in partitions()}
    return [month.name for month in months if month.name not in there and _make(month)]


def make_partition_of(moment: datetime) -> None:
    """Make the one that `moment` belongs to, if it is missing. Safe inside a transaction and beside others."""
    _make(month_of(moment))


def prepare_event_table(now: datetime) -> None:
    """Bring the tables into the shape that PostgreSQL serves best. Idempotent: costs two queries when all is well.

    A plain table becomes a partitioned one in one transaction, its rows with it: that holds the table for as long as
    the copying takes.
    """
    if connection.vendor != "postgresql":
        return
    kinds = dict(_rows("SELECT relname, relkind::text FROM pg_class WHERE oid = to_regclass(%s)", [TABLE]))
    if not kinds:
        return  # `migrate` of another app alone
    with transaction.atomic(), connection.cursor() as cursor:
        # Copying may take longer than a request may.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if kinds[TABLE] == "r":
            _partition_the_plain_table(cursor, now)
        for table in _HALF_FULL:
            _leave_half_free(cursor, table)
    if kinds[TABLE] == "p" or _is_partitioned():
        make_partitions(now)


# --- the parts --------------------------------------------------------------------------------------------------------

_ATTACHED = """
    SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = to_regclass(%s) AND NOT inhdetachpending
"""


def _parsed(name: str) -> Partition:
    year, month = name.removeprefix(f"{TABLE}_").split("_")
    return month_of(datetime(int(year), int(month), 1, tzinfo=UTC))


def _months_between(start: datetime, end: datetime) -> int:
    end = end.astimezone(UTC)
    return (end.year - start.year) * 12 + end.month - start.month


def _make(month: Partition) -> bool:
    """Attached after it is made: that lets others write meanwhile, which PARTITION OF does not."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if month in partitions():
            return False
        name, table = _quoted(month.name), _quoted(TABLE)
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
        )
    return True


def _partition_the_plain_table(cursor: Any, now: datetime) -> None:
    """What the models made, column for column and index for index; but for the primary key, which must contain the
    partition's column, and the ids, which an identity column cannot give to a partitioned table in PostgreSQL 15."""
    table, plain, sequence = _quoted(TABLE), _quoted(f"{TABLE}_plain"), _quoted(SEQUENCE)
    cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    # Another process may have done it while this one waited.
    if _is_partitioned():
        return
    indexes = list(
        _rows(
            "SELECT pg_get_indexdef(indexrelid), indisunique FROM pg_index "
            "WHERE indrelid = to_regclass(%s) AND NOT indisprimary",
            [TABLE],
        )
    )
    if any(unique for _, unique in indexes):
        return  # the tables of an older migration: its own unique key cannot be kept on a partitioned table
    cursor.execute(f"ALTER TABLE {table} RENAME TO {plain}")
    # Their names must be free for the new table's.
    names = "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = to_regclass(%s)"
    for (name,) in _rows(names, [plain]):
        cursor.execute(f"ALTER INDEX {_quoted(name)} RENAME TO {_quoted(name[:50] + '_plain')}")
    cursor.execute(
        f"CREATE TABLE {table} (LIKE {plain} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (timestamp)"
    )
    cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id, timestamp)")
    for definition, _ in indexes:
        cursor.execute(definition)
    cursor.execute(f"CREATE SEQUENCE {sequence} OWNED BY {table}.id")
    cursor.execute(f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{sequence}')")
    for month in _months_with_rows(plain):
        _make(month)
    cursor.execute(f"INSERT INTO {table} SELECT * FROM {plain}")
    cursor.execute(f"SELECT setval('{sequence}', greatest((SELECT max(id) FROM {plain}), 0) + 1, false)")
    cursor.execute(f"DROP TABLE {plain}")


def _months_with_rows(plain: str) -> list[Partition]:
    rows = _rows(f"SELECT DISTINCT date_trunc('month', timestamp, 'UTC') FROM {plain}", [])
    return [month_of(start) for (start,) in rows]


def _leave_half_free(cursor: Any, table: str) -> None:
    options = next(_rows("SELECT reloptions FROM pg_class WHERE oid = to_regclass(%s)", [table]), None)
    if options is not None and "fillfactor=50" not in (options[0] or []):
        cursor.execute(f"ALTER TABLE {_quoted(table)} SET (fillfactor = 50)")


def _is_partitioned() -> bool:
    return next(_rows("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)", [TABLE]))[0]


def _rows(sql: str, params: list[Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        yield from cursor.fetchall()


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


# --- taking old months off --------------------------------------------------------------------------------------------


def older_than(months: int, now: datetime) -> list[Partition]:
    """Those with `months` whole months between their end and the beginning of the present one, oldest first."""
    this_month = month_of(now).start
    return [partition for partition in partitions() if _months_between(partition.end, this_month) >= months]


def rows_and_bytes(partition: Partition) -> tuple[int, int]:
    """How large it is; rows as the database estimates them, counted where it has not looked yet."""
    rows, size = next(
        _rows(
            "SELECT reltuples::bigint, pg_total_relation_size(oid) FROM pg_class WHERE oid = to_regclass(%s)",
            [partition.name],
        )
    )
    if rows < 0:
        [(rows,)] = _rows(f"SELECT count(*) FROM {_quoted(partition.name)}", [])
    return rows, size


def detach(partition: Partition) -> None:
    """Take it off while others read and write. Its rows stay, in a table of its own. Not inside a transaction."""
    with connection.cursor() as cursor:
        # It waits for every transaction that may still see the partition.
        cursor.execute("SET statement_timeout = 0")
        try:
            cursor.execute(f"ALTER TABLE {_quoted(TABLE)} DETACH PARTITION {_quoted(partition.name)} CONCURRENTLY")
        finally:
            cursor.execute("RESET statement_timeout")


def finish_interrupted_detachment() -> str | None:
    """Finish what a killed `detach` left half done; nothing else can be detached before. Returns its name."""
    pending = next(
        _rows(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(%s) AND inhdetachpending",
            [TABLE],
        ),
        None,
    )
    if pending is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {_quoted(TABLE)} DETACH PARTITION {_quoted(pending[0])} FINALIZE")
    return pending[0]
