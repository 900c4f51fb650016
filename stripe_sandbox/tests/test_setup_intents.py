"""SetupIntents by API: a card is kept for later, after its bank was asked."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

from stripe_sandbox.testing import CardDeclined

NO_REDIRECTS = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}


@pytest.fixture
def prepare(client, ada):
    def make(**params):
        return client.v1.setup_intents.create({"customer": ada.id, **NO_REDIRECTS, **params})

    return make


def test_the_card_is_kept_by_the_customer(client, ada, prepare, types):
    types()
    intent = prepare(confirm=True, payment_method="pm_card_visa")
    assert (intent.status, intent.usage) == ("succeeded", "off_session")
    assert types() == ["setup_intent.created", "setup_intent.succeeded", "payment_method.attached"]
    [method] = client.v1.customers.payment_methods.list(ada.id).data
    assert method.id == intent.payment_method
    [attempt] = client.v1.setup_attempts.list({"setup_intent": intent.id}).data
    assert attempt.status == "succeeded"


def test_a_bank_that_asks_and_is_answered(stripe, client, ada, prepare, types):
    intent = prepare(confirm=True, payment_method="pm_card_authenticationRequiredOnSetup")
    assert intent.status == "requires_action"
    assert types()[-1] == "setup_intent.requires_action"
    assert client.v1.customers.payment_methods.list(ada.id).data == []
    stripe.authenticate(intent)
    assert types() == ["setup_intent.succeeded", "payment_method.attached"]
    [method] = client.v1.customers.payment_methods.list(ada.id).data
    charged = client.v1.payment_intents.create(
        {
            "amount": 2000,
            "currency": "usd",
            "customer": ada.id,
            "payment_method": method.id,
            "confirm": True,
            "off_session": True,
        }
    )
    assert charged.status == "succeeded"


def test_a_bank_that_asks_and_is_not_answered(stripe, client, ada, prepare, types):
    intent = prepare(confirm=True, payment_method="pm_card_authenticationRequired")
    types()
    with pytest.raises(CardDeclined) as declined:
        stripe.authenticate(intent, "fail")
    assert declined.value.code == "setup_intent_authentication_failure"
    assert types() == ["setup_intent.setup_failed"]
    after = client.v1.setup_intents.retrieve(intent.id)
    assert (after.status, after.last_setup_error.code) == (
        "requires_payment_method",
        "setup_intent_authentication_failure",
    )
    assert client.v1.customers.payment_methods.list(ada.id).data == []


def test_a_declined_card_is_402_and_another_one_can_be_tried(client, prepare, types):
    types()
    with pytest.raises(stripe_sdk.CardError) as error:
        prepare(confirm=True, payment_method="pm_card_chargeDeclined")
    assert (error.value.code, error.value.error.decline_code) == ("card_declined", "generic_decline")
    assert types() == ["setup_intent.created", "setup_intent.setup_failed"]
    failed = error.value.error.setup_intent.id
    assert client.v1.setup_intents.confirm(failed, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert [one.status for one in client.v1.setup_attempts.list({"setup_intent": failed}).data] == [
        "succeeded",
        "failed",
    ]


def test_the_card_that_fails_later_can_be_kept(prepare):
    assert prepare(confirm=True, payment_method="pm_card_chargeCustomerFail").status == "succeeded"


def test_canceled_it_can_be_used_no_more(client, prepare, types):
    intent = prepare()
    types()
    assert client.v1.setup_intents.cancel(intent.id).status == "canceled"
    assert types() == ["setup_intent.canceled"]
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert error.value.code == "setup_intent_unexpected_state"


def test_without_a_card_there_is_nothing_to_confirm(client, prepare):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="missing a payment method"):
        client.v1.setup_intents.confirm(prepare().id)
