"""Sequence 5: the renewal cannot be collected, and is tried again until it is paid or given up."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR, DAY = 3600, 86400
STOLEN, LOST = "4000000000009979", "4000000000009987"


@pytest.fixture
def end(stripe, subscription):
    """When the first month is over; by then the card fails."""
    stripe.card_starts_failing(subscription.customer)
    stripe.take_deliveries()
    return subscription["items"].data[0].current_period_end


@pytest.fixture
def first_failure(stripe, end, types):
    """The moment of the first attempt, which failed; its events have been taken."""
    stripe.advance(to=end + HOUR)
    types()
    return end + HOUR


def unpaid_invoice(stripe):
    return stripe.objects("invoice")[-1]


def test_the_first_failure_is_told_in_stripes_order(stripe, end, types):
    stripe.advance(to=end - HOUR)
    types()
    stripe.advance(to=end + HOUR)
    assert types() == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "invoice.updated",
        "customer.subscription.updated",
    ]


def test_the_first_failure_makes_it_past_due_and_plans_the_next_try(stripe, client, subscription, end):
    stripe.advance(to=end + HOUR)
    [failed] = stripe.events("invoice.payment_failed")
    invoice = failed["data"]["object"]
    assert (invoice["status"], invoice["attempt_count"], invoice["attempted"]) == ("open", 1, True)
    assert invoice["next_payment_attempt"] == end + HOUR + 3 * DAY
    assert (invoice["amount_due"], invoice["amount_paid"], invoice["amount_remaining"]) == (2900, 0, 2900)
    [updated] = [one for one in stripe.events("invoice.updated") if one["data"]["object"]["id"] == invoice["id"]]
    assert updated["data"]["previous_attributes"] == {
        "attempt_count": 0,
        "attempted": False,
        "next_payment_attempt": None,
    }
    behind = stripe.events("customer.subscription.updated")[-1]
    assert behind["data"]["previous_attributes"] == {"status": "active"}
    assert behind["data"]["object"]["status"] == "past_due"
    assert client.v1.customers.retrieve(subscription.customer).delinquent is True
    [charge] = client.v1.charges.list({"customer": subscription.customer, "limit": 1}).data
    assert (charge.status, charge.failure_code) == ("failed", "card_declined")


def test_it_is_tried_again_on_days_3_5_and_7(stripe, first_failure, happened, types):
    planned = [first_failure + days * DAY for days in (3, 5, 7)]
    for count, at in enumerate(planned[:-1], 2):
        stripe.advance(to=at - 1)
        assert types() == []
        stripe.advance(to=at)
        assert happened() == [
            ("charge.failed", at),
            ("payment_intent.payment_failed", at),
            ("invoice.payment_failed", at),
            ("invoice.updated", at),
        ]
        invoice = unpaid_invoice(stripe)
        assert (invoice["attempt_count"], invoice["next_payment_attempt"]) == (count, planned[count - 1])
    assert len(stripe.objects("payment_intent")) == 2  # of the purchase, and one for all tries


def test_after_the_last_try_the_subscription_is_canceled(stripe, subscription, first_failure, types):
    stripe.advance(to=first_failure + 7 * DAY - 1)
    types()
    last = first_failure + 7 * DAY
    stripe.advance(to=last)
    assert types() == [
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "invoice.updated",
        "invoice.updated",  # it is no longer collected
        "customer.subscription.deleted",
    ]
    invoice = unpaid_invoice(stripe)
    assert (invoice["status"], invoice["attempt_count"], invoice["next_payment_attempt"]) == ("open", 4, None)
    assert invoice["auto_advance"] is False
    ended = stripe.get(subscription.id)
    assert (ended["status"], ended["ended_at"], ended["canceled_at"]) == ("canceled", last, last)
    assert ended["cancellation_details"]["reason"] == "payment_failed"
    stripe.advance(months=3)
    assert types() == []


def test_or_it_is_unpaid_and_later_invoices_stay_drafts(stripe, subscription, first_failure, monkeypatch, types):
    monkeypatch.setattr(stripe.sandbox.settings, "after_dunning", "unpaid")
    stripe.advance(to=first_failure + 7 * DAY)
    assert types()[-1] == "customer.subscription.updated"
    given_up = stripe.events("customer.subscription.updated")[-1]
    assert given_up["data"]["previous_attributes"] == {"status": "past_due"}
    assert given_up["data"]["object"]["status"] == "unpaid"
    assert unpaid_invoice(stripe)["next_payment_attempt"] is None
    stripe.advance(months=1)
    draft = unpaid_invoice(stripe)
    assert (draft["status"], draft["auto_advance"]) == ("draft", False)
    stripe.advance(days=2)
    assert unpaid_invoice(stripe) == draft
    assert stripe.get(subscription.id)["status"] == "unpaid"


def test_or_it_stays_past_due_and_goes_on_being_billed(stripe, subscription, first_failure, monkeypatch, types):
    monkeypatch.setattr(stripe.sandbox.settings, "after_dunning", "past_due")
    stripe.advance(to=first_failure + 7 * DAY)
    assert "customer.subscription.updated" not in types()
    assert stripe.get(subscription.id)["status"] == "past_due"
    stripe.advance(to=stripe.get(subscription.id)["items"]["data"][0]["current_period_end"] + HOUR)
    second = unpaid_invoice(stripe)
    assert (second["status"], second["billing_reason"], second["attempt_count"]) == ("open", "subscription_cycle", 1)
    assert len([one for one in stripe.objects("invoice") if one["status"] == "open"]) == 2


def test_a_new_card_and_pay_recover_it(stripe, client, ada, subscription, first_failure, types):
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": ada.id})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": card.id})
    types()
    paid = client.v1.invoices.pay(unpaid_invoice(stripe)["id"])
    assert types() == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert (paid.status, paid.attempt_count, paid.next_payment_attempt) == ("paid", 2, None)
    recovered = stripe.events("customer.subscription.updated")[-1]
    assert recovered["data"]["previous_attributes"] == {"status": "past_due"}
    assert recovered["data"]["object"]["status"] == "active"
    assert client.v1.customers.retrieve(ada.id).delinquent is False
    stripe.advance(days=10)
    assert types() == []  # no retry of what is paid


def test_a_new_card_is_used_by_the_next_try(stripe, subscription, first_failure, types):
    stripe.card_works_again(subscription.customer)
    types()
    stripe.advance(to=first_failure + 3 * DAY)
    assert types() == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert stripe.get(subscription.id)["status"] == "active"


def test_paying_with_the_failing_card_again_counts_and_keeps_the_plan(stripe, client, first_failure):
    invoice = unpaid_invoice(stripe)
    with pytest.raises(stripe_sdk.CardError) as error:
        client.v1.invoices.pay(invoice["id"])
    assert (error.value.code, error.value.error.decline_code) == ("card_declined", "generic_decline")
    after = unpaid_invoice(stripe)
    assert after["attempt_count"] == 2
    assert after["next_payment_attempt"] == invoice["next_payment_attempt"]


@pytest.mark.parametrize("card", [STOLEN, LOST])
def test_a_hard_decline_is_not_retried(stripe, subscription, first_failure, card, types):
    stripe.card_starts_failing(subscription.customer, card)
    types()
    stripe.advance(to=first_failure + 3 * DAY)  # the new card's first try is its last
    charges = len(stripe.objects("charge"))
    stripe.advance(to=first_failure + 5 * DAY)
    assert len(stripe.objects("charge")) == charges
    assert unpaid_invoice(stripe)["attempt_count"] == 2
    stripe.advance(to=first_failure + 7 * DAY)
    assert len(stripe.objects("charge")) == charges
    assert stripe.get(subscription.id)["status"] == "canceled"


def test_after_a_hard_decline_another_card_is_tried(stripe, subscription, first_failure):
    stripe.card_starts_failing(subscription.customer, STOLEN)
    stripe.advance(to=first_failure + 3 * DAY)
    stripe.card_works_again(subscription.customer)
    stripe.advance(to=first_failure + 5 * DAY)
    assert stripe.get(subscription.id)["status"] == "active"
    assert unpaid_invoice(stripe)["status"] == "paid"


@pytest.mark.slow
def test_a_void_invoice_is_not_retried_and_the_subscription_goes_on(stripe, client, subscription, first_failure, types):
    client.v1.invoices.void_invoice(unpaid_invoice(stripe)["id"])
    types()
    stripe.advance(days=10)
    assert types() == []
    assert stripe.get(subscription.id)["status"] in ("active", "past_due")
