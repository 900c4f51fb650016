"""Thresholds are written down once per window, together with the use that reached them."""

from datetime import timedelta

import pytest

from usage.errors import LimitExceeded
from usage.models import UsageAlert
from usage.tests.conftest import NOON


def alerts():
    return list(UsageAlert.objects.order_by("window_start", "threshold").values_list("feature", "threshold"))


def test_each_threshold_once(alice, give_plan, use):
    give_plan(alice)
    for _ in range(10):
        use(alice, "synthetic_rows", 100)
    assert alerts() == [("synthetic_rows", 80), ("synthetic_rows", 95), ("synthetic_rows", 100)]


def test_a_leap_tells_all_that_it_passes(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 960)
    assert alerts() == [("synthetic_rows", 80), ("synthetic_rows", 95)]


def test_a_refused_use_tells_nothing(alice, give_plan, use):
    give_plan(alice)
    with pytest.raises(LimitExceeded):
        use(alice, "synthetic_rows", 1001)
    assert alerts() == []


def test_the_next_window_tells_again(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 3)
    use(alice, "ai_prompt", 3, now=NOON + timedelta(days=1))
    assert len(alerts()) == 6


def test_files_that_come_and_go_are_told_once_a_month(alice, give_plan, use):
    give_plan(alice)
    for _ in range(3):
        use(alice, "file_upload", 8)
        use(alice, "file_upload", -8)
    assert alerts() == [("file_upload", 80)]
    use(alice, "file_upload", 8, now=NOON + timedelta(days=31))
    assert alerts() == [("file_upload", 80), ("file_upload", 80)]


def test_a_smaller_plan_tells_with_the_next_use(alice, give_plan, make_plan, use):
    """Nothing crosses 80 % here: the limit came down to where the use already was."""
    subscription = give_plan(alice)
    use(alice, "synthetic_rows", 460)
    subscription.plan = make_plan("Smaller", synthetic_rows_per_month=500)
    subscription.save()
    use(alice, "synthetic_rows", 1)
    assert alerts() == [("synthetic_rows", 80)]
