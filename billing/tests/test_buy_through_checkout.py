"""A first purchase on Stripe's page: one session, one subscription, one plan."""

import pytest
from django.urls import reverse
from django.utils import timezone

from billing import stripe_gateway
from billing.checkout import confirm_checkout, start_checkout
from billing.errors import AlreadySubscribed, CheckoutNotFound, PlanChangeRequired, PlanNotFound
from billing.models import BillingAccount, Plan, UserPlan
from billing.subscriptions import live_plan

pytestmark = pytest.mark.django_db


def session_of(url):
    return url.rsplit("/", 1)[-1]


def test_paid_on_stripes_page_the_plan_is_active(alice, plans, stripe):
    session = stripe.pay(session_of(start_checkout(alice, plans["pro"].pk, 1)))
    outcome = confirm_checkout(alice, session["id"])
    assert outcome.state == "active"
    assert (outcome.plan, outcome.months) == (plans["pro"], 1)
    plan = live_plan(alice.pk)
    assert plan == outcome.user_plan
    assert plan.is_active(timezone.now())
    assert (plan.plan, plan.duration_months, plan.amount_cents) == (plans["pro"], 1, 2900)


def test_the_dates_are_stripes(alice, plans, stripe):
    session = stripe.pay(session_of(start_checkout(alice, plans["pro"].pk, 12)))
    plan = confirm_checkout(alice, session["id"]).user_plan
    subscription = stripe.get(session["subscription"])
    item = subscription["items"]["data"][0]
    assert int(plan.start_date.timestamp()) == subscription["start_date"]
    assert int(plan.current_period_end.timestamp()) == item["current_period_end"]
    assert plan.end_date == plan.current_period_end
    assert 365 <= (plan.current_period_end - plan.current_period_start).days <= 366


def test_a_free_plan_is_a_subscription_too_and_asks_for_no_card(alice, plans, stripe):
    session = stripe.pay(session_of(start_checkout(alice, plans["explorer"].pk, 1)), card=None)
    outcome = confirm_checkout(alice, session["id"])
    assert outcome.state == "active"
    assert outcome.user_plan.end_date is None
    assert stripe.objects("charge") == []


def test_the_same_choice_leads_to_the_same_session(alice, plans, stripe):
    assert start_checkout(alice, plans["pro"].pk, 1) == start_checkout(alice, plans["pro"].pk, 1)
    assert len(stripe.objects("checkout.session")) == 1


def test_another_choice_expires_the_older_session(alice, plans, stripe):
    first = session_of(start_checkout(alice, plans["pro"].pk, 1))
    second = session_of(start_checkout(alice, plans["team"].pk, 1))
    assert stripe.get(first)["status"] == "expired"
    assert stripe.get(second)["status"] == "open"


def test_back_to_the_first_choice_is_a_new_session(alice, plans, stripe):
    first = start_checkout(alice, plans["pro"].pk, 1)
    start_checkout(alice, plans["team"].pk, 1)
    again = start_checkout(alice, plans["pro"].pk, 1)
    assert again != first
    assert stripe.get(session_of(again))["status"] == "open"


def test_one_customer_and_one_price_however_often_one_looks(alice, plans, stripe):
    for name in ("pro", "team", "pro"):
        start_checkout(alice, plans[name].pk, 1)
    assert len(stripe.objects("customer")) == 1
    assert BillingAccount.objects.get(user=alice).stripe_customer_id == stripe.objects("customer")[0]["id"]
    # A month and a year of each plan, and what bills AI tokens beside either.
    assert len(stripe.objects("price")) == 8


def test_who_has_the_plan_is_told_so(alice, plans, stripe):
    stripe.pay(session_of(start_checkout(alice, plans["pro"].pk, 1)))
    with pytest.raises(AlreadySubscribed):
        start_checkout(alice, plans["pro"].pk, 1)
    with pytest.raises(PlanChangeRequired):
        start_checkout(alice, plans["team"].pk, 1)


def test_only_what_is_on_sale_can_be_bought(alice, plans):
    Plan.objects.filter(pk=plans["pro"].pk).update(state="archived")
    for plan_id in (plans["pro"].pk, 999_999):
        with pytest.raises(PlanNotFound):
            start_checkout(alice, plan_id, 1)


def test_a_price_of_three_months_is_made_once(alice, bob, plans, stripe):
    for user in (alice, bob):
        stripe.pay(session_of(start_checkout(user, plans["pro"].pk, 3)))
    [price] = [p for p in stripe.objects("price") if p["unit_amount"] == 8700]
    assert price["recurring"]["interval"] == "month"
    assert price["recurring"]["interval_count"] == 3


def test_an_unpaid_session_is_no_plan(alice, plans):
    session_id = session_of(start_checkout(alice, plans["pro"].pk, 1))
    outcome = confirm_checkout(alice, session_id)
    assert outcome.state == "cancelled"
    assert outcome.checkout_url and session_id in outcome.checkout_url
    assert not UserPlan.objects.exists()


def test_a_session_of_another_is_not_there(alice, bob, plans, stripe):
    session_id = session_of(start_checkout(alice, plans["pro"].pk, 1))
    stripe.pay(session_id)
    start_checkout(bob, plans["pro"].pk, 1)
    for user, wanted in ((bob, session_id), (alice, "cs_test_unknown"), (alice, "garbage\x00"), (alice, "")):
        with pytest.raises(CheckoutNotFound):
            confirm_checkout(user, wanted)
    assert not UserPlan.objects.filter(user=bob).exists()


def test_a_session_made_by_hand_in_the_dashboard_is_none_of_our_purchases(alice, plans, stripe):
    start_checkout(alice, plans["pro"].pk, 1)
    customer = BillingAccount.objects.get(user=alice).stripe_customer_id
    price = stripe.objects("price")[0]["id"]
    by_hand = stripe_gateway._client().v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": price, "quantity": 1}],
            "success_url": "http://127.0.0.1/",
        }
    )
    with pytest.raises(CheckoutNotFound):
        confirm_checkout(alice, by_hand["id"])
    start_checkout(alice, plans["team"].pk, 1)
    assert stripe.get(by_hand["id"])["status"] == "expired"


def test_the_page_after_checkout_says_active_without_any_webhook(client, alice, plans, stripe):
    client.force_login(alice)
    session = stripe.pay(session_of(start_checkout(alice, plans["pro"].pk, 1)))
    page = client.get(reverse("billing:checkout_return"), {"session_id": session["id"]})
    assert page.status_code == 200
    assert b"DataPilot Pro" in page.content
    assert UserPlan.objects.live().filter(user=alice, plan=plans["pro"]).count() == 1


def test_through_the_api(client, alice, plans, stripe):
    client.force_login(alice)
    wanted = {"plan_id": plans["pro"].pk, "duration_months": 1}
    answer = client.post("/api/create-checkout-session", wanted, content_type="application/json")
    assert answer.status_code == 200
    assert list(answer.json()) == ["checkout_url"]
    stripe.pay(session_of(answer.json()["checkout_url"]))
    refused = client.post("/api/create-checkout-session", wanted, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_subscribed")
    other = wanted | {"plan_id": plans["team"].pk}
    refused = client.post("/api/create-checkout-session", other, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_change_required")
