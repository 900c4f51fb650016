"""Sequence 3, in Checkout: the bank asks first."""

from __future__ import annotations

import pytest

from stripe_sandbox.testing import CardDeclined
from stripe_sandbox.tests.test_first_subscription_through_checkout import SEQUENCE_1


@pytest.mark.parametrize("card", ["4000002500003155", "4000002760003184"])
def test_after_the_challenge_it_goes_on_as_usual(stripe, checkout, card):
    session = checkout()
    stripe.take_deliveries()
    assert stripe.pay(session.id, card=card)["status"] == "complete"
    types = [delivery.type for delivery in stripe.take_deliveries()]
    assert types[:2] == ["payment_intent.created", "payment_intent.requires_action"]
    assert types[2:] == [type for type in SEQUENCE_1 if type != "payment_intent.created"]
    [charge] = stripe.objects("charge")
    assert charge["payment_method_details"]["card"]["three_d_secure"]["result"] == "authenticated"


def test_a_failed_challenge_leaves_the_session_open(stripe, client, checkout):
    session = checkout()
    stripe.take_deliveries()
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(session.id, card="4000002760003184", challenge="fail")
    assert declined.value.code == "payment_intent_authentication_failure"
    assert [delivery.type for delivery in stripe.take_deliveries()] == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.payment_failed",
    ]
    assert not stripe.objects("charge")
    assert stripe.get(session.id)["status"] == "open"
    assert stripe.pay(session.id)["status"] == "complete"


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [("4000008260003178", "insufficient_funds"), ("4000008400001629", "generic_decline")],
)
def test_a_passed_challenge_does_not_make_a_bad_card_good(stripe, checkout, card, decline_code):
    with pytest.raises(CardDeclined) as declined:
        stripe.pay(checkout().id, card=card)
    assert declined.value.decline_code == decline_code
    [charge] = stripe.objects("charge")
    assert charge["status"] == "failed"
