"""GET /api/user/usage: one's own usage, page by page, with limits and warnings."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from usage.models import UsageEvent
from usage.tests.conftest import NOON

URL = "/api/user/usage"


@pytest.fixture
def page(client, alice):
    client.force_login(alice)

    def get(**query):
        response = client.get(URL, query)
        assert response.status_code == 200, response.content
        return response.json()

    return get


def test_newest_first_with_limits_and_warnings(page, alice, give_plan, use):
    give_plan(alice, start=timezone.now() - timedelta(days=3))
    now = timezone.now()
    use(alice, "ai_prompt", 1, now=now - timedelta(seconds=2))
    use(alice, "synthetic_rows", 900, now=now - timedelta(seconds=1))
    body = page()
    assert set(body) == {"usage", "limits", "warnings", "next_cursor"}
    assert [row["feature"] for row in body["usage"]] == ["synthetic_rows", "ai_prompt"]
    assert set(body["usage"][0]) == {"id", "user_id", "feature", "amount", "timestamp"}
    assert body["usage"][0]["timestamp"].endswith("Z")
    assert len(body["limits"]) == 4
    assert [(w["feature"], w["level"]) for w in body["warnings"]] == [("synthetic_rows", "approaching")]
    assert body["warnings"][0]["resets_at"].endswith("T00:00:00Z")
    assert body["next_cursor"] is None


def test_a_token_reads_as_the_session_does(alice):
    client = APIClient(headers={"authorization": f"Bearer {AccessToken.for_user(alice)}"})
    assert client.get(URL).json() == {"usage": [], "limits": [], "warnings": [], "next_cursor": None}


def test_strangers_read_nothing(client, db):
    response = client.get(URL)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def test_nobody_reads_anothers(page, bob, give_plan, use):
    give_plan(bob)
    use(bob, "ai_prompt")
    assert page()["usage"] == []


@pytest.fixture
def thirty(alice, give_plan, use, make_plan):
    """Thirty events, ten moments of three each."""
    give_plan(alice, make_plan(ai_prompts_per_day=None, synthetic_rows_per_month=None))
    for n in range(30):
        use(alice, ("ai_prompt", "synthetic_rows")[n % 2], timestamp=NOON - timedelta(days=n // 3))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2, 7, 29, 30, 31])
def test_pages_join_without_gap_or_repetition(page, thirty, limit):
    expected = list(UsageEvent.objects.order_by("-timestamp", "-id").values_list("id", flat=True))
    seen, cursor = [], {}
    while True:
        body = page(limit=limit, **cursor)
        assert len(body["usage"]) <= limit
        seen += [row["id"] for row in body["usage"]]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert seen == expected


def test_new_events_do_not_move_the_pages(page, thirty, alice, use):
    first = page(limit=10)
    use(alice, "ai_prompt", now=NOON + timedelta(hours=1))
    second = page(limit=10, cursor=first["next_cursor"])
    ids = [row["id"] for row in first["usage"] + second["usage"]]
    assert ids == list(UsageEvent.objects.order_by("-timestamp", "-id").values_list("id", flat=True)[1:21])


def test_fifty_unless_told_otherwise(page, alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(ai_prompts_per_day=None))
    for _ in range(51):
        use(alice, "ai_prompt")
    assert len(page()["usage"]) == 50
    assert len(page(limit=200)["usage"]) == 51


def test_by_feature_and_time(page, thirty):
    assert {row["feature"] for row in page(feature="ai_prompt")["usage"]} == {"ai_prompt"}
    day = page(since="2026-03-13T12:00:00Z", until="2026-03-14T12:00:00Z")["usage"]
    assert [row["timestamp"] for row in day] == ["2026-03-13T12:00:00Z"] * 3
    assert page(since="2026-03-13T13:00:00+01:00", until="2026-03-14T12:00:00Z")["usage"] == day
    assert page(since="2027-01-01T00:00:00Z")["usage"] == []
    assert len(page(feature="synthetic_rows", until="2026-03-15T12:00:00Z", limit=3)["usage"]) == 3


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "ten"},
        {"limit": "1e3"},
        {"limit": str(2**31)},
        {"limit": "-1"},
        {"limit": "\x00"},
        {"limit": "9" * 5000},
        {"feature": "cpu"},
        {"feature": "ai_prompt\x00"},
        {"since": "yesterday"},
        {"since": "2026-03-13T12:00:00Z\x00"},
        {"until": "2026-13-01T00:00:00Z"},
        {"until": "0001-01-01T00:00:00+23:59"},
        {"until": "9999-12-31T23:59:59-23:59"},
        {"until": "1e400"},
        {"cursor": "garbage"},
        {"cursor": "\x00"},
        {"cursor": "\ud800".encode("utf-8", "surrogatepass")},
        {"cursor": "x" * 5000},
        {"cursor": base64.urlsafe_b64encode(b"1.1.1").decode()},
        {"cursor": base64.urlsafe_b64encode(b"9" * 40 + b".1").decode()},
        {"cursor": base64.urlsafe_b64encode(b"1." + b"9" * 40).decode()},
        {"cursor": base64.urlsafe_b64encode(b"1.-1").decode()},
        {"cursor": base64.urlsafe_b64encode(b" 1. 1").decode()},
        {"cursor": base64.urlsafe_b64encode(b"nan.1").decode()},
    ],
    ids=lambda query: ascii(query)[:60],
)
def test_a_query_that_makes_no_sense(client, alice, query):
    client.force_login(alice)
    response = client.get(URL, query)
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert list(response.json()["errors"]) == list(query)


def test_an_empty_value_is_none(page, thirty):
    assert page(limit="", feature="", since="", until="", cursor="") == page()


def test_the_number_of_queries_does_not_grow(client, alice, thirty, django_assert_num_queries):
    client.force_login(alice)
    # Session, user, events, plan, counters.
    with django_assert_num_queries(5):
        client.get(URL, {"limit": 200})
    UsageEvent.objects.all().delete()
    with django_assert_num_queries(5):
        client.get(URL, {"limit": 200})
