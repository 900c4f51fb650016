"""Stripe remembers its own 500 for a day and answers the Idempotency-Key with it again: the next key is a new try.

For each write of ours that carries a key, within one press of the button, and done once.
"""

import re
from decimal import Decimal

import pytest

from billing import stripe_gateway
from billing.catalog import create_plan
from billing.checkout import start_checkout
from billing.customers import ensure_customer
from billing.errors import AuthenticationRequired
from billing.models import Plan, PlanPrice
from billing.subscriptions import purchase_plan
from billing.sync import sync_user
from stripe_sandbox.chaos import CALM, Fate

pytestmark = pytest.mark.django_db


@pytest.fixture
def fail_first(stripe, monkeypatch):
    """fail_first(path): Stripe fails the first POST to it (a regular expression); its memory does the rest."""

    def script(path):
        left = [1]

        def fate(method, asked):
            if method == "POST" and re.fullmatch(path, asked) and left:
                left.pop()
                return Fate(frozenset({"server_error"}))
            return CALM

        monkeypatch.setattr(stripe.sandbox.chaos, "for_request", fate)
        stripe.wire_only = True
        return left

    return script


@pytest.fixture
def card(alice, plans, stripe):
    customer = ensure_customer(alice)
    method = stripe.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe.client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
    return customer


def in_spite_of_it(press, left):
    """What pressing once returns, though Stripe failed the write and remembers it."""
    result = press()
    assert not left, "the write that was to fail was never asked for"
    return result


def test_a_customer(alice, plans, stripe, fail_first):
    left = fail_first("/v1/customers")
    assert in_spite_of_it(lambda: ensure_customer(alice), left) == stripe.objects("customer")[0]["id"]
    assert len(stripe.objects("customer")) == 1


@pytest.mark.parametrize("path", ["/v1/products", "/v1/prices"])
def test_a_product_and_its_prices(plans, stripe, fail_first, path):
    before = len(stripe.objects("product"))
    left = fail_first(path)
    create = {"name": "Another", "price_monthly": Decimal(5), "features": {}}
    plan = in_spite_of_it(lambda: create_plan(**create), left)
    assert Plan.objects.published().filter(pk=plan.pk).exists()
    assert len(stripe.objects("product")) - before == 1


def test_a_checkout_session(alice, plans, stripe, fail_first):
    left = fail_first("/v1/checkout/sessions")
    assert in_spite_of_it(lambda: start_checkout(alice, plans["pro"].pk, 1), left)
    assert len(stripe.objects("checkout.session")) == 1


def test_a_first_subscription(alice, plans, stripe, card, fail_first):
    left = fail_first("/v1/subscriptions")
    assert in_spite_of_it(lambda: purchase_plan(alice, plans["pro"].pk, 1), left).plan == plans["pro"]
    assert [charge["amount"] for charge in stripe.objects("charge")] == [2900]


def test_an_upgrade(alice, plans, stripe, card, fail_first):
    purchase_plan(alice, plans["pro"].pk, 1)
    left = fail_first("/v1/subscriptions/[^/]+")
    assert in_spite_of_it(lambda: purchase_plan(alice, plans["team"].pk, 1), left).plan == plans["team"]
    assert len(stripe.objects("charge")) == 2


def test_an_upgrade_that_waits_for_the_bank(alice, plans, stripe, card, fail_first, monkeypatch):
    purchase_plan(alice, plans["pro"].pk, 1)
    stripe.card_works_again(card, "4000002760003184")
    real = stripe_gateway.await_upgrade
    left = []

    def await_upgrade(*args, **kwargs):
        if not left:
            left.append(fail_first("/v1/subscriptions/[^/]+"))
        return real(*args, **kwargs)

    monkeypatch.setattr(stripe_gateway, "await_upgrade", await_upgrade)
    with pytest.raises(AuthenticationRequired) as asked:
        purchase_plan(alice, plans["team"].pk, 1)
    assert left == [[]], "the write that was to fail was never asked for"
    assert "/i/" in asked.value.details["authentication_url"]
    assert [one["status"] for one in stripe.objects("invoice")].count("open") == 1


def test_a_refund(alice, plans, stripe, card, fail_first):
    purchase_plan(alice, plans["pro"].pk, 1)
    price = PlanPrice.objects.get(plan=plans["team"], months=1)
    stripe.client.v1.subscriptions.create({"customer": card, "items": [{"price": price.stripe_price_id}]})
    left = fail_first("/v1/refunds")
    assert in_spite_of_it(lambda: sync_user(alice.pk), left).plan == plans["team"]
    assert len(stripe.objects("refund")) == 1
