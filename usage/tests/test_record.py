"""Counting one use: what is counted where, and what is refused."""

from datetime import timedelta

import pytest

from billing.models import Plan
from datilio.errors import InvalidInput
from usage.errors import LimitExceeded, NoActivePlan, NothingToRemove, UserNotFound
from usage.metering import record_prompt
from usage.models import UsageCounter, UsageEvent
from usage.tests.conftest import NOON


def used(user, feature):
    return list(UsageCounter.objects.filter(user=user, feature=feature).values_list("used", flat=True))


def test_it_counts_and_answers_with_the_limit(alice, give_plan, use):
    give_plan(alice)
    first = use(alice, "synthetic_rows", 300)
    second = use(alice, "synthetic_rows", 500, key="k2")
    assert not second.replay
    assert second.event == {
        "id": second.event["id"],
        "user_id": alice.pk,
        "feature": "synthetic_rows",
        "amount": 500,
        "timestamp": NOON,
    }
    assert second.event["id"] > first.event["id"]
    assert second.limit == {
        "feature": "synthetic_rows",
        "unit": "rows",
        "used": 800,
        "limit": 1000,
        "remaining": 200,
        "percent": 80,
        "window": "month",
        "resets_at": NOON.replace(month=4, day=12, hour=0),
        "status": "approaching",
    }
    assert used(alice, "synthetic_rows") == [800]
    event = UsageEvent.objects.get(key="k2")
    assert (event.used_after, event.limit_then, event.source) == (800, 1000, "test")
    assert event.window_start == UsageCounter.objects.get().window_start == NOON.replace(day=12, hour=0)


def test_the_limit_can_be_used_up_and_not_passed(alice, give_plan, use):
    give_plan(alice)
    for _ in range(3):
        use(alice, "ai_prompt")
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "ai_prompt")
    assert refused.value.status == 402
    details = refused.value.details
    assert details["feature"] == "ai_prompt"
    assert details["limit_name"] == "ai_prompts_per_day"
    assert (details["used"], details["limit"]) == (3, 3)
    assert details["resets_at"] == "2026-03-16T00:00:00Z"
    assert details["upgrade_url"].endswith("/pricing")
    assert details["upgrade_plan"] is None
    assert used(alice, "ai_prompt") == [3]
    assert UsageEvent.objects.count() == 3


def test_a_first_use_over_the_limit_is_refused_and_leaves_nothing(alice, give_plan, use):
    give_plan(alice)
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "synthetic_rows", 1001)
    assert refused.value.details["used"] == 0
    assert not UsageCounter.objects.exists()
    assert not UsageEvent.objects.exists()


def test_what_does_not_fit_leaves_room_for_what_does(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 900)
    with pytest.raises(LimitExceeded):
        use(alice, "synthetic_rows", 101)
    assert use(alice, "synthetic_rows", 100).limit["remaining"] == 0


def test_the_refusal_names_the_cheapest_plan_on_sale_that_has_room(alice, give_plan, make_plan, use):
    give_plan(alice)
    make_plan("Too small", price_monthly=1, synthetic_rows_per_month=1500)
    make_plan("Dear", price_monthly=90, synthetic_rows_per_month=None)
    make_plan("Right", price_monthly=50, synthetic_rows_per_month=1600)
    make_plan("Not on sale", price_monthly=20, synthetic_rows_per_month=None)
    Plan.objects.filter(name="Not on sale").update(state=Plan.State.ARCHIVED)
    use(alice, "synthetic_rows", 1000)
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "synthetic_rows", 501)
    assert refused.value.details["upgrade_plan"] == "Right"
    assert "Right has room for it." in refused.value.message


def test_unlimited_means_unlimited(alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(synthetic_rows_per_month=None))
    use(alice, "synthetic_rows", 10**12)
    limit = use(alice, "synthetic_rows", 10**12).limit
    assert limit["used"] == 2 * 10**12
    assert (limit["limit"], limit["remaining"], limit["percent"], limit["status"]) == (None, None, None, "unlimited")


def test_tokens_are_limited_by_no_plan(alice, give_plan, use):
    give_plan(alice)
    assert use(alice, "ai_token", 10**9, model="m-1").limit["status"] == "unlimited"
    assert UsageEvent.objects.get().model == "m-1"


def test_a_counter_never_overflows(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_token")
    UsageCounter.objects.update(used=2**62)
    with pytest.raises(LimitExceeded):
        use(alice, "ai_token", 10**12)


def test_customers_are_counted_apart(alice, bob, give_plan, use):
    plan = give_plan(alice).plan
    give_plan(bob, plan)
    for _ in range(3):
        use(alice, "ai_prompt")
    assert use(bob, "ai_prompt").limit["used"] == 1


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_new_day_has_a_new_counter(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 3)
    tomorrow = NOON.replace(day=16, hour=0)
    with pytest.raises(LimitExceeded):
        use(alice, "ai_prompt", now=tomorrow - timedelta(microseconds=1))
    assert use(alice, "ai_prompt", now=tomorrow).limit["used"] == 1


def test_a_yearly_plan_has_monthly_rows(alice, give_plan, use):
    give_plan(alice, start=NOON - timedelta(days=3), duration_months=12)
    use(alice, "synthetic_rows", 1000)
    assert use(alice, "synthetic_rows", 1000, now=NOON.replace(month=4)).limit["used"] == 1000


def test_a_late_event_counts_in_its_own_window(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 3)
    late = use(alice, "ai_prompt", timestamp=NOON - timedelta(days=35))
    assert late.limit["used"] == 1
    assert late.event["timestamp"] == NOON - timedelta(days=35)
    assert sorted(used(alice, "ai_prompt")) == [1, 3]


@pytest.mark.parametrize("shift", [-timedelta(days=35, microseconds=1), timedelta(minutes=5, microseconds=1)])
def test_too_late_and_from_the_future_are_refused(alice, give_plan, use, shift):
    give_plan(alice)
    with pytest.raises(InvalidInput) as refused:
        use(alice, "ai_prompt", timestamp=NOON + shift)
    assert list(refused.value.details["errors"]) == ["timestamp"]
    assert not UsageEvent.objects.exists()


def test_a_clock_may_run_ahead_a_little(alice, give_plan, use):
    give_plan(alice)
    assert use(alice, "ai_prompt", timestamp=NOON + timedelta(minutes=5))


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_that_are_gone_make_room(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 10)
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "file_upload")
    assert refused.value.details["resets_at"] is None
    assert use(alice, "file_upload", -4).limit["used"] == 6
    assert use(alice, "file_upload", 4).limit["used"] == 10


