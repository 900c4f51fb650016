"""A customer that staff delete at Stripe: the plan is over here as well, at once, and the person can buy again."""

import pytest

from billing.models import BillingAccount, BillingMail, UserPlan
from billing.subscriptions import live_plan, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def deleted(buy, deliver, stripe, post_event):
    """Alice has Pro; then her customer is deleted. Returns what became of the event, and a way to send it again."""
    customer = buy("pro")
    deliver()
    stripe.client.v1.customers.delete(customer)
    [event] = [one for one in stripe.take_deliveries() if one.type == "customer.deleted"]
    return lambda: post_event(event)


@pytest.mark.slow
def test_the_plan_ends_and_the_customer_is_let_go(alice, deleted):
    assert deleted().json() == {"status": "processed"}
    assert live_plan(alice.pk) is None
    assert UserPlan.objects.get().status == "canceled"
    assert BillingAccount.objects.get(user=alice).stripe_customer_id is None
    assert BillingMail.objects.filter(user=alice, kind="ended").count() == 1


@pytest.mark.slow
def test_twice_is_once(alice, deleted):
    deleted()
    assert deleted().json() == {"status": "ignored"}


@pytest.mark.slow
def test_they_can_buy_again(alice, plans, deleted):
    deleted()
    plan = purchase_plan(alice, plans["explorer"].pk, 1)
    assert plan.status == "active"


def test_the_event_alone_is_no_proof(alice, buy, client, stripe):
    customer = buy("pro")
    event = stripe.events("customer.updated")[-1]
    body, headers = stripe.signed({**event, "id": "evt_never", "type": "customer.deleted"})
    response = client.post("/api/stripe/webhook", body, content_type="application/json", headers=headers)
    assert response.json() == {"status": "processed"}
    assert live_plan(alice.pk) is not None
    assert BillingAccount.objects.get(user=alice).stripe_customer_id == customer


@pytest.mark.slow
def test_while_stripe_is_down_it_is_asked_to_come_again(alice, deleted, stripe):
    stripe.chaos(no_answer=1.0)
    assert deleted().status_code == 503
    stripe.heal()
    assert deleted().json() == {"status": "processed"}
    assert live_plan(alice.pk) is None
