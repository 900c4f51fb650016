"""Authentication, version and request ids: the headers of every call."""

from __future__ import annotations

import base64
import re

import httpx
import pytest

from stripe_sandbox import API_VERSION
from stripe_sandbox.sandbox import DEFAULT_SECRET_KEY


def test_the_default_key_is_one_that_djstripe_accepts():
    assert re.fullmatch(r"(pk|sk|rk)_(test|live)_[a-zA-Z0-9]{24,}", DEFAULT_SECRET_KEY)


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        (None, "You did not provide an API key"),
        ("Bearer", "You did not provide an API key"),
        ("Basic !!!", "You did not provide an API key"),
        ("Bearer sk_test_wrongwrongwrongwrongwrong", "Invalid API Key provided: sk_test_***"),
        ("Bearer \u00e9", "Invalid API Key provided"),
    ],
)
def test_a_wrong_key_is_401(stripe, authorization, says):
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    answer = httpx.get(f"{stripe.url}/v1/customers", headers=headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(says)
    assert "wrongwrongwrong" not in error["message"]
    assert "WWW-Authenticate" in answer.headers


def test_the_key_may_be_the_user_name_of_basic_authentication(stripe):
    credentials = base64.b64encode(f"{stripe.secret_key}:".encode()).decode()
    answer = httpx.get(f"{stripe.url}/v1/customers", headers={"Authorization": f"Basic {credentials}"})
    assert answer.status_code == 200


def test_every_answer_has_its_own_request_id(http):
    first, second = http.get("/v1/customers"), http.get("/v1/nothing")
    assert re.fullmatch(r"req_\w{14}", first.headers["Request-Id"])
    assert first.headers["Request-Id"] != second.headers["Request-Id"]
    assert second.headers["Request-Id"] in second.json()["error"]["request_log_url"]


def test_the_version_is_echoed_and_defaults_to_the_accounts(http):
    assert http.get("/v1/customers").headers["Stripe-Version"] == API_VERSION
    older = http.get("/v1/customers", headers={"Stripe-Version": "2026-05-27.dahlia"})
    assert older.headers["Stripe-Version"] == "2026-05-27.dahlia"


@pytest.mark.parametrize("version", ["2023-10-16", "2025-03-31.basil", "nonsense"])
def test_a_version_whose_shapes_are_not_emulated_is_refused(http, version):
    answer = http.get("/v1/customers", headers={"Stripe-Version": version})
    assert answer.status_code == 400
    assert version in answer.json()["error"]["message"]
