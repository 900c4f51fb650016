"""A plan's free days: once per person, with a card, and never the larger plan for nothing."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.checkout import start_checkout
from billing.subscriptions import cancel_plan, live_plan, preview_purchase, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def trials(plans):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    return plans


@pytest.fixture
def in_trial(alice, trials, stripe):
    session = start_checkout(alice, trials["pro"].pk, 1).rsplit("/", 1)[-1]
    stripe.pay(session)
    return sync_user(alice.pk)


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def test_it_serves_at_once_and_charges_nothing(in_trial, stripe):
    assert (in_trial.status, in_trial.is_active(timezone.now())) == ("trialing", True)
    assert in_trial.trial_end - in_trial.start_date == timedelta(days=14)
    assert (in_trial.next_charge_cents, in_trial.next_charge_at) == (2900, in_trial.trial_end)
    assert in_trial.card_last4 == "4242"
    assert paid_cents(stripe) == 0


def test_at_its_end_the_first_month_is_charged(alice, in_trial, stripe):
    stripe.advance(days=14, hours=2)
    plan = sync_user(alice.pk)
    assert (plan.status, plan.trial_end) == ("active", None)
    assert paid_cents(stripe) == 2900


def test_cancelled_in_time_it_charges_nothing_ever(alice, in_trial, stripe):
    cancel_plan(alice)
    stripe.advance(months=3)
    assert sync_user(alice.pk) is None
    assert paid_cents(stripe) == 0


def test_there_is_one_per_person(alice, in_trial, trials, stripe):
    cancel_plan(alice, immediately=True)
    plan = purchase_plan(alice, trials["pro"].pk, 1)
    assert plan.status == "active"
    assert paid_cents(stripe) == 2900


def test_who_has_had_one_is_told_the_price(alice, in_trial, trials):
    cancel_plan(alice, immediately=True)
    quote = preview_purchase(alice, trials["pro"].pk, 1)
    assert (quote.trial_days, quote.total_cents) == (0, 2900)


def test_the_preview_tells_the_trial(bob, trials):
    quote = preview_purchase(bob, trials["pro"].pk, 1)
    assert (quote.trial_days, quote.total_cents, quote.next_cents, quote.lines) == (14, 0, 2900, [])
    days = (quote.next_at - timezone.now()).total_seconds() / 86400
    assert 13.9 < days < 14.1


def test_an_upgrade_ends_it_and_is_charged_in_full(alice, in_trial, trials, stripe):
    quote = preview_purchase(alice, trials["team"].pk, 1)
    assert (quote.kind, quote.ends_trial, quote.total_cents) == ("upgrade", True, 9900)
    plan = purchase_plan(alice, trials["team"].pk, 1, quote=quote.token)
    assert (plan.plan, plan.status) == (trials["team"], "active")
    assert paid_cents(stripe) == 9900


def test_a_downgrade_waits_for_its_end(alice, in_trial, trials, stripe):
    plan = purchase_plan(alice, trials["explorer"].pk, 1)
    assert (plan.status, plan.pending_price.plan, plan.pending_at) == ("trialing", trials["explorer"], plan.trial_end)
    stripe.advance(days=15)
    assert sync_user(alice.pk).plan == trials["explorer"]
    assert paid_cents(stripe) == 0


def test_a_free_plan_before_it_takes_no_trial_away(alice, trials, stripe):
    purchase_plan(alice, trials["explorer"].pk, 1)
    stripe.pay(start_checkout(alice, trials["pro"].pk, 1).rsplit("/", 1)[-1])
    assert sync_user(alice.pk).status == "trialing"
    assert live_plan(alice.pk).plan == trials["pro"]
