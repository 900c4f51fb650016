"""Trials: nothing is due until they end, and what happens then without a card."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR, DAY = 3600, 86400


@pytest.fixture
def try_out(client, ada, pro):
    """Subscribe Ada to Pro by API, 14 days for nothing."""

    def subscribe(missing_payment_method=None, **params):
        if missing_payment_method:
            end_behavior = {"missing_payment_method": missing_payment_method}
            params["trial_settings"] = {"end_behavior": end_behavior}
        return client.v1.subscriptions.create(
            {"customer": ada.id, "items": [{"price": pro.id}], "trial_period_days": 14, **params}
        )

    return subscribe


def test_it_begins_with_an_invoice_over_nothing(stripe, client, try_out, types):
    types()
    subscription = try_out()
    assert types() == [
        "customer.updated",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    start = subscription.start_date
    assert (subscription.status, subscription.trial_start, subscription.trial_end) == (
        "trialing",
        start,
        start + 14 * DAY,
    )
    assert subscription.billing_cycle_anchor == subscription.trial_end
    invoice = client.v1.invoices.retrieve(subscription.latest_invoice)
    assert (invoice.total, invoice.status, invoice.billing_reason) == (0, "paid", "subscription_create")
    assert [line.description for line in invoice.lines.data] == ["Trial period for Pro"]
    assert not stripe.objects("charge")


def test_its_end_is_told_three_days_before_and_then_it_is_paid(stripe, client, card_of_ada, try_out, happened, types):
    card_of_ada("pm_card_visa")
    subscription = try_out()
    end = subscription.trial_end
    types()
    stripe.advance(to=end + HOUR)
    assert happened() == [
        ("invoice.upcoming", end - 7 * DAY),
        ("customer.subscription.trial_will_end", end - 3 * DAY),
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
    [begun] = stripe.events("customer.subscription.updated")
    assert begun["data"]["previous_attributes"]["status"] == "trialing"
    assert begun["data"]["object"]["status"] == "active"
    first = stripe.objects("invoice")[-1]
    assert (first["billing_reason"], first["amount_paid"]) == ("subscription_cycle", 2900)
    assert stripe.get(subscription.id)["items"]["data"][0]["current_period_start"] == end


def test_the_end_of_a_short_trial_is_told_at_once(stripe, client, try_out, types):
    types()
    try_out(trial_period_days=2)
    stripe.advance(seconds=1)
    assert "customer.subscription.trial_will_end" in types()


def test_without_a_card_create_invoice_makes_it_past_due(stripe, try_out, types):
    subscription = try_out("create_invoice")
    stripe.advance(to=subscription.trial_end)
    assert stripe.get(subscription.id)["status"] == "active"
    types()
    stripe.advance(hours=1)
    assert stripe.get(subscription.id)["status"] == "past_due"
    invoice = stripe.objects("invoice")[-1]
    assert (invoice["status"], invoice["amount_remaining"]) == ("open", 2900)
    told = types()
    assert "invoice.payment_failed" in told
    assert "charge.failed" not in told  # there was no card to charge


def test_without_a_card_cancel_ends_it(stripe, try_out, types):
    subscription = try_out("cancel")
    stripe.advance(to=subscription.trial_end - 1)
    types()
    stripe.advance(hours=2)
    assert types() == ["customer.subscription.deleted"]
    ended = stripe.get(subscription.id)
    assert (ended["status"], ended["ended_at"]) == ("canceled", subscription.trial_end)
    assert len(stripe.objects("invoice")) == 1


@pytest.fixture
def paused(stripe, client, try_out, types):
    """A subscription whose trial ended without a card."""
    subscription = try_out("pause")
    stripe.advance(to=subscription.trial_end - 1)
    types()
    stripe.advance(hours=2)
    return client.v1.subscriptions.retrieve(subscription.id)


def test_without_a_card_pause_pauses_it(stripe, paused, types):
    assert types() == ["customer.subscription.updated", "customer.subscription.paused"]
    assert paused.status == "paused"
    stripe.advance(months=3)
    assert types() == []  # nothing is billed meanwhile
    assert len(stripe.objects("invoice")) == 1


def test_a_paused_one_resumes_with_a_new_period(stripe, client, paused, card_of_ada, types):
    stripe.advance(days=20)
    card_of_ada("pm_card_visa")
    types()
    resumed = client.v1.subscriptions.resume(paused.id, {"billing_cycle_anchor": "now"})
    told = types()
    assert told[-3:-1] == ["customer.subscription.updated", "customer.subscription.resumed"]
    assert "invoice.paid" in told
    assert resumed.status == "active"
    item = resumed["items"].data[0]
    assert resumed.billing_cycle_anchor == item.current_period_start
    assert stripe.now == item.current_period_start
    invoice = client.v1.invoices.retrieve(resumed.latest_invoice)
    assert (invoice.amount_paid, invoice.billing_reason) == (2900, "subscription_update")


def test_a_resumption_that_is_not_paid_waits(stripe, client, paused, card_of_ada):
    card_of_ada("pm_card_chargeCustomerFail")
    waiting = client.v1.subscriptions.resume(paused.id)
    assert waiting.status == "paused"
    card_of_ada("pm_card_visa")
    client.v1.invoices.pay(waiting.latest_invoice)
    assert client.v1.subscriptions.retrieve(paused.id).status == "active"
    assert stripe.events("customer.subscription.resumed")


def test_only_a_paused_one_resumes(client, subscription):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="not paused"):
        client.v1.subscriptions.resume(subscription.id)


def test_trial_end_now_ends_it_and_bills_at_once(stripe, client, card_of_ada, try_out, types):
    card_of_ada("pm_card_visa")
    subscription = try_out()
    stripe.advance(days=3)
    types()
    changed = client.v1.subscriptions.update(subscription.id, {"trial_end": "now"})
    assert (changed.status, changed.billing_cycle_anchor) == ("active", changed.trial_end)
    invoice = client.v1.invoices.retrieve(changed.latest_invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", 2900)
    stripe.advance(to=subscription.trial_end + DAY)
    assert client.v1.subscriptions.retrieve(subscription.id).latest_invoice == changed.latest_invoice


def test_a_longer_trial_moves_everything(stripe, client, card_of_ada, try_out, happened):
    card_of_ada("pm_card_visa")
    subscription = try_out()
    later = subscription.trial_end + 10 * DAY
    client.v1.subscriptions.update(subscription.id, {"trial_end": later})
    happened()
    stripe.advance(to=later)
    told = dict(happened())
    assert told["customer.subscription.trial_will_end"] == later - 3 * DAY
    assert told["invoice.created"] == later


def test_a_change_of_price_during_the_trial_costs_nothing(client, card_of_ada, try_out, price_of):
    card_of_ada("pm_card_visa")
    subscription = try_out()
    items = [{"id": subscription["items"].data[0].id, "price": price_of(9900).id}]
    wish = {"items": items, "proration_behavior": "always_invoice"}
    changed = client.v1.subscriptions.update(subscription.id, wish)
    assert (changed.status, changed.latest_invoice) == ("trialing", subscription.latest_invoice)
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 9900


# ------------------------------------------------------------------------------- in Checkout
def test_in_checkout_the_card_is_saved_and_nothing_is_charged(stripe, client, checkout, types):
    session = checkout(subscription_data={"trial_period_days": 14})
    types()
    paid = stripe.pay(session.id)
    assert types() == [
        "setup_intent.created",
        "setup_intent.succeeded",
        "payment_method.attached",
        "customer.updated",
        "checkout.session.completed",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    assert paid["payment_status"] in ("no_payment_required", "paid")
    assert paid["amount_total"] == 0
    subscription = client.v1.subscriptions.retrieve(paid["subscription"])
    assert (subscription.status, subscription.trial_end - subscription.start_date) == ("trialing", 14 * DAY)
    assert subscription.default_payment_method
    assert not stripe.objects("charge")
    stripe.advance(to=subscription.trial_end + HOUR)
    assert stripe.objects("invoice")[-1]["amount_paid"] == 2900


def test_in_checkout_without_a_card_if_required(stripe, client, checkout, types):
    session = checkout(
        payment_method_collection="if_required",
        subscription_data={
            "trial_period_days": 14,
            "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        },
    )
    types()
    paid = stripe.pay(session.id)
    assert "setup_intent.created" not in types()
    subscription = client.v1.subscriptions.retrieve(paid["subscription"])
    assert (subscription.status, subscription.default_payment_method) == ("trialing", None)
    stripe.advance(to=subscription.trial_end + HOUR)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
