"""The inbox row is the truth: what the queue lost, Stripe's outage broke or a crash left is processed by the sweep."""

from datetime import timedelta

import pytest
from django.utils import timezone
from djstripe.models import Event, WebhookEventTrigger

from billing import stripe_gateway, tasks
from billing.checkout import start_checkout
from billing.errors import StripeUnavailable
from billing.models import UserPlan
from billing.subscriptions import live_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(alice, plans, stripe):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    return next(e for e in stripe.take_deliveries() if e.type == "customer.subscription.created")


@pytest.fixture
def stripe_down(monkeypatch):
    with monkeypatch.context() as patch:

        def no_answer(customer_id):
            raise StripeUnavailable()

        patch.setattr(stripe_gateway, "list_subscriptions", no_answer)
        yield patch.undo


def age_the_inbox():
    WebhookEventTrigger.objects.update(created=timezone.now() - timedelta(minutes=1))


def test_with_a_queue_stripe_is_answered_first(
    alice, event, post_event, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.CELERY_TASK_ALWAYS_EAGER = False
    monkeypatch.setattr(tasks.process_webhook, "delay", tasks.process_webhook)
    with django_capture_on_commit_callbacks(execute=False) as bell:
        assert post_event(event).json() == {"status": "queued"}
        assert live_plan(alice.pk) is None
    for ring in bell:
        ring()
    assert live_plan(alice.pk)
    assert WebhookEventTrigger.objects.get().processed


def test_a_broker_that_is_down_is_no_error_and_the_sweep_finds_the_event(
    alice, event, post_event, settings, monkeypatch, django_capture_on_commit_callbacks
):
    settings.CELERY_TASK_ALWAYS_EAGER = False

    def broken(*args):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.process_webhook, "delay", broken)
    with django_capture_on_commit_callbacks(execute=True):
        assert post_event(event).status_code == 200
    assert live_plan(alice.pk) is None
    age_the_inbox()
    tasks.sweep_webhooks()
    assert live_plan(alice.pk)


def test_processing_that_fails_rolls_back_and_stripe_sends_it_again(alice, event, post_event, stripe_down):
    refused = post_event(event)
    assert refused.status_code == 503
    assert refused.json()["code"] in ("service_unavailable", "stripe_unavailable")
    assert not Event.objects.exists()
    assert not UserPlan.objects.exists()
    trigger = WebhookEventTrigger.objects.get()
    assert (trigger.valid, trigger.processed, trigger.exception) == (True, False, "StripeUnavailable")
    stripe_down()
    assert post_event(event).json() == {"status": "processed"}
    assert live_plan(alice.pk)


def test_the_sweep_goes_on_after_one_that_fails(alice, event, post_event, stripe_down):
    post_event(event)
    age_the_inbox()
    tasks.sweep_webhooks()
    assert live_plan(alice.pk) is None
    stripe_down()
    tasks.sweep_webhooks()
    assert live_plan(alice.pk)
    assert not WebhookEventTrigger.objects.filter(processed=False).exists()


def test_the_sweep_leaves_young_and_finished_ones_alone(event, post_event, stripe_down):
    post_event(event)
    stripe_down()
    tasks.sweep_webhooks()
    assert not WebhookEventTrigger.objects.get().processed
