"""PostgreSQL keeps the events by month: made from the models' plain table, ahead of time, and taken off when old."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from usage import partitions
from usage.batches import record_batch
from usage.models import UsageCounter, UsageEvent
from usage.partitions import TABLE, make_partitions, month_of, prepare_event_table
from usage.tests.conftest import NOON
from usage.uses import use_of

# sqlite has an ordinary table.
only_postgresql = pytest.mark.only_on("postgresql")


def query(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


@pytest.fixture
def plain_table(db):
    """The table as the models make it, empty; the test's rollback brings the partitioned one back."""
    with connection.schema_editor() as editor:
        editor.execute(f'DROP TABLE "{TABLE}"')
        editor.create_model(UsageEvent)
    assert query("SELECT relkind::text FROM pg_class WHERE relname = %s", TABLE) == [("r",)]


def an_event(user, timestamp, key):
    return UsageEvent.objects.create(
        user=user,
        feature="ai_prompt",
        amount=1,
        timestamp=timestamp,
        source="test",
        key=key,
        window_start=timestamp,
        used_after=1,
    )


def shape():
    """Columns, indexes and checks, as the database tells them."""
    columns = query(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = %s ORDER BY 1",
        TABLE,
    )
    indexes = query("SELECT replace(indexdef, ' ONLY ', ' ') FROM pg_indexes WHERE tablename = %s ORDER BY 1", TABLE)
    checks = query(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1", TABLE
    )
    return columns, [index for index in indexes if "pkey" not in index[0]], [c for c in checks if "pkey" not in c[0]]


def test_a_month_runs_from_first_to_first_in_utc():
    december = month_of(datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    assert (december.name, december.start, december.end) == (
        "usage_usageevent_2025_12",
        datetime(2025, 12, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    )


@only_postgresql
def test_every_migrate_leaves_a_partitioned_table(db):
    assert query("SELECT relkind::text FROM pg_class WHERE relname = %s", TABLE) == [("p",)]
    assert query("SELECT reloptions FROM pg_class WHERE relname = %s", UsageCounter._meta.db_table) == [
        (["fillfactor=50"],)
    ]


@only_postgresql
def test_a_plain_table_is_partitioned_with_its_rows(plain_table, alice):
    plain_shape = shape()
    moments = [NOON - timedelta(days=400), NOON, NOON + timedelta(days=20)]
    ids = [an_event(alice, moment, f"k{n}").pk for n, moment in enumerate(moments)]
    rows = list(UsageEvent.objects.order_by("id").values())
    prepare_event_table(NOON)
    assert query("SELECT relkind::text FROM pg_class WHERE relname = %s", TABLE) == [("p",)]
    assert list(UsageEvent.objects.order_by("id").values()) == rows
    assert shape() == plain_shape
    assert an_event(alice, NOON, "next").pk > max(ids)
    assert query("SELECT count(*) FROM pg_class WHERE relname LIKE %s", f"{TABLE}_plain%") == [(0,)]
    # Twice is no different.
    prepare_event_table(NOON)
    assert UsageEvent.objects.count() == 4


@only_postgresql
def test_months_are_made_ahead_and_once(plain_table):
    prepare_event_table(NOON)
    assert [partition.name[-7:] for partition in partitions.partitions()] == [
        "2026_02",
        "2026_03",
        "2026_04",
        "2026_05",
        "2026_06",
    ]
    assert make_partitions(NOON) == []
    assert make_partitions(NOON.replace(month=4)) == [f"{TABLE}_2026_07"]
    # 35 days back from the first of January is November.
    assert f"{TABLE}_2026_11" in make_partitions(datetime(2027, 1, 1, tzinfo=UTC))


@only_postgresql
def test_an_event_whose_month_nobody_made_makes_it(alice, give_plan, use):
    moment = datetime(2031, 7, 5, tzinfo=UTC)
    give_plan(alice, start=moment - timedelta(days=1))
    use(alice, "ai_prompt", now=moment)
    assert f"{TABLE}_2031_07" in [partition.name for partition in partitions.partitions()]
    assert UsageEvent.objects.get().timestamp == moment


@only_postgresql
def test_a_batch_makes_each_month_of_its_events_wherever_their_clocks_are(alice, give_plan):
    """Half past midnight on 1 August is July in UTC."""
    now = datetime(2027, 8, 20, tzinfo=UTC)
    give_plan(alice, start=datetime(2027, 7, 25, tzinfo=UTC))
    moments = [
        datetime(2027, 8, 1, 0, 30, tzinfo=timezone.get_fixed_timezone(60)),
        datetime(2027, 8, 10, tzinfo=UTC),
    ]
    uses = [
        use_of(alice.pk, "synthetic_rows", 1, source="test", key=str(moment), timestamp=moment) for moment in moments
    ]
    assert [answer.status for answer in record_batch(uses, source="test", now=now)] == ["accepted"] * 2
    made = {partition.name for partition in partitions.partitions()}
    assert made >= {month_of(moments[0]).name, month_of(moments[1]).name} == {f"{TABLE}_2027_07", f"{TABLE}_2027_08"}


@only_postgresql
def test_what_is_old_is_detached_and_keeps_its_rows(transactional_db, alice):
    old = datetime(2020, 5, 17, tzinfo=UTC)
    partitions.make_partition_of(old)
    an_event(alice, old, "old")
    an_event(alice, NOON, "new")
    out, now = StringIO(), timezone.now()
    # Only May 2020, whenever this runs.
    months = str((now.year - 2020) * 12 + now.month - 6)
    call_command("detach_usage_partitions", "--months", months, stdout=out)
    # Counted where the database has no estimate yet.
    assert "Would detach usage_usageevent_2020_05: about 1 events" in out.getvalue()
    assert UsageEvent.objects.count() == 2
    call_command("detach_usage_partitions", "--months", months, "--run", stdout=out)
    assert "Detached usage_usageevent_2020_05" in out.getvalue()
    try:
        assert UsageEvent.objects.get().key == "new"
        assert query("SELECT key FROM usage_usageevent_2020_05") == [("old",)]
        call_command("detach_usage_partitions", "--months", months, "--run", stdout=out)
        assert f"Nothing is older than {months} months." in out.getvalue()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE usage_usageevent_2020_05")


@only_postgresql
def test_what_retries_need_is_never_detached(db):
    with pytest.raises(CommandError, match="At least 4 months"):
        call_command("detach_usage_partitions", "--months", "3")


@pytest.mark.only_on("sqlite")
def test_sqlite_has_nothing_to_detach(db):
    with pytest.raises(CommandError, match="Only PostgreSQL"):
        call_command("detach_usage_partitions")
    assert make_partitions(NOON) == []
