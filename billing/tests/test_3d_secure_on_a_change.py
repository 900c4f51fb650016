"""The bank wants to see the customer: an upgrade waits for them on Stripe's page and follows by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.errors import AuthenticationRequired, PlanIsEnding
from billing.subscriptions import cancel_plan, live_plan, purchase_plan, resume_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

ALWAYS_ASKS = "4000002760003184"


@pytest.fixture
def on_pro(stripe, buy):
    """Alice has Pro; from now on her bank asks about every payment."""
    customer = buy("pro")
    stripe.card_works_again(customer, card=ALWAYS_ASKS)
    return customer


def test_it_answers_402_with_the_page_where_it_is_done(client, alice, plans, stripe, on_pro):
    client.force_login(alice)
    answer = client.post(
        "/api/purchase/plan",
        {"plan_id": plans["team"].pk, "duration_months": 1},
        content_type="application/json",
    )
    assert (answer.status_code, answer.json()["code"]) == (402, "authentication_required")
    invoice = stripe.objects("invoice")[-1]
    assert answer.json()["authentication_url"] == invoice["hosted_invoice_url"]
    assert invoice["status"] == "open"
    shown = client.get("/api/user/plan").json()["user_plan"]
    assert shown["plan_id"] == plans["pro"].pk
    assert shown["awaiting_confirmation"]["plan_id"] == plans["team"].pk
    assert shown["awaiting_confirmation"]["authentication_url"] == invoice["hosted_invoice_url"]


def test_nothing_is_charged_or_changed_until_it_is_confirmed(alice, plans, stripe, on_pro):
    with pytest.raises(AuthenticationRequired):
        purchase_plan(alice, plans["team"].pk, 1)
    plan = live_plan(alice.pk)
    assert (plan.plan, plan.awaited_price.plan, plan.is_active(timezone.now())) == (plans["pro"], plans["team"], True)
    assert sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"]) == 2900


def test_asking_again_leads_to_the_same_bill_and_never_to_two(alice, plans, stripe, on_pro):
    pages = set()
    for _ in range(3):
        with pytest.raises(AuthenticationRequired) as refused:
            purchase_plan(alice, plans["team"].pk, 1)
        pages.add(refused.value.details["authentication_url"])
    still_open = [invoice for invoice in stripe.objects("invoice") if invoice["status"] == "open"]
    assert len(still_open) == 1
    assert pages == {still_open[0]["hosted_invoice_url"]}


def test_unconfirmed_it_is_forgotten_after_a_day(alice, plans, stripe, on_pro):
    with pytest.raises(AuthenticationRequired):
        purchase_plan(alice, plans["team"].pk, 1)
    stripe.advance(days=1)
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.awaited_price_id, plan.open_invoice_url) == (plans["pro"], None, "")


def test_a_cancelled_plan_has_to_be_kept_first(alice, plans, stripe, on_pro):
    cancel_plan(alice)
    with pytest.raises(PlanIsEnding):
        purchase_plan(alice, plans["team"].pk, 1)
    assert sync_user(alice.pk).is_ending
    assert [invoice for invoice in stripe.objects("invoice") if invoice["status"] == "open"] == []


def test_a_scheduled_downgrade_stays_and_has_to_be_taken_back_first(alice, plans, stripe, on_pro):
    purchase_plan(alice, plans["explorer"].pk, 1)
    with pytest.raises(PlanIsEnding):
        purchase_plan(alice, plans["team"].pk, 1)
    assert sync_user(alice.pk).pending_price.plan == plans["explorer"]
    resume_plan(alice)
    with pytest.raises(AuthenticationRequired):
        purchase_plan(alice, plans["team"].pk, 1)


def test_a_first_plan_with_such_a_card_is_bought_on_stripes_page(alice, plans, stripe, on_pro):
    cancel_plan(alice, immediately=True)
    with pytest.raises(AuthenticationRequired) as refused:
        purchase_plan(alice, plans["team"].pk, 1)
    session = refused.value.details["authentication_url"].rsplit("/", 1)[-1]
    stripe.pay(session, card=ALWAYS_ASKS, challenge="succeed")
    assert sync_user(alice.pk).plan == plans["team"]


def test_a_renewal_that_the_bank_asks_about_keeps_serving_for_the_grace(alice, plans, stripe, on_pro):
    stripe.advance(months=1, hours=2)
    plan = sync_user(alice.pk)
    assert plan.status == "past_due"
    assert plan.open_invoice_url
    assert plan.is_active(plan.past_due_since + timedelta(days=6, hours=23))
    assert not plan.is_active(plan.past_due_since + timedelta(days=7))


@pytest.mark.parametrize("instead", ["downgrade", "cancel", "resume", "the present plan"])
def test_another_choice_withdraws_what_waits_for_the_bank(alice, plans, stripe, on_pro, instead):
    with pytest.raises(AuthenticationRequired):
        purchase_plan(alice, plans["team"].pk, 1)
    match instead:
        case "downgrade":
            purchase_plan(alice, plans["explorer"].pk, 1)
        case "cancel":
            cancel_plan(alice)
        case "resume":
            resume_plan(alice)
        case _:
            purchase_plan(alice, plans["pro"].pk, 1)
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.awaited_price_id, plan.open_invoice_url) == (plans["pro"], None, "")
    assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["paid", "void"]
