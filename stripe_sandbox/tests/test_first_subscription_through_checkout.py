"""Sequence 1: a customer buys a plan with a good card."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

SEQUENCE_1 = [
    "charge.succeeded",
    "payment_method.attached",
    "customer.updated",
    "checkout.session.completed",
    "customer.subscription.created",
    "payment_intent.created",
    "payment_intent.succeeded",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
]


def test_the_events_come_in_stripes_order(stripe, checkout):
    session = checkout()
    stripe.take_deliveries()

    stripe.pay(session.id)

    assert [delivery.type for delivery in stripe.take_deliveries()] == SEQUENCE_1


def test_invoice_payment_paid_comes_later(stripe, checkout):
    session = checkout()
    stripe.sandbox.settings.follow_up_seconds = 15
    try:
        stripe.pay(session.id)
        now = stripe.sandbox.clock.now()
        with stripe.sandbox.clock.at(now + 14):
            assert not stripe.events("invoice_payment.paid")
        with stripe.sandbox.clock.at(now + 16):
            [event] = stripe.events("invoice_payment.paid")
    finally:
        stripe.sandbox.settings.follow_up_seconds = 0
    assert event["created"] - stripe.events("invoice.paid")[0]["created"] == 15


def test_events_hold_what_was_true_at_their_moment(stripe, checkout):
    stripe.pay(checkout().id)
    shown = {event["type"]: event["data"]["object"] for event in stripe.events()}
    assert shown["customer.subscription.created"]["status"] == "active"
    assert shown["payment_intent.created"]["status"] == "requires_payment_method"
    assert shown["payment_intent.succeeded"]["status"] == "succeeded"
    assert shown["invoice.created"]["status"] == "draft"
    assert shown["invoice.created"]["number"] is None
    assert shown["invoice.finalized"]["status"] == "open"
    assert shown["invoice.paid"]["status"] == "paid"
    assert shown["checkout.session.completed"]["status"] == "complete"


def test_the_first_subscription_fixes_the_customers_currency(stripe, checkout):
    stripe.pay(checkout().id)
    [event] = stripe.events("customer.updated")
    assert event["data"]["previous_attributes"]["currency"] is None
    assert event["data"]["object"]["currency"] == "usd"


def test_the_card_becomes_the_subscriptions_default_and_not_the_customers(stripe, client, ada, checkout):
    session = stripe.pay(checkout().id)
    subscription = client.v1.subscriptions.retrieve(session["subscription"])
    [card] = client.v1.customers.payment_methods.list(ada.id).data
    assert subscription.default_payment_method == card.id
    assert card.card.last4 == "4242"
    assert client.v1.customers.retrieve(ada.id).invoice_settings.default_payment_method is None


def test_the_period_stands_on_the_item_and_is_one_month(stripe, subscription):
    item = subscription["items"].data[0]
    start, end = (datetime.fromtimestamp(item[f"current_period_{edge}"], UTC) for edge in ("start", "end"))
    month = start.month % 12 + 1
    year = start.year + (start.month == 12)
    assert end == start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
    assert not hasattr(subscription, "current_period_end")


def test_the_invoice_names_its_subscription_and_its_payment(stripe, client, subscription):
    invoice = client.v1.invoices.retrieve(
        subscription.latest_invoice, {"expand": ["payments.data.payment.payment_intent"]}
    )
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == ("paid", 2900, 0)
    assert invoice.billing_reason == "subscription_create"
    [payment] = invoice.payments.data
    assert payment.status == "paid"
    assert payment.payment.payment_intent.status == "succeeded"
    [line] = invoice.lines.data
    assert line.description == "1 × Pro (at $29.00 / month)"
    assert line.period.end == subscription["items"].data[0].current_period_end
    # basil took these away
    for gone in ("subscription", "charge", "paid", "payment_intent"):
        assert gone not in invoice

    found = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": payment.payment.payment_intent.id}}
    )
    assert [p.invoice for p in found.data] == [invoice.id]


def test_the_charge_leads_to_its_balance_transaction(client, subscription, ada):
    [charge] = client.v1.charges.list({"customer": ada.id, "expand": ["data.balance_transaction"]}).data
    assert charge.balance_transaction.net == 2900 - charge.balance_transaction.fee
    assert client.v1.balance_transactions.retrieve(charge.balance_transaction.id).source == charge.id


def test_invoice_numbers_count_up_per_customer(stripe, client, ada, checkout):
    stripe.pay(checkout().id)
    stripe.pay(checkout().id)
    numbers = sorted(invoice["number"] for invoice in stripe.objects("invoice"))
    assert [number.rpartition("-")[2] for number in numbers] == ["0001", "0002"]
    assert client.v1.customers.retrieve(ada.id).next_invoice_sequence == 3


def test_checkout_makes_the_customer_when_there_is_none(stripe, client, checkout):
    session = checkout(customer=None, customer_email="new@example.com")
    stripe.take_deliveries()
    paid = stripe.pay(session.id)
    types = [delivery.type for delivery in stripe.take_deliveries()]
    assert types[:3] == ["charge.succeeded", "payment_method.attached", "customer.created"]
    customer = client.v1.customers.retrieve(paid["customer"])
    assert customer.email == "new@example.com"
    assert client.v1.payment_intents.list({"customer": customer.id}).data[0].status == "succeeded"


def test_metadata_and_description_reach_the_subscription(stripe, client, checkout):
    session = checkout(
        client_reference_id="user-7",
        metadata={"where": "session"},
        subscription_data={"metadata": {"where": "subscription"}, "description": "The plan"},
    )
    paid = stripe.pay(session.id)
    assert paid["client_reference_id"] == "user-7"
    assert paid["metadata"] == {"where": "session"}
    subscription = client.v1.subscriptions.retrieve(paid["subscription"])
    assert subscription.metadata["where"] == "subscription"
    assert subscription.description == "The plan"
