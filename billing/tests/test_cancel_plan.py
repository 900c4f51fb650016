"""POST /api/user/cancel_plan: at the period's end, or now; access until then; pressing twice is harmless."""

from datetime import timedelta

import pytest

from billing import stripe_gateway
from billing.checkout import confirm_checkout, start_checkout
from billing.models import UserPlan
from billing.subscriptions import live_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def pro(client, alice, plans, stripe):
    session = stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    client.force_login(alice)
    return confirm_checkout(alice, session["id"]).user_plan


def cancel(client, **body):
    return client.post("/api/user/cancel_plan", body, content_type="application/json")


def test_it_ends_with_the_period_and_gives_access_until_then(client, alice, pro, stripe):
    answer = cancel(client, reason="Too dear")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancel_scheduled"
    user_plan = answer.json()["user_plan"]
    assert user_plan["is_active"] is True
    assert user_plan["cancel_at_period_end"] is True
    assert user_plan["end_date"] == user_plan["current_period_end"]
    subscription = stripe.get(pro.stripe_subscription_id)
    assert subscription["cancel_at_period_end"] is True
    assert subscription["cancellation_details"]["comment"] == "Too dear"
    plan = live_plan(alice.pk)
    assert plan.is_active(plan.cancel_at - timedelta(seconds=1))
    assert not plan.is_active(plan.cancel_at)


def test_twice_is_answered_alike(client, pro, stripe):
    first, second = cancel(client), cancel(client)
    assert second.status_code == 200
    assert second.json()["status"] == "cancel_scheduled"
    assert second.json()["user_plan"] == first.json()["user_plan"]


def test_immediately(client, alice, pro, stripe):
    answer = cancel(client, immediately=True)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.json()["user_plan"]["is_active"] is False
    assert answer.json()["user_plan"]["end_date"]
    assert live_plan(alice.pk) is None
    assert stripe.get(pro.stripe_subscription_id)["status"] == "canceled"


def test_a_scheduled_one_can_still_be_ended_now(client, alice, pro):
    cancel(client)
    assert cancel(client, immediately=True).json()["status"] == "canceled"


def test_nothing_to_cancel(client, alice, plans):
    client.force_login(alice)
    answer = cancel(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_plan")


def test_after_the_end_one_can_buy_again(client, alice, pro, plans, stripe):
    cancel(client, immediately=True)
    session = stripe.pay(start_checkout(alice, plans["team"].pk, 1).rsplit("/", 1)[-1])
    assert confirm_checkout(alice, session["id"]).state == "active"
    assert UserPlan.objects.count() == 2


def test_without_a_body(client, pro):
    assert client.generic("POST", "/api/user/cancel_plan").status_code == 200


def test_ended_at_stripe_meanwhile(client, alice, pro, stripe):
    """Our row still says active; Stripe knows better, and is asked first."""
    stripe_gateway.cancel_now(pro.stripe_subscription_id)
    answer = cancel(client, immediately=True)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_active_plan")
    assert UserPlan.objects.get().status == "canceled"


@pytest.mark.parametrize(
    "body", [{"immediately": "yes"}, {"immediately": 1}, {"immediately": None}, {"reason": 5}, {"reason": "x" * 501}]
)
def test_bad_input_changes_nothing(client, alice, pro, body):
    assert cancel(client, **body).status_code == 400
    assert not live_plan(alice.pk).is_ending


def test_when_stripe_ends_an_unpaid_plan_nobody_can_pay_its_bill_any_more(alice, plans, stripe):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    stripe.advance(months=1, days=20)
    assert sync_user(alice.pk) is None
    assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["paid", "void"]


def test_a_bill_that_is_paid_after_stripe_has_ended_the_plan_is_given_back(alice, plans, stripe):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    stripe.advance(months=1, days=8)
    assert stripe.objects("subscription")[0]["status"] == "canceled"
    stripe.pay_invoice(stripe.objects("invoice")[-1], "4242424242424242")
    sync_user(alice.pk)
    sync_user(alice.pk)
    [refund] = stripe.objects("refund")
    # Seven days were served: the last try failed, and Stripe ended it.
    assert 2900 * 23 / 31 - 40 < refund["amount"] < 2900 * 24 / 31 + 40
