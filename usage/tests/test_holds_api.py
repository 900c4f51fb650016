"""POST /api/usage/holds, /holds/{id}/settle, /holds/{id}/release."""

import pytest
from rest_framework.test import APIClient

from usage.api_keys import make_api_key
from usage.models import UsageCounter, UsageHold

URL = "/api/usage/holds"


@pytest.fixture
def a_hold(an_event, alice):
    def body(**changes):
        return {"user_id": alice.pk, "feature": "ai_prompt", "amount": 1, "key": "h"} | changes

    return body


def code(response, status):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return response.json()["code"]


def test_the_header_may_carry_the_key(backend, a_hold):
    """As for an event."""
    body = a_hold()
    del body["key"]
    made = backend.post(URL, body, headers={"idempotency-key": "h"})
    again = backend.post(URL, body | {"key": "h"}, headers={"idempotency-key": "h"})
    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    assert code(backend.post(URL, a_hold(), headers={"idempotency-key": "other"}), 400) == "invalid_input"


def test_hold_and_settle(backend, a_hold):
    response = backend.post(URL, a_hold(tokens=1000, model="m", expires_in=60))
    assert response.status_code == 201, response.content
    hold = response.json()["hold"]
    assert (hold["feature"], hold["amount"], hold["tokens"], hold["state"]) == ("ai_prompt", 1, 1000, "open")
    assert hold["expires_at"].endswith("Z")
    again = backend.post(URL, a_hold(tokens=1000, model="m", expires_in=60))
    assert (again.status_code, again.json()["hold"]) == (200, hold)

    settled = backend.post(f"{URL}/{hold['id']}/settle", {"amount": 1, "tokens": 70})
    assert settled.status_code == 200
    usage = settled.json()["usage"]
    assert [(event["feature"], event["amount"]) for event in usage] == [("ai_prompt", 1), ("ai_token", 70)]
    assert backend.post(f"{URL}/{hold['id']}/settle", {"amount": 1, "tokens": 70}).json() == settled.json()
    assert code(backend.post(f"{URL}/{hold['id']}/settle", {"amount": 1, "tokens": 71}), 409) == "hold_is_settled"
    assert code(backend.post(f"{URL}/{hold['id']}/release"), 409) == "hold_is_settled"


def test_release(backend, a_hold):
    hold = backend.post(URL, a_hold()).json()["hold"]
    response = backend.post(f"{URL}/{hold['id']}/release")
    assert (response.status_code, response.json()["hold"]["state"]) == (200, "released")
    assert backend.post(f"{URL}/{hold['id']}/release").status_code == 200
    assert UsageCounter.objects.get().held == 0
    assert code(backend.post(f"{URL}/{hold['id']}/settle", {"amount": 1}), 409) == "hold_is_released"


def test_no_room(backend, a_hold):
    document = backend.post(URL, a_hold(amount=4))
    assert code(document, 402) == "limit_exceeded"
    assert document.json()["upgrade_url"].endswith("/pricing")


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field in ("amount", "tokens", "expires_in") for value in (None, "5", True, 0, -1, 1.5, 10**13)]
    + [("expires_in", 3601), ("key", ""), ("key", "a\nb"), ("feature", "cpu"), ("surprise", 1), ("user_id", 0)]
    + [("tokens", [1]), ("model", "")],
)
def test_a_hold_that_is_wrong(backend, a_hold, field, value):
    response = backend.post(URL, a_hold(**{field: value}))
    assert code(response, 400) == "invalid_input"
    assert list(response.json()["errors"]) == [field]
    assert not UsageHold.objects.exists()


@pytest.mark.parametrize("body", [{}, {"amount": None}, {"amount": -1}, {"amount": True}, {"amount": 1, "x": 1}])
def test_a_settlement_that_is_wrong(backend, a_hold, body):
    hold = backend.post(URL, a_hold()).json()["hold"]
    assert code(backend.post(f"{URL}/{hold['id']}/settle", body), 400) == "invalid_input"
    assert UsageHold.objects.get().state == "open"


def test_a_hold_that_is_not_there_or_not_theirs(backend, a_hold):
    hold = backend.post(URL, a_hold()).json()["hold"]
    for hold_id in (0, hold["id"] + 1, 2**63, 10**40):
        assert code(backend.post(f"{URL}/{hold_id}/release"), 404) == "hold_not_found"
    other = APIClient(headers={"authorization": f"Api-Key {make_api_key('other', ['usage:write'])[1]}"})
    assert code(other.post(f"{URL}/{hold['id']}/settle", {"amount": 1}), 404) == "hold_not_found"


@pytest.mark.parametrize("path", ["", "/1/settle", "/1/release"])
def test_only_with_a_key(client, db, path):
    assert code(client.post(URL + path, {}, content_type="application/json"), 401) == "api_key_required"
