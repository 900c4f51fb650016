"""A statement that is run for every event, by the shortest way: prepared once on each connection, run by libpq alone.

Django's cursor and psycopg's around it look at every value and every result anew, which costs more than the statement
costs the server. Only outside of transactions; inside, and where somebody watches the queries, the usual way is taken.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus

# PostgreSQL's numbers of the types, https://www.postgresql.org/docs/15/datatype-oid.html. 0: it finds out.
_OIDS = {int: 20, datetime: 1184, date: 1082, str: 0}
# Of those that may be None.
_NULLABLE = {"resets_at": 1184, "period_start": 1184, "limit_then": 20}
_TEXTS: dict[type, Callable[[Any], bytes | None]] = {
    int: lambda value: b"%d" % value,
    str: str.encode,
    datetime: lru_cache(maxsize=4096)(lambda value: value.isoformat().encode()),
    date: lambda value: value.isoformat().encode(),
    type(None): lambda value: None,
}

# Names of the statements that a connection has prepared; gone with the connection.
_prepared: WeakKeyDictionary[psycopg.Connection, dict[str, bytes]] = WeakKeyDictionary()
_numbers = itertools.count()


def can_run_prepared(wrapper: BaseDatabaseWrapper) -> bool:
    """Is this the way now, on this connection to PostgreSQL?"""
    return (
        settings.DATABASE_PREPARE
        and not wrapper.in_atomic_block
        and not wrapper.queries_logged
        and not wrapper.execute_wrappers
    )


def run_prepared(wrapper: BaseDatabaseWrapper, sql: str, values: dict[str, Any]) -> Any:
    """The first row, a tuple, of a statement that returns whole numbers; None: it returned none. In autocommit.

    Raises Django's database errors, with psycopg's as their cause.
    """
    text, names = _numbered(sql)
    wrapper.close_if_health_check_failed()
    if wrapper.connection is None:
        wrapper.ensure_connection()
    raw = wrapper.connection
    with wrapper.wrap_database_errors:
        try:
            result = _run(raw, text, names, values)
        except InvalidSqlStatementName:
            # psycopg deallocates all of its own, and with them ours, after a rollback or a change of tables.
            _prepared.pop(raw, None)
            result = _run(raw, text, names, values)
    if not result.ntuples:
        return None
    return tuple([int(result.get_value(0, column)) for column in range(result.nfields)])


def _run(raw: psycopg.Connection, text: str, names: list[str], values: dict[str, Any]) -> Any:
    statements = _prepared.get(raw)
    if statements is None:
        statements = _prepared[raw] = {}
    name = statements.get(text)
    if name is None:
        name = b"usage_%d" % next(_numbers)
        _checked(raw, raw.pgconn.prepare(name, text.encode(), [_oid(n, values[n]) for n in names]))
        statements[text] = name
    texts: list[Any] = [_TEXTS[type(value := values[n])](value) for n in names]
    return _checked(raw, raw.pgconn.exec_prepared(name, texts))


@lru_cache(maxsize=64)
def _numbered(sql: str) -> tuple[str, list[str]]:
    """`%(name)s` as `$1`, and the names in order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, sql), names


def _oid(name: str, value: Any) -> int:
    return _NULLABLE.get(name) or _OIDS[type(value)]


def _checked(raw: psycopg.Connection, result: Any) -> Any:
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise error_from_result(result, encoding=raw.info.encoding)
    return result


# --- the usual way, prepared ------------------------------------------------------------------------------------------


@contextmanager
def prepared() -> Iterator[None]:
    """What runs inside is prepared on the server: planning these statements costs more than running them.

    Not Django's own `prepare_threshold`, which would prepare every query of every page. See DATABASE_PREPARE in
    docs/operations.md for poolers that cannot.
    """
    if connection.vendor != "postgresql" or not settings.DATABASE_PREPARE:
        yield
        return
    connection.ensure_connection()
    raw = connection.connection
    raw.prepare_threshold = 1
    try:
        yield
    finally:
        raw.prepare_threshold = None
