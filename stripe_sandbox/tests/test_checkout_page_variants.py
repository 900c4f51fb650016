"""What else the Checkout page sells: single payments, saved cards, trials, usage, with promotion codes."""

from __future__ import annotations

import html
import re

import pytest

GOOD = {"number": "5555 5555 5555 4444", "expiry": "12 / 40", "cvc": "123", "name": "Ada Lovelace"}


def shown(http, session):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", http.get(f"/c/pay/{session.id}").text)))


@pytest.fixture
def single(client, pro):
    """A price of seven dollars, once."""
    return client.v1.prices.create({"product": pro.product, "currency": "usd", "unit_amount": 700})


@pytest.fixture
def tokens(client):
    """A metered price: five cents each, billed by the month."""
    meter = client.v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )
    product = client.v1.products.create({"name": "Tokens"})
    recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    return client.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 5, "recurring": recurring})


@pytest.fixture
def half_off(client):
    """A promotion code: HALF takes half of the first bill."""
    coupon = client.v1.coupons.create({"percent_off": 50, "duration": "once", "name": "Half off"})
    return client.v1.promotion_codes.create({"code": "HALF", "promotion": {"type": "coupon", "coupon": coupon.id}})


def test_a_single_payment(stripe, http, checkout, single):
    session = checkout(mode="payment", line_items=[{"price": single.id, "quantity": 2}])
    text = shown(http, session)
    for part in ("Pay for Pro", "$14.00", "2 × $7.00", "Pay $14.00", "You are charged $14.00 once."):
        assert part in text
    assert "per month" not in text
    assert http.post(f"/c/pay/{session.id}", data=GOOD).status_code == 303
    assert stripe.get(session.id)["payment_status"] == "paid"


def test_saving_a_card(stripe, http, checkout, ada):
    session = checkout(mode="setup", currency="usd", line_items=None)
    text = shown(http, session)
    for part in ("Save a card with Local Stripe", "Save card", "Nothing is charged now."):
        assert part in text
    assert http.post(f"/c/pay/{session.id}", data=GOOD).status_code == 303
    [method] = stripe.objects("payment_method")
    assert method["customer"] == ada.id


def test_saving_a_card_with_3d_secure(stripe, http, checkout):
    session = checkout(mode="setup", currency="usd", line_items=None)
    challenge = http.post(f"/c/pay/{session.id}", data={**GOOD, "number": "4000002760003184"}).headers["Location"]
    assert "confirm this card" in http.get(challenge).text
    http.post(challenge, data={"outcome": "complete"})
    assert stripe.get(session.id)["status"] == "complete"


def test_a_plan_with_usage(stripe, http, checkout, pro, tokens):
    session = checkout(line_items=[{"price": pro.id, "quantity": 1}, {"price": tokens.id}])
    text = shown(http, session)
    for part in (
        "Subscribe to Pro and Tokens",
        "per month, and what you use",
        "By usage, billed afterwards every month",
    ):
        assert part in text
    assert "it is $29.00 every month and what you used, until you cancel." in text
    assert http.post(f"/c/pay/{session.id}", data=GOOD).status_code == 303
    assert len(stripe.objects("subscription_item")) == 2


def test_usage_alone(stripe, http, checkout, tokens):
    session = checkout(line_items=[{"price": tokens.id}])
    assert "Nothing is charged today." in shown(http, session)
    assert http.post(f"/c/pay/{session.id}", data=GOOD).status_code == 303
    assert stripe.objects("subscription")[0]["status"] == "active"


def test_a_trial(stripe, http, checkout):
    session = checkout(subscription_data={"trial_period_days": 14})
    text = shown(http, session)
    for part in ("Free until", "Total due today $0.00", "Save card and start trial", "it is $29.00 every month"):
        assert part in text
    assert http.post(f"/c/pay/{session.id}", data=GOOD).status_code == 303
    assert stripe.objects("subscription")[0]["status"] == "trialing"


