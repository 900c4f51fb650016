"""POST /api/purchase/plan: a first plan, charged to the card on file."""

import pytest
import stripe as stripe_sdk

from billing.checkout import start_checkout
from billing.models import UserPlan
from billing.subscriptions import cancel_plan, live_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def buy(client, alice):
    client.force_login(alice)

    def post(plan, months=1, **headers):
        return client.post(
            "/api/purchase/plan",
            {"plan_id": plan.pk, "duration_months": months},
            content_type="application/json",
            headers=headers,
        )

    return post


@pytest.fixture
def had_a_plan(alice, plans, stripe):
    """Alice bought Team once with a good card and ended it: the card is still on file."""
    stripe.pay(start_checkout(alice, plans["team"].pk, 1).rsplit("/", 1)[-1])
    cancel_plan(alice, immediately=True)


def test_without_a_card_it_leads_to_checkout(buy, plans, stripe):
    answer = buy(plans["pro"])
    assert (answer.status_code, answer.json()["code"]) == (402, "payment_method_required")
    session = stripe.objects("checkout.session")[0]
    assert answer.json()["checkout_url"] == session["url"]
    assert stripe.objects("subscription") == []


def test_a_free_plan_needs_no_card(buy, alice, plans, stripe):
    answer = buy(plans["explorer"])
    assert answer.status_code == 200
    user_plan = answer.json()["user_plan"]
    assert (user_plan["plan_id"], user_plan["is_active"], user_plan["end_date"]) == (plans["explorer"].pk, True, None)
    assert stripe.objects("charge") == []


def test_the_card_on_file_is_charged(buy, alice, plans, stripe, had_a_plan):
    answer = buy(plans["pro"])
    assert answer.status_code == 200, answer.content
    assert live_plan(alice.pk).plan == plans["pro"]
    paid = [charge["amount"] for charge in stripe.objects("charge") if charge["paid"]]
    assert sorted(paid) == [2900, 9900]


def test_pressed_twice_it_buys_once(buy, plans, stripe):
    assert buy(plans["explorer"]).status_code == 200
    again = buy(plans["explorer"])
    assert (again.status_code, again.json()["code"]) == (409, "already_subscribed")
    assert len(stripe.objects("subscription")) == 1


def test_a_declined_card_buys_nothing_and_another_try_is_a_real_one(buy, alice, plans, stripe, had_a_plan, monkeypatch):
    customer = alice.billing_account.stripe_customer_id
    monkeypatch.setattr(stripe_sdk, "api_key", stripe.secret_key)
    bad = stripe_sdk.PaymentMethod.attach("pm_card_chargeCustomerFail", customer=customer)
    stripe_sdk.Customer.modify(customer, invoice_settings={"default_payment_method": bad.id})
    refused = buy(plans["pro"])
    assert (refused.status_code, refused.json()["code"]) == (402, "payment_failed")
    assert refused.json()["decline_code"]
    assert live_plan(alice.pk) is None
    assert UserPlan.objects.count() == 1  # the ended one
    good = stripe_sdk.PaymentMethod.attach("pm_card_visa", customer=customer)
    stripe_sdk.Customer.modify(customer, invoice_settings={"default_payment_method": good.id})
    assert buy(plans["pro"]).status_code == 200
    assert live_plan(alice.pk).plan == plans["pro"]


def test_an_open_checkout_is_closed_first(buy, alice, plans, stripe, had_a_plan):
    session_id = start_checkout(alice, plans["team"].pk, 1).rsplit("/", 1)[-1]
    assert buy(plans["pro"]).status_code == 200
    assert stripe.get(session_id)["status"] == "expired"


@pytest.mark.parametrize("months", [0, 37, -1, 1.5, "1", True, None, 2**31, 10**400])
def test_months_are_1_to_36(client, alice, plans, months):
    client.force_login(alice)
    answer = client.post(
        "/api/purchase/plan", {"plan_id": plans["pro"].pk, "duration_months": months}, content_type="application/json"
    )
    assert answer.status_code == 400, answer.content
