"""/_sandbox: for scripts on this machine, and for nobody else."""

from __future__ import annotations

import httpx
import pytest

from stripe_sandbox.tests.in_process import status_for


def test_pay_answers_with_the_completed_session(stripe, http, checkout):
    answer = http.post(f"/_sandbox/checkout/{checkout().id}/pay", json={"card": "4242424242424242"})
    assert answer.status_code == 200
    session = answer.json()
    assert (session["status"], session["payment_status"]) == ("complete", "paid")
    assert stripe.sandbox.contract.response_errors(session) == []


def test_pay_needs_no_body_and_no_key(stripe, checkout):
    assert httpx.post(f"{stripe.url}/_sandbox/checkout/{checkout().id}/pay").status_code == 200


def test_a_decline_is_402_with_the_reason(http, checkout):
    session = checkout()
    answer = http.post(f"/_sandbox/checkout/{session.id}/pay", json={"card": "4000000000009995"})
    assert answer.status_code == 402
    assert answer.json()["error"]["decline_code"] == "insufficient_funds"
    assert http.post(f"/_sandbox/checkout/{session.id}/pay", json={}).status_code == 200


def test_the_challenge_may_fail(http, checkout):
    body = {"card": "4000002760003184", "challenge": "fail"}
    answer = http.post(f"/_sandbox/checkout/{checkout().id}/pay", json=body)
    assert answer.json()["error"]["code"] == "payment_intent_authentication_failure"


def test_cancel_leaves_the_session_open(http, checkout):
    assert http.post(f"/_sandbox/checkout/{checkout().id}/cancel").json()["status"] == "open"


def test_an_unknown_session_is_404(http):
    for action in ("pay", "cancel"):
        assert http.post(f"/_sandbox/checkout/cs_test_nothing/{action}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("checkout/{id}/pay", {"card": 4242}),
        ("checkout/{id}/pay", {"challenge": "maybe"}),
        ("checkout/{id}/pay", [1]),
        ("webhooks", {}),
        ("webhooks", {"paused": "yes"}),
    ],
)
def test_a_wrong_body_is_400(http, checkout, path, body):
    assert http.post(f"/_sandbox/{path.format(id=checkout().id)}", json=body).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 5000, b"nonsense"])
def test_what_is_no_json_is_400(http, content):
    headers = {"Content-Type": "application/json"}
    assert http.post("/_sandbox/webhooks", content=content, headers=headers).status_code == 400


def test_a_form_is_415_and_a_huge_body_413(http):
    assert http.post("/_sandbox/webhooks", data={"paused": "true"}).status_code == 415
    assert http.post("/_sandbox/webhooks", json={"x": "y" * 20_000}).status_code == 413


@pytest.mark.parametrize("host", ["evil.example", "evil.example:12111", "127.0.0.1.evil.example", "localhost.x", ""])
def test_another_host_name_is_refused(http, host):
    assert http.get("/_sandbox/health", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:12111", "127.0.0.1:1", "[::1]", "[::1]:12111"])
def test_names_of_this_machine_are_served(http, host):
    assert http.get("/_sandbox/health", headers={"Host": host}).json()["status"] == "ok"


def test_a_web_page_is_refused(http):
    headers = {"Origin": "http://localhost:3000"}
    assert http.post("/_sandbox/webhooks", json={"paused": True}, headers=headers).status_code == 403


@pytest.mark.parametrize("address", ["203.0.113.9", "::2", "not an address"])
def test_another_machine_is_refused(stripe, address):
    assert status_for(stripe, address, "/_sandbox/health") == 403


def test_reset_must_be_allowed(stripe, http, ada):
    stripe.sandbox.settings.allow_reset = False
    try:
        assert http.post("/_sandbox/reset").status_code == 403
        assert stripe.objects("customer")
    finally:
        stripe.sandbox.settings.allow_reset = True
    assert http.post("/_sandbox/reset").status_code == 200
    assert not stripe.objects("customer")


@pytest.mark.parametrize("limit", ["0", "x", "1001", "9" * 5000])
def test_the_listing_has_a_limit(http, limit):
    assert http.get("/_sandbox/deliveries", params={"limit": limit}).status_code == 400