def test_a_promotion_code_is_entered_and_taken_away(stripe, http, checkout, half_off):
    session = checkout(allow_promotion_codes=True)
    here = f"/c/pay/{session.id}"
    assert http.post(f"{here}/code", data={"code": "half"}).headers["Location"] == here
    text = shown(http, session)
    for part in ("HALF", "50% off once", "-$14.50", "Subscribe and pay $14.50", "less your discount while it lasts"):
        assert part in text
    http.post(f"{here}/code", data={"remove": "1"})
    assert "HALF" not in shown(http, session)
    http.post(f"{here}/code", data={"code": "HALF"})
    http.post(here, data=GOOD)
    assert stripe.objects("invoice")[0]["amount_paid"] == 1450


def test_a_code_that_does_not_apply_is_told_at_its_field(http, checkout, half_off):
    session = checkout(allow_promotion_codes=True)
    answer = http.post(f"/c/pay/{session.id}/code", data={"code": "NOTHING"})
    assert answer.status_code == 400
    assert 'id="code-error">This code is invalid.' in answer.text
    assert 'value="NOTHING"' in answer.text


@pytest.mark.parametrize("params", [{}, {"discounts": True}])
def test_without_allow_promotion_codes_there_is_no_field(http, client, checkout, half_off, params):
    if params:
        params = {"discounts": [{"promotion_code": half_off.id}]}
    session = checkout(**params)
    assert 'id="code"' not in http.get(f"/c/pay/{session.id}").text
    assert ("HALF" in shown(http, session)) is bool(params)
    assert http.post(f"/c/pay/{session.id}/code", data={"code": "HALF"}).status_code == 400


def test_a_card_that_was_kept_pays_the_next_time(stripe, http, checkout, single):
    def sell():
        return checkout(
            mode="payment",
            line_items=[{"price": single.id, "quantity": 1}],
            saved_payment_method_options={"payment_method_save": "enabled"},
        )

    first = sell()
    assert "Save this card for later purchases" in http.get(f"/c/pay/{first.id}").text
    http.post(f"/c/pay/{first.id}", data={**GOOD, "keep": "1"})
    second = sell()
    text = http.get(f"/c/pay/{second.id}").text
    assert "Mastercard ending in 4444" in text
    [kept] = stripe.objects("payment_method")
    assert re.search(rf'value="{kept["id"]}" checked', text)
    assert http.post(f"/c/pay/{second.id}", data={"payment_method": kept["id"]}).status_code == 303
    assert stripe.get(second.id)["payment_status"] == "paid"
    assert len(stripe.objects("payment_method")) == 1

    third = sell()  # another card, although one is there
    assert http.post(f"/c/pay/{third.id}", data={**GOOD, "payment_method": ""}).status_code == 303
    assert http.post(f"/c/pay/{sell().id}", data={"payment_method": "pm_none"}).status_code == 400


def test_a_declined_payment_says_that_nothing_was_charged(http, checkout, single):
    session = checkout(mode="payment", line_items=[{"price": single.id, "quantity": 1}])
    answer = http.post(f"/c/pay/{session.id}", data={**GOOD, "number": "4000000000000002"})
    assert answer.status_code == 402
    assert "Nothing was charged." in answer.text


@pytest.mark.parametrize("by", ["the page", "the fixture"])
def test_a_customer_on_a_test_clock_buys_in_its_time(stripe, client, http, checkout, by):
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    session = checkout(customer=client.v1.customers.create({"test_clock": clock.id}).id)
    if by == "the page":
        assert "next on 15 February 2027" in shown(http, session)
        http.post(f"/c/pay/{session.id}", data={**GOOD, "email": "ada@example.com"})
    else:
        stripe.pay(session.id)
    [subscription] = stripe.objects("subscription")
    assert subscription["start_date"] == 1_800_000_000
    assert stripe.events("invoice.paid")[0]["created"] == 1_800_000_000
