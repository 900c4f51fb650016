"""Coupons: what they take off, for how long, and when they are used up."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

DAY = 86400


@pytest.fixture
def coupon_of(client):
    """Make a coupon: `coupon_of(percent_off=25, duration="once")`."""
    return lambda **terms: client.v1.coupons.create(terms)


@pytest.fixture
def subscribe(client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")

    def make(coupon, **params):
        items = [{"price": pro.id}]
        return client.v1.subscriptions.create(
            {"customer": ada.id, "items": items, "discounts": [{"coupon": coupon.id}], **params}
        )

    return make


def totals(stripe, months):
    """What the first invoice and those of so many months later ask for."""
    for _ in range(months):
        stripe.advance(months=1)
    stripe.advance(hours=2)
    return [invoice["total"] for invoice in stripe.objects("invoice")]


@pytest.mark.parametrize(
    ("terms", "asked"),
    [
        ({"percent_off": 25, "duration": "once"}, [2175, 2900, 2900]),
        ({"percent_off": 25, "duration": "forever"}, [2175, 2175, 2175]),
        ({"percent_off": 33.3, "duration": "once"}, [1934, 2900]),
        ({"percent_off": 100, "duration": "once"}, [0, 2900]),
        ({"percent_off": 25, "duration": "repeating", "duration_in_months": 2}, [2175, 2175, 2900]),
        ({"amount_off": 1000, "currency": "usd", "duration": "once"}, [1900, 2900]),
        ({"amount_off": 1000, "currency": "usd", "duration": "forever"}, [1900, 1900]),
        ({"amount_off": 5000, "currency": "usd", "duration": "once"}, [0, 2900]),
    ],
)
def test_it_takes_off_as_long_as_it_lasts(stripe, coupon_of, subscribe, terms, asked):
    subscribe(coupon_of(**terms))
    assert totals(stripe, len(asked) - 1) == asked


def test_the_invoice_shows_what_was_taken_off(stripe, client, coupon_of, subscribe):
    coupon = coupon_of(percent_off=25, duration="forever", name="Friends")
    subscription = subscribe(coupon, expand=["discounts", "latest_invoice"])
    [discount] = subscription.discounts
    assert (discount.source.type, discount.source.coupon) == ("coupon", coupon.id)
    assert discount.subscription == subscription.id
    invoice = subscription.latest_invoice
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (2900, 2175, 2175)
    assert [(one.amount, one.discount) for one in invoice.total_discount_amounts] == [(725, discount.id)]
    [line] = invoice.lines.data
    assert (line.amount, [one.amount for one in line.discount_amounts]) == (2900, [725])


def test_one_that_is_good_once_is_gone_after_its_invoice(stripe, client, coupon_of, subscribe, types):
    subscription = subscribe(coupon_of(percent_off=25, duration="once"))
    told = types()
    assert told.count("customer.discount.created") == told.count("customer.discount.deleted") == 1
    assert client.v1.subscriptions.retrieve(subscription.id).discounts == []


def test_a_trial_does_not_use_it_up(stripe, coupon_of, subscribe):
    subscription = subscribe(coupon_of(percent_off=25, duration="once"), trial_period_days=10)
    stripe.advance(to=subscription.trial_end + 3600)
    assert [invoice["total"] for invoice in stripe.objects("invoice")] == [0, 2175]


def test_it_applies_to_its_products_only(client, ada, card_of_ada, coupon_of, pro):
    card_of_ada("pm_card_visa")
    other = client.v1.products.create({"name": "Other"})
    price = client.v1.prices.create(
        {"product": other.id, "currency": "usd", "unit_amount": 1000, "recurring": {"interval": "month"}}
    )
    coupon = coupon_of(percent_off=50, duration="forever", applies_to={"products": [other.id]})
    subscription = client.v1.subscriptions.create(
        {
            "customer": ada.id,
            "items": [{"price": pro.id}, {"price": price.id}],
            "discounts": [{"coupon": coupon.id}],
            "expand": ["latest_invoice"],
        }
    )
    lines = subscription.latest_invoice.lines.data
    assert [[one.amount for one in line.discount_amounts] for line in lines] == [[], [500]]
    assert subscription.latest_invoice.total == 3400


def test_the_last_redemption_uses_it_up(client, coupon_of, subscribe):
    coupon = coupon_of(percent_off=25, duration="once", max_redemptions=1)
    subscribe(coupon)
    after = client.v1.coupons.retrieve(coupon.id)
    assert (after.times_redeemed, after.valid) == (1, False)
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        subscribe(coupon)
    assert (error.value.code, error.value.param) == ("coupon_expired", "discounts[0][coupon]")


def test_it_expires_at_redeem_by(stripe, client, coupon_of, subscribe):
    coupon = coupon_of(percent_off=25, duration="once", redeem_by=stripe.now + DAY)
    stripe.advance(days=2)
    assert client.v1.coupons.retrieve(coupon.id).valid is False
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        subscribe(coupon)
    assert error.value.code == "coupon_expired"


def test_deleting_it_leaves_the_discounts_that_were_given(stripe, client, coupon_of, subscribe):
    coupon = coupon_of(percent_off=25, duration="forever")
    subscribe(coupon)
    assert client.v1.coupons.delete(coupon.id).deleted
    assert totals(stripe, 1) == [2175, 2175]
    with pytest.raises(stripe_sdk.InvalidRequestError):
        subscribe(coupon)


def test_a_discount_can_be_added_and_taken_away_later(stripe, client, coupon_of, subscription):
    coupon = coupon_of(percent_off=25, duration="forever")
    client.v1.subscriptions.update(subscription.id, {"discounts": [{"coupon": coupon.id}]})
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2175
    client.v1.subscriptions.update(subscription.id, {"discounts": ""})
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2900


def test_two_discounts_are_taken_one_after_the_other(client, coupon_of, subscription):
    half = coupon_of(percent_off=50, duration="forever")
    ten = coupon_of(amount_off=1000, currency="usd", duration="forever")
    both = [{"coupon": half.id}, {"coupon": ten.id}]
    client.v1.subscriptions.update(subscription.id, {"discounts": both})
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})
    assert [one.amount for one in preview.total_discount_amounts] == [1450, 1000]
    assert preview.total == 450


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({"duration": "once"}, "percent_off"),
        ({"percent_off": 0, "duration": "once"}, "percent_off"),
        ({"percent_off": 101, "duration": "once"}, "percent_off"),
        ({"amount_off": 100, "duration": "once"}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "duration": "forever", "duration_in_months": 3}, "duration_in_months"),
        ({"percent_off": 10, "duration": "once", "redeem_by": 1}, "redeem_by"),
    ],
)
def test_terms_that_make_no_sense_are_refused(coupon_of, terms, param):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        coupon_of(**terms)
    assert error.value.param == param
