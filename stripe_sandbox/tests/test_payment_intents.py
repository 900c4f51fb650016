"""PaymentIntents by API: confirm, 3D Secure, capture, cancel."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

from stripe_sandbox.testing import CardDeclined

NO_REDIRECTS = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
BACK = "https://shop.example/back"


@pytest.fixture
def intend(client, ada):
    def make(**params):
        wish = {"amount": 2000, "currency": "usd", "customer": ada.id, **NO_REDIRECTS, **params}
        return client.v1.payment_intents.create(wish)

    return make


def test_it_waits_for_a_card_then_for_confirmation_then_is_paid(client, intend, types):
    types()
    intent = intend()
    assert intent.status == "requires_payment_method"
    intent = client.v1.payment_intents.update(intent.id, {"payment_method": "pm_card_visa"})
    assert intent.status == "requires_confirmation"
    intent = client.v1.payment_intents.confirm(intent.id)
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert client.v1.charges.retrieve(intent.latest_charge).paid is True
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already succeeded"):
        client.v1.payment_intents.confirm(intent.id)


def test_a_declined_one_waits_for_another_card(client, intend, types):
    types()
    with pytest.raises(stripe_sdk.CardError) as error:
        intend(confirm=True, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    failed = error.value.error
    assert (failed.code, failed.decline_code) == ("card_declined", "insufficient_funds")
    assert failed.payment_intent.status == "requires_payment_method"
    assert failed.charge == failed.payment_intent.latest_charge
    assert types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    again = client.v1.payment_intents.confirm(failed.payment_intent.id, {"payment_method": "pm_card_visa"})
    assert again.status == "succeeded"


def test_3d_secure_with_a_return_url_redirects(stripe, client, intend, types):
    types()
    intent = intend(confirm=True, payment_method="pm_card_authenticationRequired", return_url=BACK)
    assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
    assert intent.next_action.redirect_to_url.return_url == BACK
    assert types() == ["payment_intent.created", "payment_intent.requires_action"]
    stripe.authenticate(intent)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert types() == ["charge.succeeded", "payment_intent.succeeded"]


def test_3d_secure_failed(stripe, client, intend, types):
    intent = intend(confirm=True, payment_method="pm_card_authenticationRequired")
    assert intent.next_action.type == "use_stripe_sdk"
    types()
    with pytest.raises(CardDeclined) as declined:
        stripe.authenticate(intent, "fail")
    assert declined.value.code == "payment_intent_authentication_failure"
    assert types() == ["payment_intent.payment_failed"]
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


@pytest.mark.parametrize("switch", [{"off_session": True}, {"error_on_requires_action": True}])
def test_where_nobody_can_be_asked_it_is_declined(intend, switch):
    with pytest.raises(stripe_sdk.CardError) as error:
        intend(confirm=True, payment_method="pm_card_authenticationRequired", **switch)
    assert error.value.code == "authentication_required"


def test_a_card_that_was_authenticated_once_is_good_off_session(stripe, client, ada, intend):
    first = intend(
        confirm=True, payment_method="pm_card_authenticationRequiredOnSetup", setup_future_usage="off_session"
    )
    stripe.authenticate(first)
    [method] = client.v1.customers.payment_methods.list(ada.id).data
    assert intend(confirm=True, off_session=True, payment_method=method.id).status == "succeeded"


def test_captured_later_in_part(client, intend, types):
    intent = intend(confirm=True, payment_method="pm_card_visa", capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 2000)
    assert types()[-2:] == ["charge.succeeded", "payment_intent.amount_capturable_updated"]
    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1200})
    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 1200, 0)
    assert types() == ["charge.captured", "payment_intent.succeeded"]
    assert client.v1.balance.retrieve().pending[0].amount < 1200


def test_canceled_what_was_authorized_is_released(client, intend, types):
    intent = intend(confirm=True, payment_method="pm_card_visa", capture_method="manual")
    types()
    canceled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert types()[-1] == "payment_intent.canceled"
    assert client.v1.charges.retrieve(intent.latest_charge).refunded is True
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.payment_intents.confirm(intent.id)
    assert error.value.code == "payment_intent_unexpected_state"


def test_one_of_an_invoice_belongs_to_it(stripe, client, ada, pro):
    subscription = client.v1.subscriptions.create(
        {"customer": ada.id, "items": [{"price": pro.id}], "payment_behavior": "default_incomplete"}
    )
    [payment] = client.v1.invoice_payments.list({"invoice": subscription.latest_invoice}).data
    intent = payment.payment.payment_intent
    with pytest.raises(stripe_sdk.InvalidRequestError, match="void the invoice"):
        client.v1.payment_intents.cancel(intent)
    confirmed = client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    assert confirmed.status == "succeeded"
    assert client.v1.invoices.retrieve(subscription.latest_invoice).status == "paid"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


@pytest.mark.parametrize(("amount", "code"), [(49, "amount_too_small"), (100_000_000, "amount_too_large")])
def test_amounts_have_bounds(intend, amount, code):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        intend(amount=amount)
    assert (error.value.code, error.value.param) == (code, "amount")


def test_another_customers_card_is_refused(client, intend):
    other = client.v1.customers.create({})
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": other.id})
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        intend(payment_method=method.id)
    assert error.value.param == "payment_method"
