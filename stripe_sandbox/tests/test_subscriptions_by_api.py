"""POST /v1/subscriptions: the payment behaviours."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


@pytest.fixture
def subscribe(client, ada, pro):
    def create(**params):
        return client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}], **params})

    return create


def types_of(stripe):
    return [delivery.type for delivery in stripe.take_deliveries()]


def test_a_good_card_makes_it_active(stripe, subscribe, card_of_ada):
    card_of_ada("pm_card_visa")
    stripe.take_deliveries()
    subscription = subscribe(metadata={"a": "1"}, off_session=True)
    assert subscription.status == "active"
    assert subscription.billing_mode.type == "flexible"
    assert types_of(stripe) == [
        "charge.succeeded",
        "customer.updated",
        "customer.subscription.created",
        "payment_intent.created",
        "payment_intent.succeeded",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ]


def test_without_a_card_it_is_refused(stripe, subscribe):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="no attached payment source"):
        subscribe()
    assert not stripe.objects("subscription")


def test_a_free_one_needs_no_card(subscribe, free):
    assert subscribe(items=[{"price": free.id}]).status == "active"


def test_allow_incomplete_keeps_it_incomplete_when_declined(stripe, client, subscribe, card_of_ada):
    card_of_ada("pm_card_chargeCustomerFail")
    stripe.take_deliveries()
    subscription = subscribe(payment_behavior="allow_incomplete")
    assert subscription.status == "incomplete"
    types = types_of(stripe)
    types.remove("customer.updated")  # the currency
    assert types == [
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
    ]
    invoice = client.v1.invoices.retrieve(subscription.latest_invoice)
    assert (invoice.status, invoice.attempt_count) == ("open", 1)


def test_error_if_incomplete_is_402_and_leaves_nothing(stripe, client, ada, subscribe, card_of_ada):
    card_of_ada("pm_card_chargeCustomerFail")
    stripe.take_deliveries()
    with pytest.raises(stripe_sdk.CardError) as error:
        subscribe(payment_behavior="error_if_incomplete")
    assert error.value.http_status == 402
    assert types_of(stripe) == []
    for kind in ("subscription", "subscription_item", "invoice", "line_item", "payment_intent", "charge"):
        assert not stripe.objects(kind)
    assert client.v1.customers.retrieve(ada.id).currency is None


def test_default_incomplete_waits_for_the_first_payment(stripe, client, subscribe, card_of_ada):
    method = card_of_ada("pm_card_visa")
    stripe.take_deliveries()
    subscription = subscribe(payment_behavior="default_incomplete", expand=["latest_invoice.confirmation_secret"])
    assert subscription.status == "incomplete"
    assert subscription.latest_invoice.confirmation_secret.client_secret.startswith("pi_")
    assert not stripe.objects("charge")
    stripe.take_deliveries()

    client.v1.invoices.pay(subscription.latest_invoice.id, {"payment_method": method.id})

    assert types_of(stripe) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_pending_if_incomplete_is_for_updates_only(subscribe, card_of_ada):
    card_of_ada("pm_card_visa")
    with pytest.raises(stripe_sdk.InvalidRequestError):
        subscribe(payment_behavior="pending_if_incomplete")


def test_a_card_that_asks_for_3d_secure_leaves_it_incomplete(stripe, client, subscribe, card_of_ada):
    card_of_ada("pm_card_authenticationRequired")
    stripe.take_deliveries()
    subscription = subscribe()
    assert subscription.status == "incomplete"
    types = types_of(stripe)
    assert types[-3:] == [
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        "invoice.payment_failed",
    ]
    [intent] = stripe.objects("payment_intent")
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")


def test_an_incomplete_one_expires_after_23_hours(stripe, client, subscribe):
    subscription = subscribe(payment_behavior="default_incomplete")
    stripe.take_deliveries()
    with stripe.sandbox.clock.at(subscription.created + 23 * 3600):
        assert client.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"
        assert client.v1.invoices.retrieve(subscription.latest_invoice).status == "void"
        assert types_of(stripe) == [
            "customer.subscription.updated",
            "payment_intent.canceled",
            "invoice.voided",
        ]


def test_the_given_payment_method_is_used_and_kept(client, subscribe, ada):
    method = client.v1.payment_methods.attach("pm_card_mastercard", {"customer": ada.id})
    subscription = subscribe(default_payment_method=method.id)
    assert subscription.default_payment_method == method.id
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        subscribe(default_payment_method="pm_nothing")
    assert error.value.param == "default_payment_method"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        (None, "items"),
        ([{"quantity": 1}], "items[0][price]"),
        ([{"price": "price_nothing"}], "items[0][price]"),
    ],
)
def test_items_are_needed(client, ada, items, param):
    params = {"customer": ada.id} | ({"items": items} if items else {})
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.subscriptions.create(params)
    assert error.value.param == param


def test_the_same_price_twice_is_refused(client, subscribe, pro):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="same price"):
        subscribe(items=[{"price": pro.id}, {"price": pro.id}])


def test_quantities_multiply(client, subscribe, pro, card_of_ada):
    card_of_ada("pm_card_visa")
    subscription = subscribe(items=[{"price": pro.id, "quantity": 3}])
    assert client.v1.invoices.retrieve(subscription.latest_invoice).total == 8700
