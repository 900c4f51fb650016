"""POST /api/usage/events: backends with a key count one event."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from usage.api_keys import make_api_key, revoke_api_key
from usage.models import ApiKey, UsageCounter, UsageEvent

URL = "/api/usage/events"


def problem(response, status, code):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["code"] == code, document
    assert {"type", "title", "status", "detail", "request_id"} <= document.keys()
    return document


def test_an_event_is_counted_and_then_replayed(backend, an_event, alice):
    first = backend.post(URL, an_event())
    assert first.status_code == 201, first.content
    body = first.json()
    assert set(body["usage"]) == {"id", "user_id", "feature", "amount", "timestamp"}
    assert (body["usage"]["user_id"], body["usage"]["amount"]) == (alice.pk, 10)
    assert body["usage"]["timestamp"].endswith("Z")
    assert (body["limit"]["used"], body["limit"]["limit"], body["limit"]["status"]) == (10, 1000, "ok")
    backend.post(URL, an_event(key="second"))
    again = backend.post(URL, an_event())
    assert again.status_code == 200
    assert again.json() == body
    assert UsageCounter.objects.get().used == 20


def test_another_body_under_the_same_key(backend, an_event):
    backend.post(URL, an_event())
    problem(backend.post(URL, an_event(amount=11)), 422, "idempotency_key_reused")


def test_two_api_keys_may_use_the_same_event_key(backend, an_event):
    backend.post(URL, an_event())
    _, other = make_api_key("other", ["usage:write"])
    response = APIClient(headers={"authorization": f"Api-Key {other}"}).post(URL, an_event())
    assert response.status_code == 201
    assert UsageCounter.objects.get().used == 20


def test_the_limit_is_refused_with_the_way_out(backend, an_event, make_plan):
    make_plan("Large", price_monthly=40, synthetic_rows_per_month=None)
    document = problem(backend.post(URL, an_event(amount=1001)), 402, "limit_exceeded")
    assert document["feature"] == "synthetic_rows"
    assert (document["used"], document["limit"]) == (0, 1000)
    assert document["resets_at"].endswith("T00:00:00Z")
    assert document["upgrade_url"].startswith("http")
    assert document["upgrade_plan"] == "Large"
    assert "next_url" not in document
    assert not UsageEvent.objects.exists()


def test_no_plan(backend, an_event, bob):
    document = problem(backend.post(URL, an_event(user_id=bob.pk)), 402, "no_active_plan")
    assert document["feature"] == "synthetic_rows"
    assert document["upgrade_url"].endswith("/pricing")


def test_no_such_user(backend, an_event):
    problem(backend.post(URL, an_event(user_id=2**63 - 1)), 404, "user_not_found")


def test_a_file_that_is_too_large(backend, an_event):
    body = an_event(feature="file_upload", amount=1, size_mb=5.5)
    assert problem(backend.post(URL, body), 402, "limit_exceeded")["limit"] == 5
    assert backend.post(URL, body | {"size_mb": 5}).status_code == 201


def test_more_files_gone_than_there_were(backend, an_event):
    problem(backend.post(URL, an_event(feature="file_upload", amount=-1)), 409, "nothing_to_remove")


def test_a_late_event_keeps_its_own_time(backend, an_event):
    moment = (timezone.now() - timedelta(days=20)).replace(microsecond=0)
    response = backend.post(URL, an_event(timestamp=moment.isoformat()))
    assert response.status_code == 201
    assert response.json()["usage"]["timestamp"] == moment.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("shift", [timedelta(days=-36), timedelta(hours=1)])
def test_a_time_that_is_too_far_off(backend, an_event, shift):
    response = backend.post(URL, an_event(timestamp=(timezone.now() + shift).isoformat()))
    assert list(problem(response, 400, "invalid_input")["errors"]) == ["timestamp"]


def test_the_key_may_come_in_the_header(backend, an_event):
    body = an_event()
    del body["key"]
    headers = {"Idempotency-Key": "from-the-header"}
    assert backend.post(URL, body, headers=headers).status_code == 201
    assert backend.post(URL, body, headers=headers).status_code == 200
    assert backend.post(URL, an_event(key="from-the-header"), headers=headers).status_code == 200
    document = problem(backend.post(URL, an_event(key="another"), headers=headers), 400, "invalid_input")
    assert list(document["errors"]) == ["key"]
    problem(backend.post(URL, body), 400, "invalid_input")


# --- who may ----------------------------------------------------------------------------------------------------------


def test_without_a_key(an_event, client):
    response = client.post(URL, an_event(), content_type="application/json")
    problem(response, 401, "api_key_required")
    assert response["WWW-Authenticate"].startswith("Api-Key")


def test_a_users_token_or_session_cannot_write(an_event, alice, client):
    token = APIClient(headers={"authorization": f"Bearer {AccessToken.for_user(alice)}"})
    problem(token.post(URL, an_event()), 403, "api_key_required")
    client.force_login(alice)
    problem(client.post(URL, an_event(), content_type="application/json"), 401, "api_key_required")
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("key", ["datilio_wrong", "x" * 5000, "\u00e9\u00e9", "a b c", "' OR 1=1 --"])
def test_a_key_that_is_not_ours(an_event, key):
    client = APIClient(headers={"authorization": f"Api-Key {key}"})
    problem(client.post(URL, an_event()), 401, "invalid_api_key")


def test_a_revoked_key(backend, api_key, an_event):
    assert backend.post(URL, an_event()).status_code == 201
    revoke_api_key(api_key[0], timezone.now())
    response = backend.post(URL, an_event(key="next"))
    problem(response, 401, "api_key_revoked")


def test_a_key_without_the_scope(backend, api_key, an_event):
    ApiKey.objects.update(scopes=["usage:read"])
    assert problem(backend.post(URL, an_event()), 403, "scope_missing")["scope"] == "usage:write"


def test_the_last_use_of_a_key_is_kept_to_the_minute(backend, api_key, an_event):
    row = api_key[0]
    backend.post(URL, an_event())
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    backend.post(URL, an_event())
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    backend.post(URL, an_event())
    row.refresh_from_db()
    assert row.last_used_at > first


def test_reading_events_here_is_not_a_thing(backend):
    response = backend.get(URL)
    problem(response, 405, "method_not_allowed")
    assert "POST" in response["Allow"]


def test_few_statements_an_event(backend, an_event, django_assert_max_num_queries):
    body = an_event()
    backend.post(URL, body)
    # API key, plan, savepoint of the test, counter, event, key, day, alerts, release. PostgreSQL: five of them are one.
    with django_assert_max_num_queries(5 if connection.vendor == "postgresql" else 9):
        backend.post(URL, body | {"key": "second"})
