"""A fresh database made the short way is the one that the migrations make, whole or not there at all."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from datilio.management.commands import prepare_database
from datilio.run import ROOT

pytestmark = pytest.mark.slow

ON_POSTGRESQL = "postgresql" in settings.DATABASES["default"]["ENGINE"]

# Prints all that the database tells of itself: tables, columns, constraints and indexes (not their names, which
# hold a hash), the migrations that count as applied, the content types and permissions.
DESCRIBE = """
import json, sys
from django.db import connection
from django.contrib.auth.models import Permission
from django.db.migrations.recorder import MigrationRecorder
told = {}
with connection.cursor() as cursor:
    for table in sorted(connection.introspection.table_names(cursor)):
        columns = [repr(tuple(column)) for column in connection.introspection.get_table_description(cursor, table)]
        constraints = connection.introspection.get_constraints(cursor, table).values()
        told[table] = sorted(columns) + sorted(json.dumps(c, sort_keys=True, default=str) for c in constraints)
told["applied"] = sorted(map(str, MigrationRecorder(connection).applied_migrations()))
told["permissions"] = sorted(map(str, Permission.objects.values_list("content_type__model", "codename")))
json.dump(told, sys.stdout)
"""


# `manage.py migrate`, but a model whose field goes is rendered alone and not with the fifty that are related to it: for
# some four hundred fields of dj-stripe's that is two thirds of the time. The statements are the same.
MIGRATE = """
import os
from django.core.management import execute_from_command_line
from django.db.migrations.state import ProjectState
with_related = ProjectState._find_reload_model
def find_reload_model(state, app_label, model_name, delay=False):
    return {(app_label, model_name.lower())} if delay else with_related(state, app_label, model_name, delay)
ProjectState._find_reload_model = find_reload_model
os.environ["DJANGO_SETTINGS_MODULE"] = "datilio.settings"
execute_from_command_line(["manage.py", "migrate", "--verbosity", "0"])
"""


class Database:
    """One of our own, empty at first, with a way to run manage.py on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "db.sqlite3"
        self.environment = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ
        }
        self.environment["STATE_DIR"] = str(folder)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return self.python(str(ROOT / "manage.py"), *command)

    def python(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def manage(self, *command: str) -> str:
        process = self.start(*command)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return out

    def describe(self) -> Any:
        return json.loads(self.manage("shell", "--no-imports", "--command", DESCRIBE))


@contextlib.contextmanager
def empty_database(folder: Path) -> Iterator[Database]:
    folder.mkdir()
    database = Database(folder)
    if not ON_POSTGRESQL:
        yield database
        return
    name = f"datilio_test_{secrets.token_hex(6)}"
    server = urlsplit(settings.DATABASE_URL)
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
        try:
            database.environment["DATABASE_URL"] = server._replace(path=f"/{name}").geturl()
            yield database
        finally:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with empty_database(tmp_path / "database") as made:
        yield made


def test_it_makes_what_the_migrations_make(database: Database, tmp_path: Path) -> None:
    with empty_database(tmp_path / "by-migrations") as by_migrations:
        slow = by_migrations.python("-c", MIGRATE)  # in the background
        assert "Made the tables." in database.manage("prepare_database")
        assert "up to date" in database.manage("prepare_database")
        assert database.manage("migrate", "--check") == ""
        made = database.describe()
        _, err = slow.communicate(timeout=600)
        assert slow.returncode == 0, err
        migrated = by_migrations.describe()
    assert made.keys() == migrated.keys()
    assert {table: (made[table], migrated[table]) for table in made if made[table] != migrated[table]} == {}


def test_two_at_once_wait_for_each_other(database: Database) -> None:
    both = [database.start("prepare_database") for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert sorted(out for out, _ in ends) == ["Brought the tables up to date.\n", "Made the tables.\n"]


def test_one_that_was_cut_off_leaves_nothing_half_made(database: Database) -> None:
    cut_off = (
        "from unittest import mock; from django.core.management import call_command;"
        "from datilio.management.commands import prepare_database as it; real = it.call_command\n"
        "def one_less(name, *a, **k):\n"
        "    if k.get('fake'): raise SystemExit(9)\n"
        "    real(name, *a, **k)\n"
        "it.call_command = one_less\n"
        "call_command('prepare_database')\n"
    )
    process = database.start("shell", "--no-imports", "--command", cut_off)
    process.communicate(timeout=300)
    assert process.returncode == 9
    assert not database.file.exists()
    assert "Made the tables." in database.manage("prepare_database")
    assert database.manage("migrate", "--check") == ""


def test_the_log_of_a_deleted_database_is_not_played_into_the_new_one(tmp_path: Path) -> None:
    database = Database(tmp_path)  # sqlite, whatever the suite runs on
    for suffix in ("-wal", "-shm"):
        database.file.with_name(f"db.sqlite3{suffix}").write_bytes(b"of another time")
    database.manage("prepare_database")
    assert database.manage("migrate", "--check") == ""
    assert not list(database.folder.glob("*.new*"))


def test_a_database_with_our_tables_is_not_fresh(db: None) -> None:
    assert not prepare_database._is_fresh()
