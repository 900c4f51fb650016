"""A disputed payment is one that the bank has taken back: the grace runs, then it is decided."""

from datetime import timedelta

import pytest

from billing.checkout import start_checkout
from billing.models import UserPlan
from billing.subscriptions import cancel_plan, live_plan, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

DISPUTED = "4000000000000259"


@pytest.fixture
def disputed(alice, plans, stripe, deliver):
    """Alice has paid Pro with a card whose owner disputes it; every event has arrived."""
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1], card=DISPUTED)
    deliver()
    return stripe.objects("dispute")[0]


def close(stripe, dispute, evidence):
    # https://docs.stripe.com/testing#disputes: this word in the evidence decides it.
    stripe.client.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": evidence}, "submit": True})


@pytest.mark.slow
def test_it_serves_for_the_grace_and_then_not(alice, disputed):
    plan = UserPlan.objects.get()
    assert plan.is_live and plan.disputed_since is not None
    assert plan.grace_ends_at == plan.disputed_since + timedelta(days=7)
    assert plan.is_active(plan.disputed_since + timedelta(days=6))
    assert not plan.is_active(plan.disputed_since + timedelta(days=7))


@pytest.mark.slow
def test_won_it_is_over(alice, stripe, deliver, disputed):
    close(stripe, disputed, "winning_evidence")
    deliver()
    plan = UserPlan.objects.get()
    assert plan.is_live
    assert plan.disputed_since is None


@pytest.mark.slow
def test_lost_the_plan_ends_and_nothing_more_is_charged(alice, stripe, deliver, disputed):
    close(stripe, disputed, "losing_evidence")
    deliver()
    plan = UserPlan.objects.get()
    assert (plan.status, plan.is_live, plan.disputed_since) == ("canceled", False, None)
    stripe.advance(months=2)
    assert len(stripe.objects("charge")) == 1


def test_an_event_that_got_lost_is_made_up_for_by_the_reconcile(alice, plans, stripe):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1], card=DISPUTED)
    assert sync_user(alice.pk).disputed_since is None
    assert sync_user(alice.pk, disputes=True).disputed_since is not None


@pytest.mark.slow
def test_another_look_in_between_does_not_forget_it(alice, disputed):
    assert sync_user(alice.pk).disputed_since is not None


@pytest.mark.slow
def test_to_begin_anew_and_dispute_again_begins_no_new_grace(alice, plans, stripe, deliver, disputed):
    first = UserPlan.objects.get().disputed_since
    stripe.advance(days=8)
    cancel_plan(alice, immediately=True)
    purchase_plan(alice, plans["pro"].pk, 1)
    deliver()
    assert live_plan(alice.pk).disputed_since == first


@pytest.mark.slow
def test_who_begins_anew_and_pays_is_served(alice, plans, stripe, deliver, disputed):
    cancel_plan(alice, immediately=True)
    stripe.client.v1.payment_methods.detach(stripe.objects("payment_method")[0]["id"])
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    deliver()
    assert live_plan(alice.pk).disputed_since is None
