"""The charts of 30 days: drawn from the days' totals alone, whatever the number of events."""

from datetime import date, timedelta

from usage.days import HEIGHT, charts_of, table_of
from usage.limits import limits_of
from usage.models import UsageDay, UsageEvent
from usage.tests.conftest import NOON


def chart(user, feature, now=NOON):
    return next(one for one in charts_of(user.pk, now, limits_of(user.pk, now)) if one.feature == feature)


def amounts(user, feature, now=NOON):
    return [bar.amount for bar in chart(user, feature, now).bars]


def test_each_day_has_what_was_used_on_it(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 10)
    use(alice, "synthetic_rows", 5)
    use(alice, "synthetic_rows", 7, timestamp=NOON - timedelta(days=1))
    rows = chart(alice, "synthetic_rows")
    assert [bar.amount for bar in rows.bars] == [0] * 28 + [7, 15]
    assert (rows.total, rows.largest, rows.first_day, rows.last_day) == (22, 15, date(2026, 2, 14), date(2026, 3, 15))
    assert [bar.is_today for bar in rows.bars] == [False] * 29 + [True]


def test_the_day_before_the_thirtieth_has_left_it(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 1, timestamp=NOON - timedelta(days=29))
    use(alice, "synthetic_rows", 2, timestamp=NOON - timedelta(days=30))
    assert amounts(alice, "synthetic_rows") == [1] + [0] * 29


def test_files_show_what_there_was_at_the_end_of_each_day(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 4, now=NOON - timedelta(days=40))
    use(alice, "file_upload", 3, now=NOON - timedelta(days=2))
    use(alice, "file_upload", -5, now=NOON - timedelta(days=1))
    files = chart(alice, "file_upload")
    assert [bar.amount for bar in files.bars] == [4] * 27 + [7, 2, 2]
    assert (files.total, files.largest, files.shows_level) == (2, 7, True)


def test_files_that_are_older_than_the_days_stay_when_the_plan_has_ended(alice, give_plan, use):
    plan = give_plan(alice, start=NOON - timedelta(days=60))
    use(alice, "file_upload", 4, now=NOON - timedelta(days=40))
    plan.is_live, plan.status, plan.ended_at = False, "canceled", NOON
    plan.save()
    assert limits_of(alice.pk, NOON) == []
    assert amounts(alice, "file_upload") == [4] * 30


def test_the_tallest_bar_is_the_drawings_height_and_the_least_can_be_seen(alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(synthetic_rows_per_month=None))
    use(alice, "synthetic_rows", 1_000_000)
    use(alice, "synthetic_rows", 1, timestamp=NOON - timedelta(days=1))
    none, least, tallest = chart(alice, "synthetic_rows").bars[-3:]
    assert (none.height, least.height > 0, tallest.height, tallest.y) == (0, True, HEIGHT, 0)
    assert least.y + least.height == HEIGHT


def test_the_table_has_the_same_numbers_the_newest_day_first(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 2)
    table = table_of(charts_of(alice.pk, NOON, limits_of(alice.pk, NOON)))
    assert len(table) == 30
    assert table[0] == {"day": date(2026, 3, 15), "amounts": [0, 2, 0, 0]}


def test_no_event_is_read(alice, give_plan, use, django_assert_num_queries):
    give_plan(alice)
    use(alice, "synthetic_rows", 10)
    UsageEvent.objects.all().delete()
    limits = limits_of(alice.pk, NOON)
    with django_assert_num_queries(1):
        assert charts_of(alice.pk, NOON, limits)[3].total == 10


def test_what_another_used_is_not_drawn(alice, bob, give_plan, use):
    give_plan(bob)
    use(bob, "synthetic_rows", 10)
    assert UsageDay.objects.exists() and amounts(alice, "synthetic_rows") == [0] * 30
