"""What time and changes do to a subscription: renewal, proration, dunning, schedule, test clock."""

import pytest
import stripe as sdk


@pytest.fixture
def shop(stripe):
    client = stripe.client
    product = client.v1.products.create({"name": "Pro"})

    def price(cents, interval="month"):
        return client.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": cents,
                "recurring": {"interval": interval},
            }
        ).id

    def subscribe(price_id, card="pm_card_visa", **params):
        customer = client.v1.customers.create({})
        method = client.v1.payment_methods.attach(card, {"customer": customer.id})
        return client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price_id}], "default_payment_method": method.id} | params
        )

    stripe.price, stripe.subscribe = price, subscribe
    return stripe


def item(subscription):
    return subscription["items"]["data"][0]


def test_a_month_later_it_is_renewed_and_paid(shop):
    subscription = shop.subscribe(shop.price(2900))
    shop.take_deliveries()
    shop.advance(months=1, days=1)
    renewed = shop.get(subscription.id)
    assert item(renewed)["current_period_start"] == item(subscription)["current_period_end"]
    first, second = shop.objects("invoice")
    assert (second["billing_reason"], second["status"], second["amount_paid"]) == (
        "subscription_cycle",
        "paid",
        2900,
    )
    types = [delivery.type for delivery in shop.take_deliveries()]
    for kind in ("invoice.created", "invoice.finalized", "invoice.paid", "customer.subscription.updated"):
        assert kind in types


def test_an_upgrade_costs_what_its_preview_said(shop):
    dear = shop.price(9900)
    subscription = shop.subscribe(shop.price(2900))
    shop.advance(days=10)
    at = int(shop.sandbox.clock.now())
    change = {
        "items": [{"id": item(subscription)["id"], "price": dear}],
        "proration_behavior": "always_invoice",
    }
    change["proration_date"] = at
    preview = shop.client.v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    shop.client.v1.subscriptions.update(subscription.id, change)
    invoice = shop.objects("invoice")[-1]
    start, end = item(subscription)["current_period_start"], item(subscription)["current_period_end"]
    expected = round(9900 * (end - at) / (end - start)) - round(2900 * (end - at) / (end - start))
    assert invoice["total"] == preview["total"]
    assert abs(invoice["total"] - expected) <= 1
    amounts = sorted(line["amount"] for line in invoice["lines"]["data"])
    assert amounts[0] < 0 < amounts[1]
    assert amounts == sorted(line["amount"] for line in preview["lines"]["data"])


def test_a_declined_upgrade_changes_nothing(shop):
    subscription = shop.subscribe(shop.price(2900))
    bad = shop.client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.client.v1.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    before = shop.get(subscription.id)
    with pytest.raises(sdk.CardError):
        shop.client.v1.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": item(subscription)["id"], "price": shop.price(9900)}],
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    assert shop.get(subscription.id) == before
    assert len(shop.objects("invoice")) == 1


def test_a_card_that_starts_failing_is_dunned_and_the_plan_ends(shop):
    subscription = shop.subscribe(shop.price(2900))
    shop.card_starts_failing(subscription.customer)
    shop.advance(months=1, days=1)
    assert shop.get(subscription.id)["status"] == "past_due"
    assert shop.objects("invoice")[-1]["attempt_count"] == 1
    shop.advance(days=30)
    assert shop.get(subscription.id)["status"] == "canceled"


def test_a_new_card_recovers_it(shop):
    subscription = shop.subscribe(shop.price(2900))
    shop.card_starts_failing(subscription.customer)
    shop.advance(months=1, days=1)
    shop.card_works_again(subscription.customer)
    shop.client.v1.invoices.pay(shop.objects("invoice")[-1]["id"])
    assert shop.get(subscription.id)["status"] == "active"


def test_a_scheduled_downgrade_happens_at_the_boundary(shop):
    cheap = shop.price(900)
    subscription = shop.subscribe(shop.price(2900))
    schedule = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = schedule["phases"][0]
    shop.client.v1.subscription_schedules.update(
        schedule.id,
        {
            "end_behavior": "release",
            "phases": [
                {
                    "items": [{"price": item(subscription)["price"]["id"]}],
                    "start_date": now["start_date"],
                    "end_date": now["end_date"],
                },
                {"items": [{"price": cheap}], "duration": {"interval": "month", "interval_count": 1}},
            ],
        },
    )
    assert item(shop.get(subscription.id))["price"]["unit_amount"] == 2900
    shop.advance(months=1, days=1)
    assert item(shop.get(subscription.id))["price"]["unit_amount"] == 900
    assert shop.objects("invoice")[-1]["amount_paid"] == 900
    shop.advance(months=1, days=1)
    assert shop.get(subscription.id)["schedule"] is None


def test_a_test_clock_renews_its_own(shop):
    clock = shop.client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    customer = shop.client.v1.customers.create({"test_clock": clock.id})
    card = shop.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    subscription = shop.client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": shop.price(2900)}], "default_payment_method": card.id}
    )
    other = shop.subscribe(shop.price(2900))
    shop.client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": 1_800_000_000 + 33 * 86400})
    assert shop.get(clock.id)["status"] == "ready"
    assert item(shop.get(subscription.id))["current_period_start"] == item(subscription)["current_period_end"]
    assert item(shop.get(other.id))["current_period_start"] == item(other)["current_period_start"]
