"""Customers: create, change, delete."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


def test_create_keeps_what_was_given(stripe, client):
    customer = client.v1.customers.create(
        {
            "email": "ada@example.com",
            "metadata": {"user": "7"},
            "address": {"country": "GB", "line1": "12 St James's Square"},
            "shipping": {"name": "Ada", "address": {"city": "London"}},
            "preferred_locales": ["en"],
        }
    )
    assert customer.address.country == "GB"
    assert customer.address.city is None
    assert customer.shipping.address.city == "London"
    assert customer.livemode is False
    [event] = stripe.events("customer.created")
    assert event["data"]["object"]["id"] == customer.id


def test_update_tells_what_changed(stripe, client, ada):
    client.v1.customers.update(ada.id, {"name": "Ada King", "metadata": {"a": "1"}})
    [event] = stripe.events("customer.updated")
    assert event["data"]["previous_attributes"] == {"metadata": {"a": None}, "name": "Ada Lovelace"}


def test_an_update_that_changes_nothing_makes_no_event(stripe, client, ada):
    client.v1.customers.update(ada.id, {"name": "Ada Lovelace"})
    assert not stripe.events("customer.updated")


def test_a_deleted_customer_stays_retrievable(stripe, client, ada):
    assert client.v1.customers.delete(ada.id).deleted is True
    shown = client.v1.customers.retrieve(ada.id)
    assert shown.to_dict() == {"id": ada.id, "object": "customer", "deleted": True}
    [event] = stripe.events("customer.deleted")
    assert event["data"]["object"]["email"] == "ada@example.com"


def test_a_deleted_customer_cannot_be_changed_or_deleted_again(client, ada):
    client.v1.customers.delete(ada.id)
    for call in (
        lambda: client.v1.customers.update(ada.id, {"name": "x"}),
        lambda: client.v1.customers.delete(ada.id),
    ):
        with pytest.raises(stripe_sdk.InvalidRequestError) as error:
            call()
        assert error.value.user_message == f"No such customer: '{ada.id}'"
        assert error.value.http_status == 404


def test_deleting_a_customer_cancels_the_subscription(stripe, client, ada, subscription):
    client.v1.customers.delete(ada.id)
    assert [delivery.type for delivery in stripe.take_deliveries()] == [
        "customer.subscription.deleted",
        "customer.subscription.updated",  # its card is gone
        "customer.deleted",
    ]
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


@pytest.mark.parametrize("email", ["nobody", "a b@example.com", "@example.com", "a@"])
def test_an_address_that_is_none_is_refused(http, email):
    error = http.post("/v1/customers", data={"email": email}).json()["error"]
    assert (error["code"], error["param"]) == ("email_invalid", "email")


def test_the_default_payment_method_must_be_attached(client, ada, card_of_ada):
    loose = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    params = {"invoice_settings": {"default_payment_method": loose.id}}
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.customers.update(ada.id, params)
    assert error.value.code == "resource_missing"
    client.v1.payment_methods.attach(loose.id, {"customer": ada.id})
    assert client.v1.customers.update(ada.id, params).invoice_settings.default_payment_method == loose.id


def test_a_customer_can_be_born_with_a_card(stripe, client):
    customer = client.v1.customers.create({"payment_method": "pm_card_visa", "email": "x@example.com", "name": "X"})
    [card] = client.v1.customers.payment_methods.list(customer.id).data
    assert card.card.brand == "visa"
    assert [event["type"] for event in stripe.events()] == ["customer.created", "payment_method.attached"]
