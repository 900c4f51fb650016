"""Rolling an endpoint's secret: two signatures for a while, then one."""

from __future__ import annotations

import time

import pytest
import stripe as stripe_sdk

from .receiver import eventually


@pytest.fixture
def endpoint(client, receiver):
    return client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["customer.created"]})


def verifies(body, headers, secret):
    try:
        stripe_sdk.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    except stripe_sdk.SignatureVerificationError:
        return False
    return True


def test_both_secrets_verify_while_it_rolls(http, client, receiver, endpoint):
    before = int(time.time())
    rolled = http.post(f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json={"expire_seconds": 600}).json()
    assert rolled["secret"].startswith("whsec_") and rolled["secret"] != endpoint.secret
    assert before <= rolled["former_secret_valid_until"] - 600 <= time.time()
    client.v1.customers.create({})
    receiver.wait_for(1)
    _, headers, body = receiver.received[0]
    assert headers["Stripe-Signature"].count("v1=") == 2
    assert verifies(body, headers, endpoint.secret)
    assert verifies(body, headers, rolled["secret"])


def test_the_former_secret_ends(stripe, client, receiver, endpoint):
    secret = stripe.roll_webhook_secret(endpoint.id, expire_seconds=0)
    client.v1.customers.create({})
    receiver.wait_for(1)
    _, headers, body = receiver.received[0]
    assert headers["Stripe-Signature"].count("v1=") == 1
    assert verifies(body, headers, secret)
    assert not verifies(body, headers, endpoint.secret)


@pytest.mark.parametrize("seconds", [-1, 8 * 86400, "1", True])
def test_not_for_longer_than_a_week(http, endpoint, seconds):
    path = f"/_sandbox/webhook_endpoints/{endpoint.id}/roll"
    assert http.post(path, json={"expire_seconds": seconds}).status_code == 400
    assert http.post("/_sandbox/webhook_endpoints/we_x/roll").status_code == 404


def test_a_retry_is_signed_with_the_secret_of_its_time(stripe, client, receiver, endpoint):
    receiver.answers = [500]
    client.v1.customers.create({})
    receiver.wait_for(1)
    secret = stripe.roll_webhook_secret(endpoint.id, expire_seconds=0)
    receiver.wait_for(2)
    eventually(lambda: stripe.deliveries[0]["state"] == "delivered")
    _, headers, body = receiver.received[1]
    assert verifies(body, headers, secret)


def test_a_deleted_endpoint_gets_nothing_more(stripe, client, receiver, endpoint):
    stripe.deliveries.hold()
    client.v1.customers.create({})
    client.v1.webhook_endpoints.delete(endpoint.id)
    stripe.deliveries.release()
    eventually(lambda: stripe.deliveries[0]["state"] == "failed")
    assert receiver.received == []
