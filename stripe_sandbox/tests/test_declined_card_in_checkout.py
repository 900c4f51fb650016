"""Sequence 2: the card is refused, the session stays open, and the customer tries again in it."""

from __future__ import annotations

import pytest

from stripe_sandbox import cards
from stripe_sandbox.testing import CardDeclined

DECLINES = [
    ("4000000000000002", "card_declined", "generic_decline"),
    ("4000000000009995", "card_declined", "insufficient_funds"),
    ("4000000000009987", "card_declined", "lost_card"),
    ("4000000000009979", "card_declined", "stolen_card"),
    ("4000000000000069", "expired_card", None),
    ("4000000000000127", "incorrect_cvc", None),
    ("4000000000000119", "processing_error", None),
    ("4000000000000341", "card_declined", "generic_decline"),
]


@pytest.mark.parametrize(("card", "code", "decline_code"), DECLINES)
def test_each_card_is_declined_for_its_own_reason(stripe, checkout, card, code, decline_code):
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(checkout().id, card=card)
    assert (declined.value.code, declined.value.decline_code) == (code, decline_code)


def test_a_decline_leaves_the_session_open_and_nothing_bought(stripe, client, ada, checkout):
    session = checkout()
    stripe.take_deliveries()
    with pytest.raises(CardDeclined):
        stripe.pay(session.id, card="4000000000000002")

    assert [delivery.type for delivery in stripe.take_deliveries()] == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
    ]
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert client.v1.subscriptions.list({"customer": ada.id, "status": "all"}).data == []
    assert client.v1.invoices.list({"customer": ada.id}).data == []
    assert client.v1.customers.payment_methods.list(ada.id).data == []
    [intent] = client.v1.payment_intents.list({"customer": ada.id}).data
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == "generic_decline"
    [charge] = client.v1.charges.list({"payment_intent": intent.id}).data
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, "card_declined")


def test_the_same_session_then_succeeds_with_another_card(stripe, client, checkout):
    session = checkout()
    with pytest.raises(CardDeclined):
        stripe.pay(session.id, card="4000000000000002")
    stripe.take_deliveries()

    paid = stripe.pay(session.id)

    assert paid["status"] == "complete"
    types = [delivery.type for delivery in stripe.take_deliveries()]
    # the same intent, so it is not created again
    assert "payment_intent.created" not in types
    assert types[0] == "charge.succeeded"
    [intent] = stripe.objects("payment_intent")
    assert intent["status"] == "succeeded"
    assert intent["last_payment_error"] is None
    assert [charge["status"] for charge in stripe.objects("charge")] == ["failed", "succeeded"]
    assert len(stripe.objects("subscription")) == 1


def test_a_real_looking_card_is_refused_in_test_mode(stripe, checkout):
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(checkout().id, card="4111111111111111")
    assert declined.value.decline_code == "test_mode_live_card"


def test_a_number_that_fails_the_check_digit_is_incorrect(stripe, checkout):
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(checkout().id, card="4242424242424241")
    assert declined.value.code == "incorrect_number"
    assert not stripe.objects("payment_intent")


def test_every_test_card_has_a_valid_number():
    assert all(cards.is_number(number) for number in cards.BY_NUMBER)
