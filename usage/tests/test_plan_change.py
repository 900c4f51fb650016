"""Consumption is carried: a change of plan moves the limit and never the counter."""

from datetime import timedelta

import pytest

from usage.errors import LimitExceeded
from usage.limits import limits_of
from usage.tests.conftest import NOON


def rows(user):
    return next(limit for limit in limits_of(user.pk, NOON) if limit["feature"] == "synthetic_rows")


def test_an_upgrade_raises_the_limit_and_keeps_the_count(alice, give_plan, make_plan, use):
    subscription = give_plan(alice)
    use(alice, "synthetic_rows", 1000)
    subscription.plan = make_plan("Large", synthetic_rows_per_month=5000)
    subscription.save()
    assert (rows(alice)["used"], rows(alice)["limit"]) == (1000, 5000)
    assert use(alice, "synthetic_rows", 1).limit["used"] == 1001


def test_a_downgrade_below_what_is_used_refuses_more_and_lets_files_go(alice, give_plan, make_plan, use):
    subscription = give_plan(alice)
    use(alice, "file_upload", 9)
    subscription.plan = make_plan("Tiny", file_limit=4)
    subscription.save()
    with pytest.raises(LimitExceeded):
        use(alice, "file_upload")
    limit = use(alice, "file_upload", -1).limit
    assert (limit["used"], limit["remaining"], limit["percent"]) == (8, 0, 200)


def test_buying_again_on_the_same_day_buys_no_fresh_month(alice, give_plan, make_plan, use):
    """Only the day of the start counts, so the windows are the same."""
    first = give_plan(alice)
    use(alice, "synthetic_rows", 1000)
    first.is_live, first.status, first.ended_at = False, "canceled", NOON
    first.save()
    give_plan(alice, first.plan, start=first.start_date + timedelta(hours=7))
    with pytest.raises(LimitExceeded):
        use(alice, "synthetic_rows")
