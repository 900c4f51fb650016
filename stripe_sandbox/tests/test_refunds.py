"""Sequence 12: money goes back, at once, later, or not after all."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

PENDING, FAILS = "4000000000007726", "4000000000005126"
MINUTE = 60


@pytest.fixture
def charge_of(stripe, client, ada, checkout):
    """Buy Pro with this card; return the charge of 29 dollars."""

    def buy(card="4242424242424242"):
        stripe.pay(checkout().id, card=card)
        stripe.take_deliveries()
        return client.v1.charges.list({"customer": ada.id, "limit": 1}).data[0]

    return buy


def test_the_bank_confirms_it_later(stripe, client, charge_of, types):
    charge = charge_of()
    refund = client.v1.refunds.create({"charge": charge.id, "reason": "requested_by_customer"})
    assert types() == ["refund.created", "charge.refunded"]
    assert (refund.status, refund.amount, refund.reason) == ("succeeded", 2900, "requested_by_customer")
    assert refund.destination_details.card.reference_status == "pending"
    [refunded] = stripe.events("charge.refunded")
    assert refunded["data"]["previous_attributes"] == {"amount_refunded": 0, "refunded": False}
    stripe.advance(seconds=MINUTE)
    assert types() == ["refund.updated", "charge.refund.updated"]
    settled = client.v1.refunds.retrieve(refund.id)
    assert settled.destination_details.card.reference_status == "available"
    assert len(settled.destination_details.card.reference) == 23
    for kind in ("refund.updated", "charge.refund.updated"):
        [event] = stripe.events(kind)
        assert event["data"]["object"]["object"] == "refund"
        before = event["data"]["previous_attributes"]["destination_details"]["card"]
        assert before["reference_status"] == "pending"


def test_a_pending_one_succeeds_later(stripe, client, charge_of, types):
    refund = client.v1.refunds.create({"charge": charge_of(PENDING).id})
    assert refund.status == "pending"
    assert types() == ["refund.created", "charge.refunded"]
    stripe.advance(seconds=MINUTE)
    assert types() == ["refund.updated", "charge.refund.updated"]
    [event] = stripe.events("refund.updated")
    assert event["data"]["previous_attributes"]["status"] == "pending"
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_one_that_fails_gives_the_money_back_to_the_merchant(stripe, client, charge_of, types):
    charge = charge_of(FAILS)
    before = client.v1.balance.retrieve().pending[0].amount
    refund = client.v1.refunds.create({"charge": charge.id})
    assert refund.status == "succeeded"
    assert client.v1.balance.retrieve().pending[0].amount == before - 2900
    types()
    stripe.advance(seconds=MINUTE)
    assert types() == ["refund.updated", "refund.failed", "charge.refund.updated", "charge.updated"]
    failed = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    assert failed.failure_balance_transaction.amount == 2900
    assert client.v1.balance.retrieve().pending[0].amount == before
    after = client.v1.charges.retrieve(charge.id)
    assert (after.refunded, after.amount_refunded) == (False, 0)
    client.v1.refunds.create({"charge": charge.id})  # it can be tried again


def test_one_to_a_card_cannot_be_taken_back(client, charge_of):
    refund = client.v1.refunds.create({"charge": charge_of(PENDING).id})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="requires_action"):
        client.v1.refunds.cancel(refund.id)


def test_the_subscription_and_its_invoice_stay_what_they_were(stripe, client, charge_of):
    charge = charge_of()
    client.v1.refunds.create({"charge": charge.id})
    [subscription], [invoice] = stripe.objects("subscription"), stripe.objects("invoice")
    assert (subscription["status"], invoice["status"], invoice["amount_paid"]) == ("active", "paid", 2900)
