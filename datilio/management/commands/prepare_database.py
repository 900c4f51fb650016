"""`manage.py prepare_database`: bring any database to the present tables; a fresh one in seconds.

dj-stripe's migrations cost a minute of CPU. On a fresh database its tables are therefore made straight from
its models and its migrations are recorded as applied; test_prepare_database.py shows that nothing differs.
All or nothing: PostgreSQL in one transaction, sqlite in a file beside the real one that is renamed when it is
whole. Two at once wait for each other. A database that has tables gets a plain `migrate`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection, transaction

# Any number that nothing else in this database uses as a lock.
ADVISORY_LOCK = 0x0DA7_1110


class Command(BaseCommand):
    help = "Make or update the tables: a fresh database in seconds, any other by `migrate`."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        verbosity = options["verbosity"] - 1
        if connection.vendor == "postgresql":
            self._postgresql(verbosity)
        elif connection.vendor == "sqlite" and not connection.is_in_memory_db():
            self._sqlite(verbosity)
        else:
            self._migrate(verbosity)

    def _postgresql(self, verbosity: int) -> None:
        with connection.cursor() as cursor:
            # Both for this session only: a migration may take long, and so may waiting for another's.
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        try:
            if _is_fresh():
                with transaction.atomic():
                    _make_all_tables(verbosity)
                self.stdout.write("Made the tables.")
            else:
                self._migrate(verbosity)
        finally:
            connection.close()  # gives back the lock, and the usual timeout

    def _sqlite(self, verbosity: int) -> None:
        path = Path(connection.settings_dict["NAME"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name}.lock")):
            if path.exists() and not _is_fresh():
                self._migrate(verbosity)
                return
            connection.close()
            draft = path.with_name(f"{path.name}.new")
            _remove(draft)
            connection.settings_dict["NAME"] = str(draft)
            try:
                _make_all_tables(verbosity)
            finally:
                connection.close()
                connection.settings_dict["NAME"] = str(path)
            # The log of a deleted database must not be played into this one.
            _remove(path)
            draft.rename(path)
            _remove(draft)
            self.stdout.write("Made the tables.")

    def _migrate(self, verbosity: int) -> None:
        call_command("migrate", interactive=False, verbosity=verbosity)
        self.stdout.write("Brought the tables up to date.")


def _is_fresh() -> bool:
    return not set(connection.introspection.table_names()) & {
        "django_migrations",
        *connection.introspection.django_table_names(),
    }


def _make_all_tables(verbosity: int) -> None:
    common = {"interactive": False, "verbosity": verbosity}
    with _djstripe_without_migrations():
        # First the user's table, which dj-stripe's tables point to.
        call_command("migrate", "accounts", **common)
        call_command("migrate", run_syncdb=True, **common)
    _widen_link_tables()
    call_command("migrate", "djstripe", fake=True, **common)
    call_command("migrate", **common)


def _widen_link_tables() -> None:
    """The models say `integer` for the ids of dj-stripe's link tables, its migrations make them `bigint`."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for model in apps.get_app_config("djstripe").get_models(include_auto_created=True):
            if model._meta.auto_created:
                table = connection.ops.quote_name(model._meta.db_table)
                cursor.execute(f"ALTER TABLE {table} ALTER COLUMN id TYPE bigint")


@contextmanager
def _djstripe_without_migrations() -> Iterator[None]:
    before = settings.MIGRATION_MODULES
    settings.MIGRATION_MODULES = {**before, "djstripe": None}
    try:
        yield
    finally:
        settings.MIGRATION_MODULES = before


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            database.with_name(database.name + suffix).unlink()
