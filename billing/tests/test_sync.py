"""sync.py: Stripe's present state becomes our rows, whatever they said before."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing import stripe_gateway
from billing.catalog import ensure_price
from billing.checkout import start_checkout
from billing.customers import ensure_customer
from billing.errors import StripeUnavailable
from billing.models import PlanPrice, UserPlan
from billing.subscriptions import live_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscribe(alice, plans):
    """Make a subscription at Stripe behind our back."""

    def make(plan, months=1, **params):
        price = ensure_price(plan, months)
        customer = ensure_customer(alice)
        card = stripe_gateway._client().v1.payment_methods.attach("pm_card_visa", {"customer": customer})
        return stripe_gateway._client().v1.subscriptions.create(
            {"customer": customer, "items": [{"price": price.stripe_price_id}], "default_payment_method": card.id}
            | params
        )

    return make


def test_someone_without_a_customer_has_nothing_and_stripe_is_not_asked(alice, stripe):
    assert sync_user(alice.pk) is None
    assert not UserPlan.objects.exists()


def test_it_heals_a_row_that_says_something_else(alice, plans, subscribe):
    subscription = subscribe(plans["pro"])
    sync_user(alice.pk)
    UserPlan.objects.update(
        status="past_due", plan=plans["team"], amount_cents=1, current_period_end=timezone.now() + timedelta(days=999)
    )
    plan = sync_user(alice.pk)
    assert (plan.status, plan.plan, plan.amount_cents) == ("active", plans["pro"], 2900)
    end = subscription["items"]["data"][0]["current_period_end"]
    assert plan.current_period_end == datetime.fromtimestamp(end, UTC)
    assert UserPlan.objects.count() == 1


def test_what_ended_at_stripe_ends_here(alice, plans, subscribe):
    subscription = subscribe(plans["pro"])
    sync_user(alice.pk)
    stripe_gateway.cancel_now(subscription["id"])
    assert sync_user(alice.pk) is None
    row = UserPlan.objects.get()
    assert (row.status, row.is_live, row.is_active(timezone.now())) == ("canceled", False, False)
    assert row.ended_at


def test_a_cancellation_that_sets_only_cancel_at_is_seen(alice, plans, subscribe):
    """The customer portal on a flexible subscription leaves cancel_at_period_end false."""
    subscription = subscribe(plans["pro"])
    end = subscription["items"]["data"][0]["current_period_end"]
    stripe_gateway._client().v1.subscriptions.update(subscription["id"], {"cancel_at": end})
    plan = sync_user(alice.pk)
    assert plan.is_ending
    assert plan.end_date == datetime.fromtimestamp(end, UTC)


def test_an_incomplete_subscription_is_no_plan(alice, plans, subscribe):
    customer = ensure_customer(alice)
    card = stripe_gateway._client().v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    subscription = subscribe(plans["pro"], default_payment_method=card.id, payment_behavior="allow_incomplete")
    assert subscription["status"] == "incomplete"
    assert sync_user(alice.pk) is None
    assert not UserPlan.objects.exists()


def test_of_two_live_ones_the_newer_wins_and_the_older_is_ended_and_refunded(alice, plans, subscribe, stripe):
    older, newer = subscribe(plans["pro"]), subscribe(plans["team"])
    assert sync_user(alice.pk).stripe_subscription_id == newer["id"]
    assert stripe.get(older["id"])["status"] == "canceled"
    assert stripe.get(newer["id"])["status"] == "active"
    assert live_plan(alice.pk).plan == plans["team"]
    [refund] = stripe.objects("refund")
    assert 2890 <= refund["amount"] <= 2900  # a few seconds of the month were used
    sync_user(alice.pk)
    assert len(stripe.objects("refund")) == 1


def test_the_database_itself_refuses_a_second_live_plan(alice, plans, subscribe):
    subscribe(plans["pro"])
    live = sync_user(alice.pk)
    live.pk, live.stripe_subscription_id = None, "sub_other"
    with pytest.raises(IntegrityError), transaction.atomic():
        live.save(force_insert=True)


def test_a_price_that_is_not_ours_is_left_alone_and_told(alice, plans, subscribe, caplog):
    subscribe(plans["pro"])
    PlanPrice.objects.filter(plan=plans["pro"], months=1).delete()
    assert sync_user(alice.pk) is None
    assert "not in our catalogue" in caplog.text


def test_when_stripe_does_not_answer_nothing_is_written(alice, plans, subscribe, monkeypatch):
    subscribe(plans["pro"])
    sync_user(alice.pk)
    before = UserPlan.objects.values().get()

    def down(customer_id):
        raise StripeUnavailable()

    monkeypatch.setattr(stripe_gateway, "list_subscriptions", down)
    with pytest.raises(StripeUnavailable):
        sync_user(alice.pk)
    assert UserPlan.objects.values().get() == before


@pytest.mark.parametrize(("days", "active"), [(0, True), (6, True), (7, False), (30, False)])
def test_past_due_keeps_access_for_the_grace(alice, plans, subscribe, days, active):
    subscribe(plans["pro"])
    plan = sync_user(alice.pk)
    plan.status, plan.past_due_since = "past_due", timezone.now()
    assert plan.is_active(plan.past_due_since + timedelta(days=days)) is active
    assert plan.on_grace_period(plan.past_due_since + timedelta(days=days)) is active


def test_a_session_open_while_a_plan_came_is_no_second_plan(alice, plans, subscribe, stripe):
    """Two tabs: one bought by API, the other still shows Checkout. Paying there too ends with one live plan."""
    session_id = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    subscribe(plans["team"])
    stripe.pay(session_id)
    sync_user(alice.pk)
    assert UserPlan.objects.live().count() == 1
    assert [s["status"] for s in stripe.objects("subscription")].count("active") == 1


def test_the_next_charge_is_the_renewal_that_has_just_come(alice, plans, subscribe, stripe):
    """For an hour it is a draft (https://docs.stripe.com/billing/invoices/subscription#sub-invoice-lifecycle)."""
    subscription = subscribe(plans["pro"])
    end = subscription["items"]["data"][0]["current_period_end"]
    stripe.advance(to=end)
    plan = sync_user(alice.pk)
    assert plan.current_period_start == datetime.fromtimestamp(end, UTC)
    assert (plan.next_charge_cents, plan.next_charge_at) == (2900, datetime.fromtimestamp(end + 3600, UTC))
    stripe.advance(hours=2)
    assert sync_user(alice.pk).next_charge_at == plan.current_period_end
