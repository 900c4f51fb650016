"""Sequence 6, payment_behavior=pending_if_incomplete: the change waits for its payment."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR = 3600


@pytest.fixture
def team(price_of):
    return price_of(9900)


@pytest.fixture
def ask(client, subscription):
    def ask(price, **params):
        items = [{"id": subscription["items"].data[0].id, "price": price.id}]
        wish = {"items": items, "proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
        return client.v1.subscriptions.update(subscription.id, {**wish, **params})

    return ask


@pytest.fixture
def waiting(stripe, subscription, ask, team):
    """The subscription after the request, whose card failed; its events have been taken."""
    stripe.advance(days=10)
    stripe.card_starts_failing(subscription.customer)
    stripe.take_deliveries()
    return ask(team)


def test_it_changes_nothing_but_says_what_is_pending(stripe, client, subscription, waiting, team, types):
    assert waiting.status == "active"
    assert waiting["items"].data[0].price.id == subscription["items"].data[0].price.id
    pending = waiting.pending_update
    assert [item.price.id for item in pending.subscription_items] == [team.id]
    assert pending.expires_at == stripe.now + 23 * HOUR
    invoice = client.v1.invoices.retrieve(waiting.latest_invoice)
    assert (invoice.status, invoice.billing_reason, invoice.next_payment_attempt) == (
        "open",
        "subscription_update",
        None,
    )
    assert types() == [
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "customer.subscription.updated",
        "invoiceitem.created",
        "invoiceitem.created",
    ]
    previous = stripe.events("customer.subscription.updated")[-1]["data"]["previous_attributes"]
    assert sorted(previous) == ["latest_invoice", "pending_update"]


def test_paid_it_is_applied(stripe, client, waiting, team, types):
    stripe.card_works_again(waiting.customer)
    types()
    client.v1.invoices.pay(waiting.latest_invoice)
    assert types() == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "customer.subscription.pending_update_applied",
        "invoice_payment.paid",
    ]
    after = client.v1.subscriptions.retrieve(waiting.id)
    assert (after.pending_update, after["items"].data[0].price.id) == (None, team.id)
    stripe.advance(days=2)
    assert "customer.subscription.pending_update_expired" not in types()
    assert client.v1.subscriptions.retrieve(waiting.id)["items"].data[0].price.id == team.id


def test_unpaid_it_expires_after_23_hours_and_its_invoice_is_void(stripe, client, subscription, waiting, types):
    expires = waiting.pending_update.expires_at
    types()
    stripe.advance(to=expires - 1)
    assert types() == []
    stripe.advance(to=expires)
    assert types() == [
        "payment_intent.canceled",
        "invoice.voided",
        "customer.subscription.pending_update_expired",
    ]
    after = client.v1.subscriptions.retrieve(waiting.id)
    assert (after.pending_update, after.status) == (None, "active")
    assert after["items"].data[0].price.id == subscription["items"].data[0].price.id
    assert client.v1.invoices.retrieve(waiting.latest_invoice).status == "void"


def test_it_expires_with_the_period_it_was_worked_out_for(stripe, subscription, ask, team, types):
    end = subscription["items"].data[0].current_period_end
    stripe.advance(to=end - 20 * HOUR)
    stripe.card_starts_failing(subscription.customer)
    assert ask(team).pending_update.expires_at == end
    stripe.card_works_again(subscription.customer)
    types()
    stripe.advance(to=end + HOUR)
    told = types()
    assert told.index("customer.subscription.pending_update_expired") < told.index("customer.subscription.updated")
    renewed = stripe.objects("invoice")[-1]
    assert (renewed["total"], renewed["status"]) == (2900, "paid")


def test_another_change_takes_its_place(stripe, client, waiting, ask, price_of, types):
    stripe.card_works_again(waiting.customer)
    types()
    other = price_of(4900)
    changed = ask(other)
    assert (changed.pending_update, changed["items"].data[0].price.id) == (None, other.id)
    assert "customer.subscription.pending_update_expired" in types()
    assert client.v1.invoices.retrieve(waiting.latest_invoice).status == "void"


def test_what_can_be_paid_is_changed_at_once(ask, subscription, team):
    changed = ask(team)
    assert (changed.pending_update, changed["items"].data[0].price.id) == (None, team.id)


def test_only_what_can_wait_may_be_asked_for(ask, team):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        ask(team, description="no")
    assert error.value.param == "description"


def test_a_card_that_asks_leaves_it_pending_until_the_challenge_is_passed(stripe, client, subscription, ask, team):
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    changed = ask(team)
    assert changed.pending_update
    [payment] = client.v1.invoice_payments.list({"invoice": changed.latest_invoice}).data
    assert client.v1.payment_intents.retrieve(payment.payment.payment_intent).status == "requires_action"


def test_with_its_invoice_void_it_is_withdrawn(stripe, client, subscription, waiting, types):
    stripe.take_deliveries()
    client.v1.invoices.void_invoice(waiting.latest_invoice)
    now = client.v1.subscriptions.retrieve(subscription.id)
    assert now.pending_update is None
    assert now["items"].data[0].price.id == subscription["items"].data[0].price.id
    assert types()[-1] == "customer.subscription.pending_update_expired"
