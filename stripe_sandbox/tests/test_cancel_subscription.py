"""Sequences 8, 9 and 10: ending a subscription, and thinking better of it."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


def types_of(stripe):
    return [delivery.type for delivery in stripe.take_deliveries()]


def test_at_the_period_end(stripe, client, subscription):
    end = subscription["items"].data[0].current_period_end
    changed = client.v1.subscriptions.update(
        subscription.id,
        {"cancel_at_period_end": True, "cancellation_details": {"comment": "bye", "feedback": "unused"}},
    )
    assert (changed.status, changed.cancel_at_period_end, changed.cancel_at) == ("active", True, end)
    assert changed.canceled_at is not None
    assert changed.cancellation_details.reason == "cancellation_requested"
    assert changed.cancellation_details.feedback == "unused"
    [delivery] = stripe.take_deliveries()
    assert delivery.type == "customer.subscription.updated"
    assert delivery.event["data"]["previous_attributes"] == {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    }

    with stripe.sandbox.clock.at(end - 1):
        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    with stripe.sandbox.clock.at(end + 3600):
        ended = client.v1.subscriptions.retrieve(subscription.id)
        [delivery] = stripe.take_deliveries()
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert ended.canceled_at == changed.canceled_at
    assert delivery.type == "customer.subscription.deleted"
    assert delivery.event["created"] == end


@pytest.mark.parametrize("undo", [{"cancel_at_period_end": False}, {"cancel_at": ""}])
def test_undo(stripe, client, subscription, undo):
    end = subscription["items"].data[0].current_period_end
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    stripe.take_deliveries()
    kept = client.v1.subscriptions.update(subscription.id, undo)
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)
    assert kept.cancellation_details.reason is None
    assert types_of(stripe) == ["customer.subscription.updated"]
    with stripe.sandbox.clock.at(end + 60):
        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_at_a_moment_as_the_portal_does(stripe, client, subscription):
    end = subscription["items"].data[0].current_period_end
    changed = client.v1.subscriptions.update(subscription.id, {"cancel_at": "min_period_end"})
    assert (changed.cancel_at, changed.cancel_at_period_end) == (end, False)
    sooner = client.v1.subscriptions.update(subscription.id, {"cancel_at": end - 86400, "proration_behavior": "none"})
    assert sooner.cancel_at == end - 86400
    with stripe.sandbox.clock.at(end - 86400):
        assert client.v1.subscriptions.retrieve(subscription.id).ended_at == end - 86400


def test_a_moment_of_the_past_is_refused(client, subscription):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="in the future"):
        client.v1.subscriptions.update(subscription.id, {"cancel_at": 1})


def test_at_once(stripe, client, subscription):
    ended = client.v1.subscriptions.cancel(subscription.id, {"cancellation_details": {"comment": "now"}})
    assert ended.status == "canceled"
    assert ended.ended_at == ended.canceled_at
    assert (ended.cancellation_details.comment, ended.cancellation_details.reason) == (
        "now",
        "cancellation_requested",
    )
    assert types_of(stripe) == ["customer.subscription.deleted"]


def test_the_second_time_there_is_no_such_subscription(client, subscription):
    client.v1.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.subscriptions.cancel(subscription.id)
    assert (error.value.http_status, error.value.code) == (404, "resource_missing")
    assert error.value.user_message == f"No such subscription: '{subscription.id}'"


def test_a_canceled_one_takes_only_notes(client, subscription):
    client.v1.subscriptions.cancel(subscription.id)
    changed = client.v1.subscriptions.update(subscription.id, {"metadata": {"a": "1"}})
    assert changed.metadata["a"] == "1"
    with pytest.raises(stripe_sdk.InvalidRequestError, match="can only update its"):
        client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})


def test_at_once_with_the_rest_credited(stripe, client, subscription):
    client.v1.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    credit = stripe.objects("invoice")[-1]
    assert credit["total"] < 0
    assert client.v1.customers.retrieve(subscription.customer).balance == credit["total"]


def test_at_once_with_invoice_now_what_waits_is_billed(stripe, client, ada, subscription):
    client.v1.invoice_items.create(
        {"customer": ada.id, "subscription": subscription.id, "amount": 700, "currency": "usd", "description": "Extra"}
    )
    stripe.take_deliveries()
    ended = client.v1.subscriptions.cancel(subscription.id, {"invoice_now": True})
    told = types_of(stripe)
    assert told[0] == "customer.subscription.deleted"
    assert [type for type in told if type.startswith("invoice.")] == [
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    last = client.v1.invoices.retrieve(ended.latest_invoice)
    assert (last.total, last.status, last.billing_reason) == (700, "paid", "subscription_update")


def test_its_open_invoices_are_no_longer_collected(stripe, client, subscription):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(to=subscription["items"].data[0].current_period_end + 3600)
    late = stripe.objects("invoice")[-1]
    assert late["next_payment_attempt"] is not None
    stripe.take_deliveries()
    client.v1.subscriptions.cancel(subscription.id)
    assert types_of(stripe) == ["invoice.updated", "customer.subscription.deleted"]
    left = stripe.get(late["id"])
    assert (left["status"], left["auto_advance"], left["next_payment_attempt"]) == ("open", False, None)
    stripe.advance(days=30)
    assert types_of(stripe) == []
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": subscription.customer})
    paid = client.v1.invoices.pay(late["id"], {"payment_method": card.id})  # by hand it still can be
    assert paid.status == "paid"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_the_draft_of_the_hour_is_not_finalized_any_more(stripe, client, subscription):
    stripe.advance(to=subscription["items"].data[0].current_period_end)
    draft = stripe.objects("invoice")[-1]["id"]
    client.v1.subscriptions.cancel(subscription.id)
    stripe.advance(days=1)
    assert stripe.get(draft)["status"] == "draft"


def test_an_end_at_the_periods_end_moves_with_the_period(client, subscription, price_of):
    """From month to year a new period begins; the end that was asked for is its end now."""
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    items = [{"id": subscription["items"].data[0].id, "price": price_of(29000, "year").id}]
    changed = client.v1.subscriptions.update(subscription.id, {"items": items})
    assert changed.cancel_at_period_end is True
    assert changed.cancel_at == changed["items"].data[0].current_period_end


def test_an_incomplete_one_takes_its_invoice_along(stripe, client, ada, pro):
    subscription = client.v1.subscriptions.create(
        {"customer": ada.id, "items": [{"price": pro.id}], "payment_behavior": "default_incomplete"}
    )
    assert client.v1.subscriptions.cancel(subscription.id).status == "incomplete_expired"
    assert client.v1.invoices.retrieve(subscription.latest_invoice).status == "void"


def test_a_subscription_may_be_born_to_end(client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")
    subscription = client.v1.subscriptions.create(
        {"customer": ada.id, "items": [{"price": pro.id}], "cancel_at_period_end": True}
    )
    assert subscription.cancel_at == subscription["items"].data[0].current_period_end
