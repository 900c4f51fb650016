"""Chaos on the API's side: each switch alone, with stripe-python where its retries matter."""

from __future__ import annotations

import time

import httpx
import pytest
import stripe as stripe_sdk


def test_rate_limited(stripe, client):
    stripe.chaos(rate_limited=1)
    with pytest.raises(stripe_sdk.RateLimitError) as error:
        client.v1.customers.create({})
    assert (error.value.http_status, error.value.error.code) == (429, "rate_limit")
    assert error.value.error.type == "invalid_request_error"
    assert error.value.headers["stripe-rate-limited-reason"] == "global-rate"
    stripe.heal()
    assert stripe.objects("customer") == []
    client.v1.customers.create({})


def test_a_429_is_not_remembered_by_its_key(stripe, http):
    key = {"Idempotency-Key": "k"}
    stripe.chaos(rate_limited=1)
    assert http.post("/v1/customers", headers=key).status_code == 429
    stripe.heal()
    answer = http.post("/v1/customers", headers=key)
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (200, False)


def test_a_wrong_key_is_401_whatever_the_chaos(stripe):
    stripe.chaos(rate_limited=1)
    assert httpx.get(f"{stripe.url}/v1/customers", headers={"Authorization": "Bearer x"}).status_code == 401


def test_server_error_changes_nothing_and_its_key_replays_it(stripe, http):
    key = {"Idempotency-Key": "k"}
    stripe.chaos(server_error=1)
    first = http.post("/v1/customers", headers=key)
    assert (first.status_code, first.json()["error"]["type"]) == (500, "api_error")
    assert stripe.objects("customer") == []
    stripe.heal()
    again = http.post("/v1/customers", headers=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert http.post("/v1/customers").status_code == 200


def test_no_answer_does_nothing(stripe, http):
    stripe.chaos(no_answer=1)
    with pytest.raises(httpx.TransportError):
        http.post("/v1/customers")
    stripe.heal()
    assert stripe.objects("customer") == []


@pytest.mark.slow
def test_slow_answers_late_but_does_it(stripe, http):
    stripe.chaos(slow=1, slow_seconds=0.3)
    started = time.monotonic()
    assert http.post("/v1/customers").status_code == 200
    assert time.monotonic() - started >= 0.3


def test_a_client_that_gives_up_on_a_slow_answer_meets_its_own_key(stripe, http):
    stripe.chaos(slow=1, slow_seconds=0.6)
    key = {"Idempotency-Key": "given-up"}  # its own: it stays in flight beyond this test
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/customers", headers=key, timeout=0.1)
    assert http.post("/v1/customers", headers=key).status_code == 409
    assert len(stripe.objects("customer")) == 1
    stripe.heal()


def test_die_after_write_has_done_it_and_a_retry_replays(stripe, http):
    stripe.chaos(die_after_write=1)
    key = {"Idempotency-Key": "k"}
    with pytest.raises(httpx.TransportError):
        http.post("/v1/customers", data={"name": "Ada"}, headers=key)
    assert [customer["name"] for customer in stripe.objects("customer")] == ["Ada"]
    assert http.get("/v1/customers").status_code == 200  # nothing was written: reading goes on
    stripe.heal()
    again = http.post("/v1/customers", data={"name": "Ada"}, headers=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == stripe.objects("customer")[0]["id"]
    assert len(stripe.objects("customer")) == 1


@pytest.mark.slow
def test_stripe_python_heals_a_death_by_its_own_retry(stripe):
    """The SDK sends the same Idempotency-Key again: one customer, whatever died."""
    client = stripe_sdk.StripeClient(stripe.secret_key, base_addresses={"api": stripe.url}, max_network_retries=5)
    stripe.chaos(seed=3, die_after_write=0.5)
    made = [client.v1.customers.create({"name": str(n)}).id for n in range(8)]
    assert stripe.sandbox.chaos.history()
    assert [customer["id"] for customer in stripe.objects("customer")] == made


def test_the_rate_limit_of_a_stripe_sandbox(stripe, http):
    assert {http.get("/v1/account").status_code for _ in range(40)} == {200}  # off by default
    stripe.chaos(requests_per_second=25)
    statuses = [http.get("/v1/account").status_code for _ in range(40)]
    assert statuses[:25] == [200] * 25
    assert 429 in statuses[25:]
    stripe.heal()
    assert http.get("/v1/account").status_code == 200


def test_an_unknown_url_has_no_fate(stripe, http):
    stripe.chaos(no_answer=1)
    assert http.get("/v1/nothing").status_code == 404


def test_a_keyed_request_that_hits_every_answer(stripe, client):
    """An application survives 429, silence and deaths together with one key and its own retries."""
    stripe.chaos(seed=11, rate_limited=0.3, no_answer=0.2, die_after_write=0.3)
    for number in range(5):
        for _ in range(30):
            try:
                client.v1.customers.create({"name": str(number)}, {"idempotency_key": f"signup-{number}"})
                break
            except (stripe_sdk.RateLimitError, stripe_sdk.APIConnectionError):
                continue
    stripe.heal()
    assert [customer["name"] for customer in stripe.objects("customer")] == list("01234")
