"""What a user has used and has left, and what they are told about it."""

from datetime import timedelta

import pytest

from usage.limits import limits_of, meters_of, warnings_of
from usage.models import UsageCounter
from usage.tests.conftest import NOON


def by_feature(rows):
    return {row["feature"]: row for row in rows}


def test_all_features_stand_there_in_order(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 4)
    use(alice, "ai_token", 7)
    limits = limits_of(alice.pk, NOON)
    assert [limit["feature"] for limit in limits] == ["file_upload", "ai_prompt", "ai_token", "synthetic_rows"]
    assert limits[0] == {
        "feature": "file_upload",
        "unit": "files",
        "used": 4,
        "limit": 10,
        "remaining": 6,
        "percent": 40,
        "window": "none",
        "resets_at": None,
        "status": "ok",
        "held": 0,
        "runs_out_at": None,
        "can_tell_pace": False,
        "own_threshold": None,
        "spending": None,
    }
    assert limits[1]["resets_at"] == NOON.replace(day=16, hour=0)
    assert (limits[2]["used"], limits[2]["status"]) == (7, "unlimited")
    assert (limits[3]["used"], limits[3]["remaining"]) == (0, 1000)


def test_only_the_present_windows_count(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 3, now=NOON - timedelta(days=1))
    use(alice, "synthetic_rows", 500, now=NOON - timedelta(days=4))
    use(alice, "file_upload", 2, now=NOON - timedelta(days=100))
    used = {limit["feature"]: limit["used"] for limit in limits_of(alice.pk, NOON)}
    assert used == {"file_upload": 2, "ai_prompt": 0, "ai_token": 0, "synthetic_rows": 0}


def test_without_access_there_are_no_limits(alice, bob, give_plan):
    assert limits_of(alice.pk, NOON) == []
    give_plan(bob, status="unpaid")
    assert limits_of(bob.pk, NOON) == []


def test_two_queries_and_one_when_the_plan_is_known(alice, give_plan, use, django_assert_num_queries):
    plan = give_plan(alice)
    for days in range(30):
        use(alice, "ai_prompt", now=NOON - timedelta(days=days))
    with django_assert_num_queries(2):
        limits_of(alice.pk, NOON)
    with django_assert_num_queries(1):
        limits_of(alice.pk, NOON, user_plan=plan)


@pytest.mark.parametrize(
    ("used", "percent", "status", "level"),
    [
        (799, 79, "ok", None),
        (800, 80, "approaching", "approaching"),
        (949, 94, "approaching", "approaching"),
        (950, 95, "approaching", "critical"),
        (999, 99, "approaching", "critical"),
        (1000, 100, "exceeded", "exceeded"),
        (3400, 340, "exceeded", "exceeded"),
    ],
)
def test_warnings_come_at_80_95_and_100_percent(alice, give_plan, use, used, percent, status, level):
    give_plan(alice)
    use(alice, "synthetic_rows")
    UsageCounter.objects.update(used=used)
    limits = limits_of(alice.pk, NOON)
    assert (by_feature(limits)["synthetic_rows"]["percent"], by_feature(limits)["synthetic_rows"]["status"]) == (
        percent,
        status,
    )
    warning = by_feature(warnings_of(limits)).get("synthetic_rows")
    assert (warning and warning["level"]) == level
    if warning:
        assert warning == {
            "feature": "synthetic_rows",
            "level": level,
            "threshold": {"approaching": 80, "critical": 95, "exceeded": 100}[level],
            "message": warning["message"],
            "used": used,
            "limit": 1000,
            "resets_at": NOON.replace(month=4, day=12, hour=0),
        }


def test_a_warning_says_what_to_do_next(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 850)
    use(alice, "ai_prompt", 3)
    use(alice, "file_upload", 10)
    messages = {w["feature"]: w["message"] for w in warnings_of(limits_of(alice.pk, NOON))}
    assert messages == {
        "synthetic_rows": "You have used 850 of 1,000 rows this month. "
        "The count starts again on 12 Apr 2026, 00:00 UTC; a larger plan has room for more.",
        "ai_prompt": "You have used all 3 prompts of your plan today. "
        "Wait until 16 Mar 2026, 00:00 UTC, or choose a larger plan to go on now.",
        "file_upload": "You have 10 files, and your plan allows 10. They stay readable; "
        "to add another, remove some or choose a larger plan.",
    }


def test_what_a_plan_leaves_out_is_nothing_to_warn_of(alice, give_plan, make_plan):
    give_plan(alice, make_plan(synthetic_rows_per_month=0))
    limits = limits_of(alice.pk, NOON)
    rows = by_feature(limits)["synthetic_rows"]
    assert (rows["percent"], rows["remaining"], rows["status"]) == (100, 0, "exceeded")
    assert warnings_of(limits) == []


def test_meters_have_words_for_people(alice, give_plan):
    give_plan(alice)
    meters = meters_of(limits_of(alice.pk, NOON))
    assert [(meter["label"], meter["period"]) for meter in meters] == [
        ("Files", ""),
        ("AI prompts", "today"),
        ("AI tokens", "this month"),
        ("Synthetic rows", "this month"),
    ]
