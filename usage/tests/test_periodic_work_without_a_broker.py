"""Where no broker is, beat itself does what it would send: `make run` has no worker, and its holds expire too."""

from datetime import timedelta

import pytest
from celery.beat import Scheduler
from django.utils import timezone

from datilio.celery import app
from usage.holds import hold
from usage.models import UsageCounter


@pytest.fixture(autouse=True)
def started(db):
    """As beat does when it starts: what is not known by then it sends to nobody."""
    app.loader.import_default_modules()


@pytest.fixture
def beat():
    """beat(task): does it as if it were due."""
    scheduler = Scheduler(app)
    of_task = {entry.task: entry for entry in scheduler.schedule.values()}
    return lambda task: scheduler.apply_entry(of_task[task], producer=scheduler.producer)


def test_an_expired_hold_is_given_back(alice, give_plan, beat):
    give_plan(alice)
    begun = timezone.now() - timedelta(minutes=5, seconds=1)
    hold(alice.pk, "ai_prompt", 2, source="test", key="h", now=begun)
    assert UsageCounter.objects.get().held == 2
    beat("usage.tasks.give_back_expired_holds")
    assert UsageCounter.objects.get().held == 0


def test_all_periodic_work_is_known():
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= app.tasks.keys()
