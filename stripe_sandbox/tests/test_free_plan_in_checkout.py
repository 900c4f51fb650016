"""A plan of nothing a month: no card unless it is asked for."""

from __future__ import annotations

import pytest

from stripe_sandbox.testing import CardDeclined


def test_if_required_asks_for_no_card(stripe, client, checkout, free):
    session = checkout(line_items=[{"price": free.id, "quantity": 1}], payment_method_collection="if_required")
    stripe.take_deliveries()
    paid = stripe.pay(session.id, card="4000000000000002")  # the card does not matter: none is used
    assert paid["payment_status"] == "no_payment_required"
    assert [delivery.type for delivery in stripe.take_deliveries()] == [
        "customer.updated",
        "checkout.session.completed",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    subscription = client.v1.subscriptions.retrieve(paid["subscription"], {"expand": ["latest_invoice"]})
    assert subscription.status == "active"
    assert subscription.default_payment_method is None
    assert (subscription.latest_invoice.total, subscription.latest_invoice.status) == (0, "paid")
    assert not stripe.objects("payment_intent")


def test_otherwise_the_card_is_saved_by_a_setup_intent(stripe, checkout, free):
    session = checkout(line_items=[{"price": free.id, "quantity": 1}])
    stripe.take_deliveries()
    paid = stripe.pay(session.id)
    types = [delivery.type for delivery in stripe.take_deliveries()]
    assert types[:3] == ["setup_intent.created", "setup_intent.succeeded", "payment_method.attached"]
    assert stripe.get(paid["subscription"])["default_payment_method"]


@pytest.mark.parametrize("card", ["4000000000000002", "4000000000009995"])
def test_a_bad_card_is_not_saved(stripe, checkout, free, card):
    session = checkout(line_items=[{"price": free.id, "quantity": 1}])
    with pytest.raises(CardDeclined):
        stripe.pay(session.id, card=card)
    assert stripe.events("setup_intent.setup_failed")
    assert stripe.pay(session.id)["status"] == "complete"


def test_3d_secure_is_asked_when_a_card_is_saved(stripe, checkout, free):
    session = checkout(line_items=[{"price": free.id, "quantity": 1}])
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(session.id, card="4000002500003155", challenge="fail")
    assert declined.value.code == "setup_intent_authentication_failure"
    assert stripe.pay(session.id, card="4000002500003155")["status"] == "complete"
    [intent] = stripe.objects("setup_intent")
    assert intent["status"] == "succeeded"
