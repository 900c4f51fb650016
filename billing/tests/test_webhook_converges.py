"""Duplicate, late, before the way back, never, out of order: one plan with Stripe's dates."""

import random
import threading

import pytest
from django.db import connection, connections
from django.test import Client
from djstripe.models import Event, Subscription, WebhookEventTrigger

from billing.checkout import confirm_checkout, start_checkout
from billing.models import UserPlan
from billing.subscriptions import live_plan


@pytest.fixture
def paid(alice, plans, stripe):
    """Alice has paid for Pro; nothing has been delivered."""
    stripe.take_deliveries()
    return stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])


def assert_one_plan(stripe, session, user):
    plan = UserPlan.objects.get()
    item = stripe.get(session["subscription"])["items"]["data"][0]
    assert (plan.user, plan.is_live, plan.status) == (user, True, "active")
    assert int(plan.current_period_start.timestamp()) == item["current_period_start"]
    assert int(plan.current_period_end.timestamp()) == item["current_period_end"]


@pytest.mark.slow
@pytest.mark.django_db
def test_before_the_redirect(alice, stripe, paid, deliver):
    assert deliver()
    assert_one_plan(stripe, paid, alice)
    assert confirm_checkout(alice, paid["id"]).state == "active"
    assert_one_plan(stripe, paid, alice)


@pytest.mark.slow
@pytest.mark.django_db
def test_after_the_redirect(alice, stripe, paid, deliver):
    assert confirm_checkout(alice, paid["id"]).state == "active"
    deliver()
    assert_one_plan(stripe, paid, alice)


@pytest.mark.django_db
def test_never(alice, stripe, paid):
    assert confirm_checkout(alice, paid["id"]).state == "active"
    assert_one_plan(stripe, paid, alice)


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))])
def test_in_any_order_and_any_number(alice, stripe, paid, post_event, seed):
    events = stripe.take_deliveries() * 2
    random.Random(seed).shuffle(events)
    for event in events:
        assert post_event(event).status_code == 200, event.type
    assert_one_plan(stripe, paid, alice)


@pytest.mark.slow
@pytest.mark.django_db
def test_an_old_event_after_the_end_does_not_bring_the_plan_back(alice, stripe, paid, post_event):
    from billing.subscriptions import cancel_plan

    old = stripe.take_deliveries()
    confirm_checkout(alice, paid["id"])
    cancel_plan(alice, immediately=True)
    for event in [*stripe.take_deliveries(), *old]:
        assert post_event(event).status_code == 200
    assert live_plan(alice.pk) is None
    assert UserPlan.objects.get().status == "canceled"


@pytest.mark.django_db
def test_the_second_sending_is_a_duplicate(stripe, paid, post_event):
    [event] = [e for e in stripe.take_deliveries() if e.type == "customer.subscription.created"]
    assert post_event(event).json() == {"status": "processed"}
    assert post_event(event).json() == {"status": "duplicate"}


@pytest.mark.slow
@pytest.mark.django_db
def test_djstripe_keeps_its_mirror(stripe, paid, deliver):
    deliver()
    assert Subscription.objects.get().id == paid["subscription"]
    assert Event.objects.count() == WebhookEventTrigger.objects.filter(processed=True).count()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_four_at_once(alice, stripe, paid, post_event):
    """Every event of the purchase by four threads at the same moment: each is stored once, there is one plan."""
    events = [e for e in stripe.take_deliveries() if e.type.startswith(("customer.sub", "checkout", "invoice.paid"))]
    answers = []
    start = threading.Barrier(4)

    def send():
        client = Client()
        try:
            for event in events:
                start.wait(30)
                response = post_event(event, using=client)
                answers.append((response.status_code, response.json()["status"]))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4 * len(events)
    assert {status for status, _ in answers} == {200}
    assert [word for _, word in answers].count("processed") == len(events)
    assert Event.objects.count() == len(events)
    assert_one_plan(stripe, paid, alice)
    connection.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_events_of_two_customers_at_once(alice, bob, plans, stripe, post_event):
    """Neither waits for the other's lock in a way that deadlocks, and both get their plan."""
    stripe.take_deliveries()
    for user, name in ((alice, "pro"), (bob, "team")):
        stripe.pay(start_checkout(user, plans[name].pk, 1).rsplit("/", 1)[-1])
    events = stripe.take_deliveries()
    answers = []

    def send(mine):
        client = Client()
        try:
            for event in mine:
                for _ in range(3):  # as Stripe does: not 2xx is sent again
                    response = post_event(event, using=client)
                    if response.status_code == 200:
                        break
                answers.append(response.status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=(events[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * len(events)
    assert set(UserPlan.objects.live().values_list("user__email", "plan__name")) == {
        (alice.email, "DataPilot Pro"),
        (bob.email, "Datilio Team"),
    }
    connection.close()
