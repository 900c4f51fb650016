"""Metered subscriptions: what was used in a period is billed at its end."""

from __future__ import annotations

import pytest


@pytest.fixture
def metered(client, pro):
    """A price of half a cent a token, every month."""
    meter = client.v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )
    return client.v1.prices.create(
        {
            "product": pro.product,
            "currency": "usd",
            "unit_amount_decimal": "0.5",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )


@pytest.fixture
def subscribe(client, ada, card_of_ada):
    card_of_ada("pm_card_visa")

    def subscribe(*prices):
        return client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": price.id} for price in prices]})

    return subscribe


@pytest.fixture
def use(client, ada):
    def use(value, timestamp=None):
        event = {"event_name": "tokens", "payload": {"stripe_customer_id": ada.id, "value": str(value)}}
        client.v1.billing.meter_events.create(event | ({"timestamp": timestamp} if timestamp else {}))

    return use


def invoices(stripe):
    return [(invoice["billing_reason"], invoice["total"]) for invoice in stripe.objects("invoice")]


def test_it_begins_without_an_invoice_and_bills_each_period_afterwards(stripe, client, metered, subscribe, use):
    subscription = subscribe(metered)
    assert subscription.status == "active"
    assert "quantity" not in subscription["items"].data[0]
    assert invoices(stripe) == []
    use(1000)
    stripe.advance(months=1, hours=2)
    assert invoices(stripe) == [("subscription_cycle", 500)]
    [invoice] = stripe.objects("invoice")
    assert invoice["status"] == "paid"
    [line] = invoice["lines"]["data"]
    assert (line["amount"], line["quantity"]) == (500, 1000)
    assert line["period"]["end"] == subscription["items"].data[0].current_period_end
    use(300)
    stripe.advance(months=1)
    assert invoices(stripe)[-1] == ("subscription_cycle", 150)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_along_with_a_licensed_price_both_stand_on_one_invoice(stripe, pro, metered, subscribe, use):
    subscribe(pro, metered)
    assert invoices(stripe) == [("subscription_create", 2900)]
    use(200)
    stripe.advance(months=1, hours=2)
    assert invoices(stripe)[-1] == ("subscription_cycle", 3000)


def test_usage_reported_late_counts_while_the_invoice_is_a_draft(stripe, metered, subscribe, use):
    subscription = subscribe(metered)
    end = subscription["items"].data[0].current_period_end
    use(1000)
    stripe.advance(to=end + 600)
    assert stripe.objects("invoice")[0]["status"] == "draft"
    use(500, timestamp=end - 10)  # of the period that has ended
    use(7000)  # of the new one
    stripe.advance(hours=2)
    [invoice] = stripe.objects("invoice")
    assert (invoice["status"], invoice["total"]) == ("paid", 750)
    use(100, timestamp=end - 10)  # too late: nobody bills it
    stripe.advance(months=1)
    assert invoices(stripe)[-1] == ("subscription_cycle", 3500)


def test_a_failing_card_fails_the_bill_for_usage(stripe, client, ada, metered, subscribe, use):
    subscription = subscribe(metered)
    use(1000)
    stripe.card_starts_failing(ada)
    stripe.advance(months=1, hours=2)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    stripe.card_works_again(ada)
    client.v1.invoices.pay(stripe.objects("invoice")[0]["id"])
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_checkout_sells_a_metered_price(stripe, checkout, metered, use):
    session = checkout(line_items=[{"price": metered.id}])
    assert session.amount_total == 0
    subscription = stripe.get(stripe.pay(session.id)["subscription"])
    assert subscription["status"] == "active"
    use(400)
    stripe.advance(months=1, hours=2)
    assert invoices(stripe)[-1] == ("subscription_cycle", 200)


def test_the_license_is_not_asked_for_a_quantity(client, ada, metered, card_of_ada):
    import stripe as stripe_sdk

    card_of_ada("pm_card_visa")
    with pytest.raises(stripe_sdk.InvalidRequestError, match="quantity"):
        client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": metered.id, "quantity": 2}]})
