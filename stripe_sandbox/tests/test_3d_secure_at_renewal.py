"""Sequence 3, off session: the renewal's bank asks, and nobody is there to answer."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

from stripe_sandbox.lifecycle import payment_intents

HOUR, DAY = 3600, 86400
ONCE, ALWAYS = "4000002500003155", "4000002760003184"


@pytest.fixture
def bought_with(stripe, client, checkout):
    """Buy Pro with a card that asks; its challenge is passed. Returns the subscription."""

    def buy(card):
        session = stripe.pay(checkout().id, card=card)
        stripe.take_deliveries()
        return client.v1.subscriptions.retrieve(session["subscription"])

    return buy


def renew(stripe, subscription):
    stripe.advance(to=subscription["items"].data[0].current_period_end - HOUR)
    stripe.take_deliveries()
    stripe.advance(hours=2)
    return stripe.objects("invoice")[-1]


def test_a_card_that_asks_once_is_charged_off_session(stripe, bought_with):
    subscription = bought_with(ONCE)
    assert renew(stripe, subscription)["status"] == "paid"
    assert stripe.get(subscription.id)["status"] == "active"


# 3178 and 1629 decline after the challenge, so a purchase with them never begins: they come later.
@pytest.mark.parametrize("card", [ALWAYS, "4000008260003178", "4000008400001629"])
def test_a_card_that_always_asks_leaves_it_past_due(stripe, bought_with, types, card):
    subscription = bought_with(ALWAYS)
    if card != ALWAYS:
        stripe.card_starts_failing(subscription.customer, card)
    invoice = renew(stripe, subscription)
    assert types() == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.updated",
        "customer.subscription.updated",
    ]
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
    assert invoice["next_payment_attempt"] > stripe.now
    behind = stripe.events("customer.subscription.updated")[-1]["data"]
    assert (behind["object"]["status"], behind["previous_attributes"]) == ("past_due", {"status": "active"})
    assert len(stripe.objects("charge")) == 1  # the purchase: the renewal never reached the bank


@pytest.fixture
def waiting(stripe, client, bought_with):
    """(invoice, intent) of a renewal that waits for the customer's bank."""

    def wait(card=ALWAYS):
        subscription = bought_with(ALWAYS)
        if card != ALWAYS:
            stripe.card_starts_failing(subscription.customer, card)
        invoice = renew(stripe, subscription)
        [payment] = client.v1.invoice_payments.list({"invoice": invoice["id"]}).data
        return subscription, invoice["id"], payment.payment.payment_intent

    return wait


@pytest.fixture
def answer(stripe):
    """What the customer does at the bank's page."""

    def answer(intent, succeed):
        with stripe.sandbox.transaction():
            payment_intents.answer_challenge(stripe.sandbox, stripe.sandbox.get("payment_intent", intent), succeed)

    return answer


def test_the_challenge_passed_later_pays_it(stripe, client, answer, waiting, types):
    subscription, invoice, intent = waiting()
    types()
    shown = client.v1.payment_intents.retrieve(intent)
    assert (shown.status, shown.next_action.type) == ("requires_action", "use_stripe_sdk")
    answer(intent, True)
    assert types() == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert stripe.get(subscription.id)["status"] == "active"
    [charge] = client.v1.charges.list({"payment_intent": intent}).data
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"


def test_the_challenge_failed_leaves_it_open(stripe, client, answer, waiting):
    subscription, invoice, intent = waiting()
    answer(intent, False)
    after = client.v1.payment_intents.retrieve(intent)
    assert after.status == "requires_payment_method"
    assert after.last_payment_error.code == "payment_intent_authentication_failure"
    assert stripe.get(invoice)["status"] == "open"
    assert stripe.get(subscription.id)["status"] == "past_due"


@pytest.mark.parametrize(
    ("card", "decline_code"), [("4000008260003178", "insufficient_funds"), ("4000008400001629", "generic_decline")]
)
def test_the_challenge_passed_does_not_make_a_bad_card_good(stripe, client, answer, waiting, card, decline_code):
    subscription, invoice, intent = waiting(card)
    answer(intent, True)
    after = client.v1.payment_intents.retrieve(intent)
    assert (after.status, after.last_payment_error.decline_code) == ("requires_payment_method", decline_code)
    assert stripe.get(invoice)["status"] == "open"
    assert stripe.get(subscription.id)["status"] == "past_due"


def test_pay_without_the_customer_is_402_and_says_that_action_is_needed(stripe, client, waiting):
    _, invoice, intent = waiting()
    with pytest.raises(stripe_sdk.CardError) as error:
        client.v1.invoices.pay(invoice)
    assert (error.value.http_status, error.value.code) == (402, "invoice_payment_intent_requires_action")
    assert error.value.error.payment_intent.id == intent


def test_its_retries_ask_again_and_end_it(stripe, waiting, types):
    subscription, _, _ = waiting()
    types()
    stripe.advance(days=3)
    assert types() == [
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "invoice.updated",
    ]
    stripe.advance(days=4)
    assert stripe.get(subscription.id)["status"] == "canceled"
