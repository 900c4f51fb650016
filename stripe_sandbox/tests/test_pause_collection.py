"""pause_collection: the subscription goes on, its invoices are not collected."""

from __future__ import annotations

import pytest

HOUR = 3600


@pytest.fixture
def pause(client, subscription):
    def ask(behavior, **params):
        wish = {"behavior": behavior, **params}
        return client.v1.subscriptions.update(subscription.id, {"pause_collection": wish})

    return ask


@pytest.fixture
def end(subscription):
    return subscription["items"].data[0].current_period_end


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        ("keep_as_draft", "draft", None),
        ("void", "void", "invoice.voided"),
        ("mark_uncollectible", "uncollectible", "invoice.marked_uncollectible"),
    ],
)
def test_a_renewals_invoice_is_not_collected(stripe, subscription, pause, end, types, behavior, status, event):
    assert pause(behavior).status == "active"
    stripe.advance(to=end - 1)
    types()
    stripe.advance(to=end + 2 * HOUR)
    told = types()
    assert told[:2] == ["customer.subscription.updated", "invoice.created"]
    assert told[2:] == (["invoice.finalized", event] if event else [])
    assert stripe.objects("invoice")[-1]["status"] == status
    assert stripe.get(subscription.id)["status"] == "active"
    assert len(stripe.objects("charge")) == 1


def test_it_goes_on_when_asked_to(stripe, client, subscription, pause, end):
    pause("void")
    assert client.v1.subscriptions.update(subscription.id, {"pause_collection": ""}).pause_collection is None
    stripe.advance(to=end + HOUR)
    assert stripe.objects("invoice")[-1]["status"] == "paid"


def test_it_goes_on_by_itself_at_resumes_at(stripe, subscription, pause, end, types):
    paused = pause("void", resumes_at=end - HOUR)
    assert paused.pause_collection.resumes_at == end - HOUR
    stripe.advance(to=end - HOUR - 1)
    types()
    stripe.advance(to=end - HOUR)
    assert types() == ["customer.subscription.updated"]
    assert stripe.get(subscription.id)["pause_collection"] is None
    stripe.advance(to=end + HOUR)
    assert stripe.objects("invoice")[-1]["status"] == "paid"


@pytest.mark.parametrize("behavior", ["void", "mark_uncollectible"])
def test_what_costs_nothing_is_paid_all_the_same(stripe, client, ada, pause, end, behavior):
    client.v1.customers.balance_transactions.create(ada.id, {"amount": -9000, "currency": "usd"})
    pause(behavior)
    stripe.advance(to=end + HOUR)
    renewal = stripe.objects("invoice")[-1]
    assert (renewal["status"], renewal["amount_due"]) == ("paid", 0)
