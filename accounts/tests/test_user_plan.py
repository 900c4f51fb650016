"""GET /api/user/plan"""

import pytest
from django.utils import timezone

from usage.models import UsageCounter
from usage.windows import day_at


@pytest.fixture
def ask(client):
    def as_user(user):
        client.force_login(user)
        return client.get("/api/user/plan")

    return as_user


def test_without_a_plan_it_is_null(alice, ask):
    assert ask(alice).json() == {"user_plan": None}


def test_it_shows_the_plan_and_its_limits(alice, ask, subscribe):
    row = subscribe(alice)
    UsageCounter.objects.create(user=alice, feature="ai_prompt", window_start=day_at(timezone.now())[0], used=8)
    plan = ask(alice).json()["user_plan"]
    assert plan["id"] == row.pk
    assert plan["plan_id"] == plan["plan"]["id"] == row.plan_id
    assert plan["is_active"] is True
    assert plan["status"] == "active"
    assert plan["duration_months"] == 1
    assert plan["cancel_at_period_end"] is False
    assert plan["pending_change"] is None
    assert plan["start_date"].endswith("Z") and plan["end_date"].endswith("Z")
    assert plan["plan"]["features"] == {"support": "Mail"}
    limits = {limit["feature"]: limit for limit in plan["limits"]}
    assert list(limits) == ["file_upload", "ai_prompt", "ai_token", "synthetic_rows"]
    prompts = limits["ai_prompt"]
    assert (prompts["used"], prompts["limit"], prompts["remaining"], prompts["percent"]) == (8, 10, 2, 80)
    assert prompts["status"] == "approaching"
    assert prompts["resets_at"].endswith("Z")
    assert limits["synthetic_rows"]["status"] == "unlimited"


def test_what_is_sent_is_what_the_schema_says(alice, ask, subscribe):
    from accounts.serializers import UserPlanOverview

    subscribe(alice)
    plan = ask(alice).json()["user_plan"]
    assert set(plan) == set(UserPlanOverview().fields)
    assert set(plan["limits"][0]) == set(UserPlanOverview().fields["limits"].child.fields)


def test_nobody_sees_another_ones_plan(alice, bob, ask, subscribe):
    subscribe(alice)
    assert ask(bob).json() == {"user_plan": None}


def test_a_plan_that_is_over_is_gone(alice, ask, subscribe):
    subscribe(alice, is_live=False, status="canceled", ended_at=timezone.now())
    assert ask(alice).json() == {"user_plan": None}


def test_it_costs_two_queries_besides_the_log_in(alice, ask, subscribe, django_assert_num_queries):
    subscribe(alice)
    ask(alice)
    with django_assert_num_queries(2):
        from accounts.overview import plan_overview

        plan_overview(alice)


def test_a_stranger_is_refused(db, client):
    assert client.get("/api/user/plan").status_code == 401
