"""What stripe-python repeats by itself, seen from the server: connection errors, 409 and 5xx, not 429, not 400."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import stripe as stripe_sdk


@pytest.fixture
def sdk(stripe) -> stripe_sdk.StripeClient:
    """stripe-python with the two retries that applications give it."""
    return stripe_sdk.StripeClient(stripe.secret_key, base_addresses={"api": stripe.url}, max_network_retries=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "call", "statuses"),
    [
        ({"server_error": 1}, lambda v1: v1.customers.list(), [500, 500, 500]),
        ({"rate_limited": 1}, lambda v1: v1.customers.list(), [429]),
        ({}, lambda v1: v1.customers.retrieve("cus_nobody"), [404]),
        ({}, lambda v1: v1.customers.list({"limit": 101}), [400]),
    ],
)
def test_which_answers_it_repeats(
    stripe, sdk, exchanges, switches: dict[str, float], call: Callable[[Any], Any], statuses: list[int]
):
    stripe.chaos(**switches)
    with pytest.raises(stripe_sdk.StripeError):
        call(sdk.v1)
    assert [exchange.status for exchange in exchanges] == statuses


@pytest.mark.slow
def test_a_500_to_a_post_is_replayed_to_its_retries(stripe, sdk, exchanges):
    """Every retry carries the same key, so it gets the same 500: what failed at Stripe is not tried again there."""
    stripe.chaos(server_error=1)
    with pytest.raises(stripe_sdk.APIError) as error:
        sdk.v1.customers.create({})
    assert [exchange.status for exchange in exchanges] == [500, 500, 500]
    assert error.value.headers["idempotent-replayed"] == "true"


@pytest.mark.slow
def test_a_409_is_repeated_until_the_first_is_through(stripe, sdk, exchanges):
    stripe.latency = 0.2
    options = {"idempotency_key": "one"}
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(sdk.v1.customers.create({"name": "Ada"}, options)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert len({customer.id for customer in made}) == 1
    assert 409 in [exchange.status for exchange in exchanges]
    assert len(stripe.objects("customer")) == 1


def test_the_sdk_adds_a_key_of_its_own_to_every_post(stripe, sdk):
    sdk.v1.customers.create({})
    [event] = stripe.events("customer.created")
    assert len(event["request"]["idempotency_key"]) == 36  # a UUID
