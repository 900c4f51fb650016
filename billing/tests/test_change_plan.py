"""Another plan: dearer now and prorated, cheaper at the period's end; told through service and API."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.errors import PaymentFailed, PaymentMethodRequired, PaymentOverdue
from billing.models import UserPlan
from billing.subscriptions import cancel_plan, live_plan, purchase_plan, resume_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def test_an_upgrade_is_prorated_and_charged_now(alice, plans, stripe, buy):
    buy("pro")
    stripe.advance(days=10)
    before = paid_cents(stripe)
    plan = purchase_plan(alice, plans["team"].pk, 1)
    assert (plan.plan, plan.status) == (plans["team"], "active")
    invoice = stripe.objects("invoice")[-1]
    assert paid_cents(stripe) - before == invoice["amount_paid"]
    left = (plan.current_period_end - plan.current_period_start - timedelta(days=10)).total_seconds()
    whole = (plan.current_period_end - plan.current_period_start).total_seconds()
    assert abs(invoice["amount_paid"] - (9900 - 2900) * left / whole) < 2
    assert UserPlan.objects.count() == 1


def test_a_declined_card_changes_nothing(alice, plans, stripe, buy):
    customer = buy("pro")
    stripe.card_starts_failing(customer)
    before = paid_cents(stripe)
    with pytest.raises(PaymentFailed):
        purchase_plan(alice, plans["team"].pk, 1)
    assert live_plan(alice.pk).plan == plans["pro"]
    assert sync_user(alice.pk).plan == plans["pro"]
    assert paid_cents(stripe) == before
    stripe.card_works_again(customer)
    assert purchase_plan(alice, plans["team"].pk, 1).plan == plans["team"]


def test_a_downgrade_waits_for_the_end_of_the_period(alice, plans, stripe, buy):
    buy("team")
    plan = purchase_plan(alice, plans["pro"].pk, 1)
    assert (plan.plan, plan.pending_price.plan) == (plans["team"], plans["pro"])
    assert plan.pending_at == plan.current_period_end
    assert (plan.next_charge_cents, plan.next_charge_at) == (2900, plan.current_period_end)
    stripe.advance(months=1, hours=2)
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.pending_price_id, plan.stripe_schedule_id) == (plans["pro"], None, "")
    assert paid_cents(stripe) == 9900 + 2900


def test_the_newest_choice_wins(alice, plans, stripe, buy):
    buy("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    plan = purchase_plan(alice, plans["explorer"].pk, 1)
    assert plan.pending_price.plan == plans["explorer"]
    stripe.advance(months=1, hours=2)
    assert sync_user(alice.pk).plan == plans["explorer"]
    assert paid_cents(stripe) == 9900


def test_one_click_takes_a_downgrade_back(alice, plans, stripe, buy):
    buy("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    assert resume_plan(alice).pending_price_id is None
    stripe.advance(months=1, hours=2)
    assert sync_user(alice.pk).plan == plans["team"]


def test_choosing_the_present_plan_takes_a_downgrade_back_too(alice, plans, buy):
    buy("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    assert purchase_plan(alice, plans["team"].pk, 1).pending_price_id is None


def test_an_upgrade_takes_the_place_of_a_pending_downgrade(alice, plans, stripe, buy):
    buy("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    plan = purchase_plan(alice, plans["team"].pk, 1)
    assert (plan.plan, plan.pending_price_id) == (plans["team"], None)


def test_a_declined_upgrade_keeps_the_pending_downgrade(alice, plans, stripe, buy):
    customer = buy("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    stripe.card_starts_failing(customer)
    with pytest.raises(PaymentFailed):
        purchase_plan(alice, plans["team"].pk, 1)
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.pending_price.plan) == (plans["pro"], plans["explorer"])


def test_after_a_downgrade_has_happened_the_next_change_is_free_to_happen(alice, plans, stripe, buy):
    buy("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    stripe.advance(months=1, hours=2)
    assert purchase_plan(alice, plans["team"].pk, 1).plan == plans["team"]


def test_a_month_becomes_a_year_now_and_a_year_a_month_when_it_is_over(alice, plans, stripe, buy):
    buy("pro")
    plan = purchase_plan(alice, plans["pro"].pk, 12)
    assert (plan.duration_months, plan.pending_price_id) == (12, None)
    assert 29000 - 5 <= paid_cents(stripe) <= 29000  # the month just paid is given back
    plan = purchase_plan(alice, plans["pro"].pk, 1)
    assert (plan.duration_months, plan.pending_price.months) == (12, 1)


def test_from_free_with_a_card_on_file_a_whole_month_begins_now(alice, plans, stripe, buy):
    buy("team")
    cancel_plan(alice, immediately=True)
    purchase_plan(alice, plans["explorer"].pk, 1)
    stripe.advance(days=10)
    before = paid_cents(stripe)
    plan = purchase_plan(alice, plans["pro"].pk, 1)
    assert plan.plan == plans["pro"]
    assert paid_cents(stripe) - before == 2900
    assert plan.current_period_end - plan.current_period_start >= timedelta(days=28)
    assert UserPlan.objects.live().count() == 1


def test_from_free_without_a_card_it_goes_to_checkout_and_back(alice, plans, stripe):
    purchase_plan(alice, plans["explorer"].pk, 1)
    with pytest.raises(PaymentMethodRequired) as refused:
        purchase_plan(alice, plans["pro"].pk, 1)
    assert live_plan(alice.pk).plan == plans["explorer"]
    stripe.pay(refused.value.details["checkout_url"].rsplit("/", 1)[-1])
    assert sync_user(alice.pk).plan == plans["pro"]
    assert [s["status"] for s in stripe.objects("subscription")] == ["canceled", "active"]


def test_an_upgrade_takes_a_cancellation_back(alice, plans, stripe, buy):
    buy("pro")
    cancel_plan(alice)
    plan = purchase_plan(alice, plans["team"].pk, 1)
    assert (plan.plan, plan.cancel_at) == (plans["team"], None)


def test_a_declined_upgrade_leaves_a_cancellation_in_place(alice, plans, stripe, buy):
    customer = buy("pro")
    cancel_plan(alice)
    stripe.card_starts_failing(customer)
    with pytest.raises(PaymentFailed):
        purchase_plan(alice, plans["team"].pk, 1)
    assert sync_user(alice.pk).is_ending


def test_an_upgrade_to_a_year_after_a_cancellation_pays_the_whole_year(alice, plans, stripe, buy):
    buy("pro")
    cancel_plan(alice)
    plan = purchase_plan(alice, plans["team"].pk, 12)
    assert plan.cancel_at is None
    assert plan.current_period_end - plan.current_period_start >= timedelta(days=365)
    assert 99000 - 5 <= paid_cents(stripe) <= 99000


def test_with_an_overdue_bill_it_has_to_be_paid_first(alice, plans, stripe, buy):
    customer = buy("pro")
    stripe.card_starts_failing(customer)
    stripe.advance(months=1, hours=2)
    with pytest.raises(PaymentOverdue) as refused:
        purchase_plan(alice, plans["team"].pk, 1)
    assert refused.value.details["amount_due"] == 29
    assert refused.value.details["invoice_url"].startswith("http")


def test_a_change_goes_on_in_the_same_monthly_window(alice, plans, stripe):
    purchase_plan(alice, plans["explorer"].pk, 1)
    anchor = live_plan(alice.pk).usage_anchor
    stripe.advance(days=3)
    with pytest.raises(PaymentMethodRequired) as refused:
        purchase_plan(alice, plans["pro"].pk, 1)
    stripe.pay(refused.value.details["checkout_url"].rsplit("/", 1)[-1])
    plan = sync_user(alice.pk)
    assert plan.start_date > anchor
    assert plan.usage_anchor == anchor


def test_ended_and_taken_again_the_next_day_it_goes_on_too(alice, plans, stripe):
    purchase_plan(alice, plans["explorer"].pk, 1)
    anchor = live_plan(alice.pk).usage_anchor
    cancel_plan(alice, immediately=True)
    stripe.advance(days=1)
    assert purchase_plan(alice, plans["explorer"].pk, 1).usage_anchor == anchor
    cancel_plan(alice, immediately=True)
    stripe.advance(days=40)
    later = purchase_plan(alice, plans["explorer"].pk, 1)
    assert later.usage_anchor == later.start_date


def test_the_api_tells_the_pending_change(client, alice, plans, buy):
    buy("team")
    client.force_login(alice)
    answer = client.post(
        "/api/purchase/plan",
        {"plan_id": plans["pro"].pk, "duration_months": 1},
        content_type="application/json",
    )
    assert answer.status_code == 200, answer.content
    user_plan = answer.json()["user_plan"]
    assert user_plan["plan_id"] == plans["team"].pk
    assert user_plan["pending_change"]["plan_id"] == plans["pro"].pk
    assert user_plan["pending_change"]["effective_at"] == user_plan["current_period_end"]
    assert user_plan["next_charge"] == {"amount": 29.0, "date": user_plan["current_period_end"]}
    resumed = client.post("/api/user/resume_plan", content_type="application/json")
    assert resumed.json()["user_plan"]["pending_change"] is None
    again = client.post("/api/user/resume_plan", content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_resume")


def test_an_unpaid_plan_is_cancelled_at_once_and_nobody_owes_anything(alice, plans, stripe, buy):
    customer = buy("pro")
    stripe.card_starts_failing(customer)
    stripe.advance(months=1, hours=2)
    assert sync_user(alice.pk).status == "past_due"
    status, plan = cancel_plan(alice)
    assert (status, plan.is_active(timezone.now())) == ("canceled", False)
    assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["paid", "void"]
