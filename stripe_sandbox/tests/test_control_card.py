"""POST /_sandbox/customers/{id}/card: another card takes the place of the default."""

from __future__ import annotations

import pytest


def test_the_subscriptions_card_of_checkout_is_swapped(stripe, http, client, ada, subscription):
    answer = http.post(f"/_sandbox/customers/{ada.id}/card", json={"card": "4000000000000341"})
    assert answer.status_code == 200
    assert stripe.sandbox.contract.response_errors(answer.json()) == []
    swapped = client.v1.subscriptions.retrieve(subscription.id).default_payment_method
    assert client.v1.payment_methods.retrieve(swapped).card.last4 == "0341"
    assert client.v1.customers.retrieve(ada.id).invoice_settings.default_payment_method is None
    assert [event["type"] for event in stripe.events()][-2:] == [
        "payment_method.attached",
        "customer.subscription.updated",
    ]


def test_the_customers_default_is_swapped(stripe, http, client, ada, card_of_ada):
    card_of_ada("pm_card_visa")
    http.post(f"/_sandbox/customers/{ada.id}/card", json={"card": "4000000000000341"})
    default = client.v1.customers.retrieve(ada.id).invoice_settings.default_payment_method
    assert client.v1.payment_methods.retrieve(default).card.last4 == "0341"


def test_a_customer_without_a_card_gets_one(client, http, ada):
    http.post(f"/_sandbox/customers/{ada.id}/card", json={"card": "4242424242424242"})
    assert client.v1.customers.retrieve(ada.id).invoice_settings.default_payment_method


@pytest.mark.parametrize("body", [{}, {"card": 4242}, {"card": "1234"}, {"card": "4111111111111111"}])
def test_only_test_cards(http, ada, body):
    assert http.post(f"/_sandbox/customers/{ada.id}/card", json=body).status_code == 400


def test_an_unknown_customer(http):
    assert http.post("/_sandbox/customers/cus_x/card", json={"card": "4242424242424242"}).status_code == 404


def test_the_words_of_the_fixture(stripe, client, ada, subscription):
    stripe.card_starts_failing(ada)
    method = client.v1.subscriptions.retrieve(subscription.id).default_payment_method
    assert client.v1.payment_methods.retrieve(method).card.last4 == "0341"
    stripe.card_works_again(ada.id)
    method = client.v1.subscriptions.retrieve(subscription.id).default_payment_method
    assert client.v1.payment_methods.retrieve(method).card.last4 == "4242"
