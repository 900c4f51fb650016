"""Every page knows the customer's plan and warnings, and asks the database only when it says something of them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import engines
from django.test import RequestFactory
from django.utils import timezone

from usage.models import UsageCounter

EVERYTHING = "{% if current_plan %}{{ current_plan.plan.name }}{% endif %}|{{ usage_warnings|length }}|" + (
    "{{ plan_standing }}"
)


@pytest.fixture
def render(db):
    def as_user(user, template=EVERYTHING, path="/pricing"):
        request = RequestFactory().get(path)
        request.user = user
        return engines["django"].from_string(template).render({}, request)

    return as_user


def test_it_says_what_there_is_to_say(alice, render, subscribe):
    subscribe(alice)
    UsageCounter.objects.create(
        user=alice, feature="file_upload", window_start=timezone.now().replace(year=1970), used=1
    )
    assert render(alice) == "DataPilot Pro|0|active"


def test_a_warning(alice, render, subscribe):
    from usage.features import FEATURES
    from usage.windows import window_at

    plan = subscribe(alice)
    start, _ = window_at(FEATURES["ai_prompt"].window, timezone.now(), plan.start_date)
    UsageCounter.objects.create(user=alice, feature="ai_prompt", window_start=start, used=10)
    assert render(alice, "{{ usage_warnings.0.feature }} {{ usage_warnings.0.level }}") == "ai_prompt exceeded"


def test_an_overdue_payment(alice, render, subscribe):
    subscribe(alice, status="past_due", past_due_since=timezone.now() - timedelta(days=1))
    assert render(alice) == "DataPilot Pro|0|overdue"


def test_nothing_to_say(alice, render):
    assert render(alice) == "|0|"


def test_two_queries_however_often_it_is_touched(alice, render, subscribe, django_assert_num_queries):
    subscribe(alice)
    with django_assert_num_queries(2):
        render(alice, EVERYTHING * 3)


@pytest.mark.parametrize(
    ("who", "template", "path"),
    [
        ("anonymous", EVERYTHING, "/pricing"),
        ("alice", "a page about something else", "/pricing"),
        ("alice", EVERYTHING, "/admin/billing/plan/"),
    ],
)
def test_no_query_without_need(alice, render, subscribe, django_assert_num_queries, who, template, path):
    subscribe(alice)
    with django_assert_num_queries(0):
        render(alice if who == "alice" else AnonymousUser(), template, path)