@pytest.mark.parametrize("stored", [0, 2])
def test_no_more_files_can_go_than_there_are(alice, give_plan, use, stored):
    give_plan(alice)
    if stored:
        use(alice, "file_upload", stored)
    with pytest.raises(NothingToRemove) as refused:
        use(alice, "file_upload", -3)
    assert refused.value.status == 409
    assert refused.value.details["used"] == stored
    assert UsageEvent.objects.count() == bool(stored)


def test_files_stay_counted_from_month_to_month(alice, give_plan, use):
    give_plan(alice)
    use(alice, "file_upload", 9)
    assert use(alice, "file_upload", now=NOON + timedelta(days=400)).limit["used"] == 10


def test_files_can_go_without_a_plan(alice, give_plan, use):
    plan = give_plan(alice)
    use(alice, "file_upload", 4)
    plan.is_live, plan.status = False, "canceled"
    plan.save()
    assert use(alice, "file_upload", -1).limit["used"] == 3


def test_the_size_is_checked_for_each_file(alice, give_plan, make_plan, use):
    give_plan(alice)
    make_plan("Roomy", price_monthly=30, file_size_limit_mb=25)
    assert use(alice, "file_upload", 3, size_mb=5).limit["used"] == 3  # 15 MB together
    with pytest.raises(LimitExceeded) as refused:
        use(alice, "file_upload", size_mb=5.001)
    details = refused.value.details
    assert (details["limit_name"], details["used"], details["limit"]) == ("file_size_limit_mb", 5.001, 5)
    assert details["upgrade_plan"] == "Roomy"
    assert "5.01 MB is too large" in refused.value.message
    assert used(alice, "file_upload") == [3]


@pytest.mark.parametrize(("feature", "amount"), [("ai_prompt", 1), ("file_upload", -1)])
def test_only_an_upload_has_a_size(alice, give_plan, use, feature, amount):
    give_plan(alice)
    with pytest.raises(InvalidInput):
        use(alice, feature, amount, size_mb=1)


# --- what is no use at all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "amount"),
    [("ai_prompt", 0), ("file_upload", 0), ("ai_prompt", -1), ("synthetic_rows", -1), ("ai_token", 10**12 + 1)]
    + [("file_upload", -(10**12) - 1), ("cpu_seconds", 1)],
)
def test_amounts_and_features_that_do_not_exist(alice, give_plan, use, feature, amount):
    give_plan(alice)
    with pytest.raises(InvalidInput):
        use(alice, feature, amount)
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("text", [{"key": "a\0b"}, {"model": "a\0b"}])
def test_a_nul_which_ends_a_text_in_postgresql(alice, give_plan, use, text):
    give_plan(alice)
    with pytest.raises(InvalidInput) as refused:
        use(alice, "ai_token", 1, **text)
    assert refused.value.details["errors"].keys() == text.keys()
    assert not UsageEvent.objects.exists()


def test_without_a_plan_nothing_is_counted(alice, use):
    with pytest.raises(NoActivePlan) as refused:
        use(alice, "ai_prompt")
    assert refused.value.status == 402
    assert refused.value.details["upgrade_url"].endswith("/pricing")
    assert not UsageEvent.objects.exists()


def test_an_overdue_plan_serves_until_its_grace_ends(alice, give_plan, use, settings):
    give_plan(alice, status="past_due", past_due_since=NOON - timedelta(days=2))
    use(alice, "ai_prompt")
    with pytest.raises(NoActivePlan):
        use(alice, "ai_prompt", now=NOON + timedelta(days=settings.GRACE_DAYS))


def test_a_user_who_does_not_exist(db, use):
    for amount in (1, -1):
        with pytest.raises(UserNotFound):
            use(2**63 - 1, "file_upload", amount)


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_a_prompt_counts_with_its_tokens_or_not_at_all(alice, give_plan):
    give_plan(alice)
    for n in range(3):
        prompt, tokens = record_prompt(alice.pk, 100, source="test", key=f"p{n}", now=NOON)
    assert prompt.limit["used"] == 3
    assert tokens.limit["used"] == 300
    with pytest.raises(LimitExceeded):
        record_prompt(alice.pk, 100, source="test", key="p3", now=NOON)
    assert used(alice, "ai_token") == [300]
    again, its_tokens = record_prompt(alice.pk, 100, source="test", key="p2", now=NOON)
    assert again.replay and its_tokens.replay


def test_tokens_that_cannot_be_counted_take_their_prompt_back(alice, give_plan):
    give_plan(alice)
    record_prompt(alice.pk, 1, source="test", key="p1", now=NOON)
    UsageCounter.objects.filter(feature="ai_token").update(used=2**62)
    with pytest.raises(LimitExceeded):
        record_prompt(alice.pk, 1, source="test", key="p2", now=NOON)
    assert used(alice, "ai_prompt") == [1]
    assert not UsageEvent.objects.filter(key="p2").exists()
