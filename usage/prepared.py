"""A statement that is run for every event, by the shortest way: prepared once on each connection, run by libpq alone.

Django's cursor and psycopg's around it look at every value and every result anew, which costs more than the statement
costs the server. Only outside of transactions; inside, and where somebody watches the queries, the usual way is taken.
"""

import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache
from types import NoneType
from typing import Any, cast

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus

# PostgreSQL's numbers of the types, https://www.postgresql.org/docs/15/datatype-oid.html. 0: it finds out.
_OIDS = {int: 20, datetime: 1184, date: 1082, str: 0}
_TEXTS: dict[type, Callable[[Any], bytes | None]] = {
    int: b"%d".__mod__,
    str: str.encode,
    datetime: lambda value: value.isoformat().encode(),
    date: lambda value: value.isoformat().encode(),
    NoneType: lambda value: None,
}
_FINE = (int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK))
_numbers = itertools.count()


class _OfThread(threading.local):
    wrapper: BaseDatabaseWrapper | None = None


_of_thread = _OfThread()


def connection_of_thread() -> BaseDatabaseWrapper:
    """Django's connection of this thread: `connections[DEFAULT_DB_ALIAS]`, which is looked for once.

    For what is asked with every event. That search raises and catches an error to find out that no event loop runs;
    where the code for it is cold, as it is after each wait for the database, it costs 20 us, a twentieth of the event.
    """
    if asyncio._get_running_loop() is not None:
        # Then Django has another.
        return connections[DEFAULT_DB_ALIAS]
    if (wrapper := _of_thread.wrapper) is None:
        wrapper = _of_thread.wrapper = connections[DEFAULT_DB_ALIAS]
    return wrapper


class Statement:
    """SQL with `%(name)s`, and how it is sent. types: {name: type}, in the order of its parameters."""

    def __init__(self, sql: str, types: dict[str, type]) -> None:
        numbers = {name: f"${number}" for number, name in enumerate(types, 1)}
        self.sql, self.parameters = sql, tuple(types)
        self.numbered = re.sub(r"%\((\w+)\)s", lambda match: numbers[match[1]], sql).encode()
        self.oids = [_OIDS[kind] for kind in types.values()]


def encoded(values: Iterable[Any]) -> list[bytes | None]:
    """Values as they are sent."""
    return [_TEXTS[type(value)](value) for value in values]


def can_run_prepared(wrapper: BaseDatabaseWrapper) -> bool:
    """Is this the way now, on this connection to PostgreSQL?"""
    watched = wrapper.in_atomic_block or wrapper.force_debug_cursor or wrapper.execute_wrappers
    return not watched and _is_wanted()


@cache
def _is_wanted() -> bool:
    # Asked once: looking at a setting costs as much as everything else that is asked here.
    return settings.DATABASE_PREPARE and not settings.DEBUG


def run_prepared(wrapper: BaseDatabaseWrapper, statement: Statement, texts: list[bytes | None]) -> Any:
    """The first row, each value as it came (bytes or None); None: there is none. In autocommit.

    texts: the parameters, `encoded`. Raises Django's database errors, with psycopg's as their cause.
    """
    if wrapper.health_check_enabled and not wrapper.health_check_done:
        wrapper.close_if_health_check_failed()
    if wrapper.connection is None:
        wrapper.ensure_connection()
    raw = wrapper.connection
    try:
        try:
            result = _run(raw, statement, texts)
        except InvalidSqlStatementName:
            # psycopg deallocates all of its own, and with them ours, after a rollback or a change of tables.
            _prepared_on(raw).clear()
            result = _run(raw, statement, texts)
    except psycopg.Error:
        with wrapper.wrap_database_errors:
            raise
    if not result.ntuples:
        return None
    return [result.get_value(0, column) for column in range(result.nfields)]


def _run(raw: psycopg.Connection, statement: Statement, texts: list[bytes | None]) -> Any:
    names = _prepared_on(raw)
    name = names.get(statement)
    if name is None:
        name = b"usage_%d" % next(_numbers)
        _checked(raw, raw.pgconn.prepare(name, statement.numbered, statement.oids))
        names[statement] = name
    # Its declaration leaves out that a parameter may be NULL.
    return _checked(raw, raw.pgconn.exec_prepared(name, cast("list[bytes]", texts)))


def _prepared_on(raw: psycopg.Connection) -> dict[Statement, bytes]:
    """What this connection has prepared, by which name; gone with the connection."""
    try:
        return raw.__dict__["_datilio_prepared"]
    except KeyError:
        return raw.__dict__.setdefault("_datilio_prepared", {})


def _checked(raw: psycopg.Connection, result: Any) -> Any:
    if result.status not in _FINE:
        if raw.pgconn.status != ConnStatus.OK:
            # Of a connection that went without a word: the server has said nothing that would tell what this is.
            raise psycopg.OperationalError(raw.pgconn.get_error_message())
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
