"""What stripe_sandbox.testing promises to test suites."""

from __future__ import annotations

import time

import httpx
import pytest
import stripe as stripe_sdk

from stripe_sandbox.sandbox import Exchange
from stripe_sandbox.testing import Recorder


def test_reset_forgets_everything_in_milliseconds(stripe, subscription):
    started = time.perf_counter()
    stripe.reset()
    assert time.perf_counter() - started < 1
    for kind in ("customer", "subscription", "event", "webhook_endpoint"):
        assert stripe.objects(kind) == []
    assert stripe.take_deliveries() == []
    assert len(stripe.objects("account")) == 1


def test_what_a_client_did_not_wait_for_is_not_done_after_a_reset(stripe, exchanges):
    stripe.latency = 0.3
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{stripe.url}/v1/customers", auth=(stripe.secret_key, ""), timeout=0.1)
    stripe.reset()
    assert [exchange.path for exchange in exchanges] == ["/v1/customers"]
    assert stripe.objects("customer") == []


def test_taken_deliveries_verify_and_come_once(stripe, client):
    client.v1.customers.create({})
    [delivery] = stripe.take_deliveries()
    event = stripe_sdk.Webhook.construct_event(
        delivery.body, delivery.headers["Stripe-Signature"], stripe.webhook_secret
    )
    assert (event.type, delivery.type, event.id) == (
        "customer.created",
        "customer.created",
        delivery.event["id"],
    )
    assert stripe.take_deliveries() == []


def test_an_event_can_be_signed_again(stripe, client):
    client.v1.customers.create({})
    [event] = stripe.events("customer.created")
    body, headers = stripe.signed(event)
    stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], stripe.webhook_secret)


def test_get_knows_every_object(stripe, subscription):
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["unit_amount"] == 2900
    with pytest.raises(KeyError):
        stripe.get("sub_nothing")


def test_the_recorder_finds_what_breaks_the_contract():
    recorder = Recorder()
    recorder.exchange(Exchange("GET", "/v1/customers/cus_1", [], 200, {"id": "cus_1", "object": "customer"}))
    assert any("is a required property" in problem for problem in recorder.problems)
    recorder = Recorder()
    recorder.exchange(Exchange("POST", "/v1/customers", [("nonsense", "1")], 200, {"object": "list", "data": []}))
    assert "accepted in spite of" in recorder.problems[0]
    recorder = Recorder()
    recorder.exchange(Exchange("GET", "/v1/x", [], 404, {"error": {"type": "made_up"}}))
    assert recorder.problems
    recorder = Recorder()
    recorder.exchange(Exchange("GET", "/v1/x", [], 404, {"error": {"type": "api_error", "code": "made_up"}}))
    assert "no error code" in recorder.problems[0]
    recorder.event({"object": "event", "type": "nonsense", "data": {"object": {"object": "customer"}}})
    assert len(recorder.problems) > 2
    assert "violations" in recorder.summary()
