"""Sequence 4: a month is over, and the next one begins."""

from __future__ import annotations

import pytest

from stripe_sandbox.tests.receiver import eventually

HOUR, DAY = 3600, 86400


@pytest.fixture
def end(subscription):
    return subscription["items"].data[0].current_period_end


def test_the_events_come_in_stripes_order_and_at_their_moments(stripe, subscription, end, happened):
    stripe.advance(to=end + HOUR)
    assert happened() == [
        ("invoice.upcoming", end - 7 * DAY),
        ("customer.subscription.updated", end),
        ("invoice.created", end),
        ("invoice.finalized", end + HOUR),
        ("payment_intent.created", end + HOUR),
        ("charge.succeeded", end + HOUR),
        ("payment_intent.succeeded", end + HOUR),
        ("invoice.updated", end + HOUR),
        ("invoice.paid", end + HOUR),
        ("invoice.payment_succeeded", end + HOUR),
        ("invoice_payment.paid", end + HOUR),
    ]


def test_the_upcoming_invoice_is_not_there_yet_and_has_no_id(stripe, subscription, end):
    stripe.advance(to=end - 7 * DAY)
    [event] = stripe.events("invoice.upcoming")
    upcoming = event["data"]["object"]
    assert "id" not in upcoming
    assert (upcoming["object"], upcoming["status"], upcoming["total"]) == ("invoice", "draft", 2900)
    assert (upcoming["billing_reason"], upcoming["next_payment_attempt"]) == ("upcoming", end + HOUR)
    assert upcoming["parent"]["subscription_details"]["subscription"] == subscription.id
    assert len(stripe.objects("invoice")) == 1


def test_the_period_moves_at_the_boundary_and_the_event_tells_the_former_one(stripe, client, subscription, end):
    start = subscription["items"].data[0].current_period_start
    stripe.advance(to=end - 1)
    assert client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_end == end
    stripe.advance(to=end)
    [event] = stripe.events("customer.subscription.updated")
    item = event["data"]["object"]["items"]["data"][0]
    assert item["current_period_start"] == end < item["current_period_end"]
    previous = event["data"]["previous_attributes"]
    assert sorted(previous) == ["items", "latest_invoice"]
    [before] = previous["items"]["data"]
    assert (before["current_period_start"], before["current_period_end"]) == (start, end)
    assert event["data"]["object"]["latest_invoice"] == stripe.objects("invoice")[-1]["id"]


def test_the_draft_is_finalized_an_hour_later_and_paid(stripe, subscription, end):
    stripe.advance(to=end + HOUR - 1)
    draft = stripe.objects("invoice")[-1]
    assert (draft["status"], draft["billing_reason"], draft["number"]) == ("draft", "subscription_cycle", None)
    assert (draft["created"], draft["automatically_finalizes_at"]) == (end, end + HOUR)
    assert (draft["period_start"], draft["period_end"]) == (subscription["items"].data[0].current_period_start, end)
    stripe.advance(to=end + HOUR)
    paid = stripe.get(draft["id"])
    assert (paid["status"], paid["amount_paid"], paid["attempt_count"]) == ("paid", 2900, 1)
    assert paid["status_transitions"]["finalized_at"] == paid["status_transitions"]["paid_at"] == end + HOUR
    [line] = paid["lines"]["data"]
    assert line["period"]["start"] == end


def test_a_draft_can_be_added_to_within_its_hour(stripe, client, ada, subscription, end):
    stripe.advance(to=end)
    draft = stripe.objects("invoice")[-1]["id"]
    item = {"customer": ada.id, "invoice": draft, "amount": 500, "currency": "usd", "description": "Extra"}
    client.v1.invoice_items.create(item)
    stripe.advance(hours=1)
    assert client.v1.invoices.retrieve(draft).amount_paid == 3400


def test_what_is_finalized_by_hand_is_not_finalized_again(stripe, client, subscription, end):
    stripe.advance(to=end)
    draft = stripe.objects("invoice")[-1]["id"]
    client.v1.invoices.pay(draft)
    stripe.advance(hours=2)
    assert len([event for event in stripe.events("invoice.finalized") if event["data"]["object"]["id"] == draft]) == 1
    assert client.v1.invoices.retrieve(draft).amount_paid == 2900


def test_twelve_months_are_twelve_periods_from_the_anchor(stripe, client, subscription, end):
    stripe.advance(to=end)
    stripe.advance(months=11)
    invoices = [one for one in stripe.objects("invoice") if one["billing_reason"] == "subscription_cycle"]
    assert len(invoices) == 12
    starts = [one["lines"]["data"][0]["period"]["start"] for one in invoices]
    ends = [one["lines"]["data"][0]["period"]["end"] for one in invoices]
    assert starts[0] == end
    assert starts[1:] == ends[:-1]
    assert {one["status"] for one in invoices[:-1]} == {"paid"}


@pytest.fixture
def refused_draft(stripe, subscription, end, receiver):
    """The renewal's draft, whose invoice.created was answered with 500 each time."""
    receiver.answers = [500] * 3
    stripe.register_webhook(receiver.url, ["invoice.created"])
    stripe.advance(to=end)
    eventually(lambda: stripe.deliveries[0]["state"] == "failed")
    return stripe.objects("invoice")[-1]["id"]


def test_finalization_waits_for_a_2xx_to_invoice_created(stripe, refused_draft):
    stripe.advance(hours=20)
    draft = stripe.get(refused_draft)
    assert draft["status"] == "draft"
    assert draft["automatically_finalizes_at"] > stripe.now
    stripe.deliveries.send_again(stripe.deliveries[0])
    eventually(lambda: stripe.deliveries[0]["state"] == "delivered")
    stripe.advance(hours=1)
    assert stripe.get(refused_draft)["status"] == "paid"


def test_after_72_hours_it_waits_no_longer(stripe, end, refused_draft):
    stripe.advance(to=end + 72 * HOUR - 1)
    assert stripe.get(refused_draft)["status"] == "draft"
    stripe.advance(to=end + 72 * HOUR)
    paid = stripe.get(refused_draft)
    assert (paid["status"], paid["status_transitions"]["finalized_at"]) == ("paid", end + 72 * HOUR)
