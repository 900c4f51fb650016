"""A customer's balance: negative is credit for the next invoice, positive is owed with it."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR = 3600


@pytest.fixture
def adjust(client, ada):
    """Change Ada's balance by hand."""

    def change(amount, **params):
        wish = {"amount": amount, "currency": "usd", **params}
        return client.v1.customers.balance_transactions.create(ada.id, wish)

    return change


@pytest.fixture
def subscribe(client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")

    def make(**params):
        items = [{"price": pro.id}]
        wish = {"customer": ada.id, "items": items, "expand": ["latest_invoice"], **params}
        return client.v1.subscriptions.create(wish)

    return make


def balance(client, ada):
    return client.v1.customers.retrieve(ada.id).balance


def history(client, ada):
    """[(type, amount, ending_balance)], oldest first."""
    found = client.v1.customers.balance_transactions.list(ada.id).data
    return [(one.type, one.amount, one.ending_balance) for one in reversed(found)]


def test_credit_pays_a_part_of_the_next_invoice(client, ada, adjust, subscribe):
    adjust(-1000, description="Sorry")
    invoice = subscribe().latest_invoice
    assert (invoice.total, invoice.starting_balance, invoice.ending_balance) == (2900, -1000, 0)
    assert (invoice.amount_due, invoice.amount_paid) == (1900, 1900)
    assert history(client, ada) == [("adjustment", -1000, -1000), ("applied_to_invoice", 1000, 0)]


def test_credit_pays_all_of_it_without_a_charge_and_the_rest_stays(stripe, client, ada, adjust, subscribe):
    adjust(-5000)
    invoice = subscribe().latest_invoice
    assert (invoice.status, invoice.amount_due, invoice.amount_paid) == ("paid", 0, 0)
    assert balance(client, ada) == -2100
    assert not stripe.objects("charge")


def test_credit_needs_no_card(client, ada, pro, adjust):
    adjust(-2900)
    made = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}]})
    assert made.status == "active"


def test_a_debt_is_asked_for_with_the_next_invoice(client, ada, adjust, subscribe):
    adjust(700)
    invoice = subscribe().latest_invoice
    assert (invoice.total, invoice.amount_due, invoice.amount_paid) == (2900, 3600, 3600)
    assert balance(client, ada) == 0


def test_a_sum_too_small_to_charge_waits_for_the_next_invoice(stripe, client, ada, price_of, subscribe):
    small = price_of(30)
    invoice = subscribe(items=[{"price": small.id}]).latest_invoice
    assert (invoice.status, invoice.amount_due, invoice.ending_balance) == ("paid", 0, 30)
    assert history(client, ada) == [("invoice_too_small", 30, 30)]
    stripe.advance(months=1, hours=2)
    second = stripe.objects("invoice")[-1]
    assert (second["total"], second["starting_balance"], second["amount_paid"]) == (30, 30, 60)


def test_a_void_invoice_gives_back_what_it_took(client, ada, adjust, subscribe):
    adjust(-1000)
    subscription = subscribe(payment_behavior="default_incomplete")
    assert balance(client, ada) == 0
    client.v1.invoices.void_invoice(subscription.latest_invoice.id)
    assert history(client, ada)[-1] == ("unapplied_from_invoice", -1000, -1000)


def test_every_change_is_told_with_the_balance_before(stripe, client, ada, adjust):
    adjust(-1000)
    event = stripe.events("customer.updated")[-1]
    assert event["data"]["previous_attributes"]["balance"] == 0
    assert event["data"]["object"]["balance"] == -1000


def test_the_customer_can_be_made_with_a_balance_and_given_another(client):
    customer = client.v1.customers.create({"balance": -500})
    client.v1.customers.update(customer.id, {"balance": -800})
    assert client.v1.customers.retrieve(customer.id).balance == -800
    amounts = [one.amount for one in client.v1.customers.balance_transactions.list(customer.id).data]
    assert sum(amounts) == -800


def test_another_currency_is_refused(client, ada, adjust, subscribe):
    subscribe()
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        adjust(-100, currency="eur")
    assert error.value.param == "currency"
