"""A process that is killed with -9 while it counts, and sends everything again blindly, has counted all of it once."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from usage.models import UsageCounter, UsageDay, UsageEvent, UsageKey

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SINGLES, BATCHES, OF = 150, 15, 20
# Sends everything from the beginning, as a backend does that knows of no answer.
SEND = f"""
import sys, django
django.setup()
from django.utils import timezone
from usage.batches import record_batch
from usage.metering import record
from usage.uses import use_of
user = int(sys.argv[1])
print("begins", flush=True)
for n in range({SINGLES}):
    record(user, "ai_token", 1, source="test", key=f"single-{{n}}", now=timezone.now())
    if n % 10 == 0:
        batch = [use_of(user, "ai_token", 1, source="test", key=f"batch-{{n}}-{{i}}") for i in range({OF})]
        assert all(answer.status != "refused" for answer in record_batch(batch, source="test", now=timezone.now()))
print("done", flush=True)
"""


def start(user):
    database = connection.settings_dict
    url = f"sqlite:///{database['NAME']}"
    if connection.vendor == "postgresql":
        url = settings.DATABASE_URL.rpartition("/")[0] + f"/{database['NAME']}"
    return subprocess.Popen(
        [sys.executable, "-c", SEND, str(user.pk)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "datilio.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_counters_are_the_events_and_the_events_what_was_sent(alice, give_plan):
    give_plan(alice, start=timezone.now() - timedelta(days=3))
    dice = random.Random(7)
    for _ in range(5):
        process = start(alice)
        assert process.stdout.readline() == "begins\n"
        time.sleep(dice.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    process = start(alice)
    assert process.communicate(timeout=120)[0] == "begins\ndone\n"
    sent = SINGLES + BATCHES * OF
    assert UsageEvent.objects.count() == UsageKey.objects.count() == sent
    assert sum(UsageCounter.objects.values_list("used", flat=True)) == sent
    assert sum(UsageDay.objects.values_list("amount", flat=True)) == sent
