"""Webhooks: signed, in order, tried again, on record."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest
import stripe as stripe_sdk

from stripe_sandbox import deliveries

from .receiver import eventually


def test_events_arrive_signed_and_in_order(stripe, checkout, receiver):
    session = checkout()
    stripe.register_webhook(receiver.url)
    stripe.pay(session.id)
    receiver.wait_for(12)
    assert receiver.types == [event["type"] for event in stripe.events()][-12:]
    for _, headers, body in receiver.received:
        stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], stripe.webhook_secret)
    event = receiver.received[0][0]
    assert event["api_version"] == "2026-08-26.dahlia"
    assert event["pending_webhooks"] == 1


def test_what_is_posted_is_the_event_and_its_signature(stripe, http, receiver):
    """Worked out anew from the documentation, without the SDK and without our own `sign`."""
    stripe.register_webhook(receiver.url)
    before = int(time.time())
    answer = http.post("/v1/customers", data={"name": "x"}, headers={"Idempotency-Key": "k"})
    receiver.wait_for(1)
    event, headers, body = receiver.received[0]
    assert set(event) == {
        "id", "object", "api_version", "created", "data", "livemode", "pending_webhooks", "request", "type",
    }  # fmt: skip
    assert (event["object"], event["type"], event["livemode"]) == ("event", "customer.created", False)
    assert event["data"] == {"object": answer.json()}
    assert event["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "k"}
    stamp, signature = (part.split("=", 1) for part in headers["Stripe-Signature"].split(","))
    assert (stamp[0], signature[0]) == ("t", "v1")
    assert before <= int(stamp[1]) <= time.time()
    signed = hmac.new(stripe.webhook_secret.encode(), stamp[1].encode() + b"." + body, hashlib.sha256)
    assert signature[1] == signed.hexdigest()
    assert headers["Content-Type"].startswith("application/json")


def test_an_update_tells_what_was_before(stripe, client, ada, receiver):
    stripe.register_webhook(receiver.url)
    client.v1.customers.update(ada.id, {"name": "Countess", "metadata": {"a": "b"}})
    receiver.wait_for(1)
    data = receiver.received[0][0]["data"]
    assert data["previous_attributes"] == {"name": "Ada Lovelace", "metadata": {"a": None}}
    assert (data["object"]["name"], data["object"]["metadata"]) == ("Countess", {"a": "b"})


@pytest.mark.slow
def test_an_answer_that_does_not_come_is_a_failed_attempt(stripe, client, receiver, monkeypatch):
    monkeypatch.setattr(deliveries, "TIMEOUT_SECONDS", 0.2)
    stripe.register_webhook(receiver.url)
    receiver.hold.clear()
    client.v1.customers.create({})
    eventually(lambda: stripe.deliveries[0]["attempts"])
    receiver.hold.set()
    assert "timed out" in stripe.deliveries[0]["attempts"][0]["error"].lower()
    eventually(lambda: stripe.deliveries[0]["state"] == "delivered")


def test_a_redirect_is_not_followed(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    receiver.answers = [307, 307, 307]
    client.v1.customers.create({})
    eventually(lambda: stripe.deliveries[0]["state"] == "failed")
    assert len(receiver.received) == 3  # to the endpoint itself, none to where it pointed


def test_a_wrong_secret_does_not_verify(stripe):
    body, headers = stripe.signed({"id": "evt_1", "object": "event"})
    with pytest.raises(stripe_sdk.SignatureVerificationError):
        stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_other")


def test_a_delivery_does_not_hold_up_the_answer_that_caused_it(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    receiver.hold.clear()  # the application will not take webhooks until its call has returned
    client.v1.customers.create({"name": "x"})
    client.v1.customers.create({"name": "y"})
    assert not receiver.received
    receiver.hold.set()
    receiver.wait_for(2)


@pytest.mark.parametrize("status", [500, 400, 302])
def test_anything_but_2xx_is_tried_again_with_a_fresh_signature(stripe, client, receiver, status):
    stripe.register_webhook(receiver.url)
    receiver.answers = [status, status, 200]
    client.v1.customers.create({})
    receiver.wait_for(3)
    assert len({event["id"] for event, _, _ in receiver.received}) == 1
    eventually(lambda: stripe.deliveries[0]["state"] == "delivered")
    attempts = stripe.deliveries[0]["attempts"]
    assert [attempt["status"] for attempt in attempts] == [status, status, 200]
    first, second, third = (attempt["at"] for attempt in attempts)
    assert third - second > second - first > 0.05


def test_it_gives_up_after_three_attempts(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    receiver.answers = [500, 500, 500]
    client.v1.customers.create({})
    eventually(lambda: stripe.deliveries[0]["state"] == "failed")
    assert len(receiver.received) == 3
    [event] = client.v1.events.list({"delivery_success": False}).data
    assert event.pending_webhooks == 1


def test_a_retry_does_not_hold_up_later_events(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    receiver.answers = [500]
    client.v1.customers.create({"name": "a"})
    client.v1.customers.create({"name": "b"})
    receiver.wait_for(3)
    assert [event["data"]["object"]["name"] for event, _, _ in receiver.received] in (
        ["a", "b", "a"],
        ["a", "a", "b"],
    )


def test_nobody_there_is_a_failed_attempt(stripe, client):
    stripe.register_webhook("http://127.0.0.1:1/webhook")
    client.v1.customers.create({})
    eventually(lambda: stripe.deliveries[0]["state"] == "failed")
    assert "refused" in stripe.deliveries[0]["attempts"][0]["error"].lower()


def test_a_delivery_can_be_sent_again(stripe, client, http, receiver):
    stripe.register_webhook(receiver.url)
    client.v1.customers.create({})
    receiver.wait_for(1)
    eventually(lambda: stripe.deliveries[0]["state"] == "delivered")
    delivery = stripe.deliveries[0]["id"]
    answer = http.post(f"/_sandbox/deliveries/{delivery}/redeliver")
    assert answer.status_code == 200
    receiver.wait_for(2)
    assert receiver.received[0][0]["id"] == receiver.received[1][0]["id"]
    assert http.post("/_sandbox/deliveries/whd_nothing/redeliver").status_code == 404


def test_paused_they_queue_and_are_sent_afterwards(stripe, client, http, receiver):
    stripe.register_webhook(receiver.url)
    assert http.post("/_sandbox/webhooks", json={"paused": True}).json() == {"paused": True}
    client.v1.customers.create({})
    client.v1.customers.create({})
    time.sleep(0.1)
    assert not receiver.received
    assert [delivery["state"] for delivery in stripe.deliveries] == ["pending", "pending"]
    http.post("/_sandbox/webhooks", json={"paused": False})
    receiver.wait_for(2)


def test_an_endpoint_gets_only_what_it_wants(stripe, client, receiver):
    stripe.register_webhook(receiver.url, ["product.created"])
    client.v1.customers.create({})
    client.v1.products.create({"name": "x"})
    receiver.wait_for(1)
    assert receiver.types == ["product.created"]
    assert len(stripe.deliveries) == 1


def test_endpoints_through_the_api_have_their_own_secrets(stripe, client, receiver):
    endpoint = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in client.v1.webhook_endpoints.retrieve(endpoint.id)
    client.v1.customers.create({})
    receiver.wait_for(1)
    _, headers, body = receiver.received[0]
    stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], endpoint.secret)

    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    assert client.v1.webhook_endpoints.retrieve(endpoint.id).status == "disabled"
    client.v1.customers.create({})
    assert len(stripe.deliveries) == 1
    client.v1.webhook_endpoints.delete(endpoint.id)
    assert client.v1.webhook_endpoints.list().data == []


@pytest.mark.parametrize("url", ["ftp://x/y", "no-scheme", "http://", "http://x:99999/", "http://\u00fc/"])
def test_an_endpoint_needs_a_real_url(http, url):
    answer = http.post("/v1/webhook_endpoints", data={"url": url, "enabled_events[0]": "*"})
    assert answer.json()["error"]["code"] == "url_invalid"


def test_a_rolled_back_request_sends_nothing(stripe, client, ada, pro, card_of_ada, receiver):
    card_of_ada("pm_card_chargeCustomerFail")
    stripe.register_webhook(receiver.url)
    with pytest.raises(stripe_sdk.CardError):
        client.v1.subscriptions.create(
            {"customer": ada.id, "items": [{"price": pro.id}], "payment_behavior": "error_if_incomplete"}
        )
    assert stripe.deliveries == []
