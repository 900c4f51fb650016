"""Cards: made, attached, changed, detached."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}


def make(client, **card):
    return client.v1.payment_methods.create({"type": "card", "card": {**CARD, **card}})


def test_a_card_by_its_number(client):
    method = make(client)
    assert (method.card.brand, method.card.last4, method.card.exp_year) == ("visa", "4242", 2040)
    assert method.customer is None
    assert "4242424242424242" not in str(method)


@pytest.mark.parametrize(("number", "brand"), [("5555555555554444", "mastercard"), ("378282246310005", "amex")])
def test_the_brand_follows_the_number(client, number, brand):
    assert make(client, number=number).card.brand == brand


def test_a_card_by_token_or_name(client, ada):
    token = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    assert token.card.last4 == "4242"
    first = client.v1.payment_methods.attach("pm_card_mastercard", {"customer": ada.id})
    second = client.v1.payment_methods.attach("pm_card_mastercard", {"customer": ada.id})
    assert first.card.brand == "mastercard"
    assert first.id != second.id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"number": "4242"}, "incorrect_number"),
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2020}, "invalid_expiry_year"),
        ({"exp_year": 3000}, "invalid_expiry_year"),
        ({"cvc": "12"}, "invalid_cvc"),
        ({"cvc": "abc"}, "invalid_cvc"),
        ({"number": "4111111111111111"}, "card_declined"),
    ],
)
def test_impossible_details_are_a_card_error(stripe, client, change, code):
    with pytest.raises(stripe_sdk.CardError) as error:
        make(client, **change)
    assert error.value.code == code
    assert not stripe.objects("payment_method")


def test_attach_tells_and_lists(stripe, client, ada):
    method = client.v1.payment_methods.attach(make(client).id, {"customer": ada.id})
    assert method.customer == ada.id
    assert [m.id for m in client.v1.payment_methods.list({"customer": ada.id, "type": "card"}).data] == [method.id]
    assert client.v1.customers.payment_methods.retrieve(ada.id, method.id).id == method.id
    assert [event["type"] for event in stripe.events()][-1] == "payment_method.attached"


def test_a_bad_card_is_declined_at_attaching_but_not_the_dunning_card(stripe, client, ada):
    with pytest.raises(stripe_sdk.CardError):
        client.v1.payment_methods.attach(make(client, number="4000000000009995").id, {"customer": ada.id})
    assert client.v1.payment_methods.list({"customer": ada.id}).data == []
    dunning = make(client, number="4000000000000341")
    assert client.v1.payment_methods.attach(dunning.id, {"customer": ada.id}).customer == ada.id


def test_another_customers_card_stays_theirs(client, ada):
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": ada.id})
    bob = client.v1.customers.create({})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already been attached"):
        client.v1.payment_methods.attach(method.id, {"customer": bob.id})
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.customers.payment_methods.retrieve(bob.id, method.id)


def test_detach_takes_it_from_everything(stripe, client, ada, card_of_ada, subscription):
    method = subscription.default_payment_method
    detached = client.v1.payment_methods.detach(method)
    assert detached.customer is None
    types = [delivery.type for delivery in stripe.take_deliveries()]
    assert types == ["customer.subscription.updated", "payment_method.detached"]
    assert client.v1.subscriptions.retrieve(subscription.id).default_payment_method is None
    with pytest.raises(stripe_sdk.InvalidRequestError, match="may not be used again"):
        client.v1.payment_methods.attach(method, {"customer": ada.id})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="detachment is impossible"):
        client.v1.payment_methods.detach(method)


def test_update_changes_the_date_and_the_address(stripe, client, ada):
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": ada.id})
    changed = client.v1.payment_methods.update(
        method.id,
        {
            "card": {"exp_month": 5, "exp_year": 2041},
            "billing_details": {"name": "Ada", "address": {"country": "GB"}},
        },
    )
    assert (changed.card.exp_month, changed.card.exp_year) == (5, 2041)
    assert changed.billing_details.address.country == "GB"
    assert stripe.events("payment_method.updated")


def test_another_kind_than_a_card_is_not_emulated(http):
    data = {"type": "sepa_debit", "sepa_debit[iban]": "DE89370400440532013000"}
    assert "not emulated" in http.post("/v1/payment_methods", data=data).json()["error"]["message"]
