"""Paying an open invoice; giving money back."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


@pytest.fixture
def open_invoice(client, ada, pro, card_of_ada):
    """The unpaid first invoice of an incomplete subscription, whose card fails."""
    card_of_ada("pm_card_chargeCustomerFail")
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}]})
    return client.v1.invoices.retrieve(subscription.latest_invoice)


def test_a_failed_attempt_is_402_and_stays_on_record(stripe, client, open_invoice):
    stripe.take_deliveries()
    with pytest.raises(stripe_sdk.CardError) as error:
        client.v1.invoices.pay(open_invoice.id)
    assert error.value.error.decline_code == "generic_decline"
    assert error.value.error.payment_intent.status == "requires_payment_method"
    assert [d.type for d in stripe.take_deliveries()] == [
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "invoice.updated",
    ]
    assert client.v1.invoices.retrieve(open_invoice.id).attempt_count == 2
    assert len(stripe.objects("payment_intent")) == 1


def test_another_card_pays_it_and_activates_the_subscription(stripe, client, ada, open_invoice, card_of_ada):
    card_of_ada("pm_card_visa")
    paid = client.v1.invoices.pay(open_invoice.id)
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert client.v1.subscriptions.list({"customer": ada.id}).data[0].status == "active"
    with pytest.raises(stripe_sdk.InvalidRequestError, match="Invoice is already paid"):
        client.v1.invoices.pay(open_invoice.id)


def test_an_invoice_of_nothing_shows_no_payment(client, ada, free):
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": free.id}]})
    invoice = client.v1.invoices.retrieve(subscription.latest_invoice, {"expand": ["payments", "confirmation_secret"]})
    assert invoice.payments.data == []
    assert invoice.confirmation_secret is None


def test_a_refund_of_all(stripe, client, ada, subscription):
    [charge] = client.v1.charges.list({"customer": ada.id}).data
    refund = client.v1.refunds.create({"payment_intent": charge.payment_intent, "reason": "duplicate"})
    assert (refund.amount, refund.status, refund.charge) == (2900, "succeeded", charge.id)
    assert [d.type for d in stripe.take_deliveries()] == ["refund.created", "charge.refunded"]
    after = client.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (after.refunded, after.amount_refunded) == (True, 2900)
    assert [r.id for r in after.refunds.data] == [refund.id]
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.refunds.create({"charge": charge.id})
    assert error.value.code == "charge_already_refunded"


def test_refunds_in_parts(client, ada, subscription):
    [charge] = client.v1.charges.list({"customer": ada.id}).data
    client.v1.refunds.create({"charge": charge.id, "amount": 900})
    assert client.v1.charges.retrieve(charge.id).refunded is False
    with pytest.raises(stripe_sdk.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"charge": charge.id, "amount": 2001})
    rest = client.v1.refunds.create({"charge": charge.id})
    assert rest.amount == 2000
    assert len(client.v1.refunds.list({"charge": charge.id}).data) == 2
    assert client.v1.refunds.update(rest.id, {"metadata": {"a": "1"}}).metadata["a"] == "1"
    assert client.v1.balance.retrieve().pending[0].amount < 0  # the fee stays with Stripe


def test_a_failed_charge_cannot_be_refunded(client, ada, open_invoice):
    [charge] = client.v1.charges.list({"customer": ada.id}).data
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.refunds.create({"charge": charge.id})
