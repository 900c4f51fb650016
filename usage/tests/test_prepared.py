"""The short way for the statement of every event: it survives what makes PostgreSQL forget prepared statements."""

from datetime import timedelta

import pytest
from django.db import connection, transaction

from usage import prepared, statements
from usage.models import UsageCounter
from usage.tests.conftest import NOON

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # sqlite prepares for itself.
    pytest.mark.only_on("postgresql"),
]


@pytest.fixture
def runs(monkeypatch):
    """How often the short way was taken."""
    taken = []
    monkeypatch.setattr(statements, "run_prepared", lambda *args: taken.append(1) or prepared.run_prepared(*args))
    return taken


def test_it_is_taken_outside_of_transactions_only(alice, give_plan, use, runs):
    give_plan(alice)
    use(alice, "synthetic_rows", 10)
    assert len(runs) == 1
    with transaction.atomic():
        use(alice, "synthetic_rows", 10)
    assert len(runs) == 1
    assert UsageCounter.objects.get().used == 20


def test_what_the_server_forgot_is_prepared_again(alice, give_plan, use, runs):
    give_plan(alice)
    use(alice, "synthetic_rows", 1)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    use(alice, "synthetic_rows", 1)
    connection.close()
    use(alice, "synthetic_rows", 1)
    assert len(runs) == 3
    assert UsageCounter.objects.get().used == 3


@pytest.fixture
def choose(settings):
    """Set DATABASE_PREPARE, at which a process looks once."""

    def chosen(prepare: bool) -> None:
        settings.DATABASE_PREPARE = prepare
        prepared._is_wanted.cache_clear()

    yield chosen
    prepared._is_wanted.cache_clear()


def test_both_ways_answer_the_same(alice, give_plan, use, choose, runs):
    give_plan(alice)
    answers = []
    for prepare in (True, False):
        choose(prepare)
        key = "ein 'Schlüssel' \\ {}"
        day = timedelta(days=int(not prepare))
        answers.append(use(alice, "ai_prompt", 3, key=f"{key}{prepare}", model="m-1", timestamp=NOON - day))
        answers.append(use(alice, "file_upload", 2, key=f"{key}f{prepare}", size_mb=1.5))
        answers.append(use(alice, "file_upload", -2, key=f"{key}g{prepare}"))
    assert len(runs) == 3
    for one, other in zip(answers[:3], answers[3:], strict=True):
        assert one.limit | {"resets_at": None} == other.limit | {"resets_at": None}
