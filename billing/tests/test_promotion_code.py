"""A promotion code at Checkout: what it takes off is seen wherever an amount is shown."""

import pytest

from billing.checkout import start_checkout
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def code(stripe):
    def make(**coupon):
        made = stripe.client.v1.coupons.create(coupon)
        stripe.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": made.id}, "code": "WELCOME"})
        return "WELCOME"

    return make


def buy(stripe, alice, plan, code):
    session = start_checkout(alice, plan.pk, 1).rsplit("/", 1)[-1]
    assert stripe.get(session)["allow_promotion_codes"] is True
    stripe.enter_code(session, code)
    stripe.pay(session)
    return sync_user(alice.pk)


def test_the_next_charge_shows_what_stays_off(alice, plans, stripe, code):
    plan = buy(stripe, alice, plans["pro"], code(percent_off=50, duration="forever"))
    assert plan.amount_cents == 2900
    assert plan.next_charge_cents == 1450
    assert [charge["amount"] for charge in stripe.objects("charge")] == [1450]


def test_once_is_once(alice, plans, stripe, code):
    plan = buy(stripe, alice, plans["pro"], code(percent_off=50, duration="once"))
    assert plan.next_charge_cents == 2900


def test_the_quote_of_a_change_counts_it(alice, plans, stripe, code):
    buy(stripe, alice, plans["pro"], code(percent_off=50, duration="forever"))
    quote = preview_purchase(alice, plans["team"].pk, 1)
    before = sum(charge["amount"] for charge in stripe.objects("charge"))
    purchase_plan(alice, plans["team"].pk, 1, quote=quote.token)
    assert sum(charge["amount"] for charge in stripe.objects("charge")) - before == quote.total_cents
    assert quote.total_cents < 9900 / 2
    assert quote.next_cents == 4950


@pytest.mark.parametrize(
    ("coupon", "next_cents"),
    [
        ({"duration": "forever"}, 49500),
        ({"duration": "once"}, 99000),
        ({"duration": "repeating", "duration_in_months": 3}, 99000),
    ],
)
def test_the_next_bill_of_a_year_counts_what_lasts_until_then(alice, plans, stripe, code, coupon, next_cents):
    buy(stripe, alice, plans["pro"], code(percent_off=50, **coupon))
    quote = preview_purchase(alice, plans["team"].pk, 12)
    assert quote.next_cents == next_cents
    plan = purchase_plan(alice, plans["team"].pk, 12, quote=quote.token)
    assert plan.next_charge_cents == next_cents


def test_a_change_of_a_cancelled_plan_counts_it_too(alice, plans, stripe, code):
    buy(stripe, alice, plans["pro"], code(percent_off=50, duration="forever"))
    cancel_plan(alice)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    assert (quote.undoes_end, quote.next_cents) == (True, 4950)
    assert purchase_plan(alice, plans["team"].pk, 1, quote=quote.token).next_charge_cents == 4950
