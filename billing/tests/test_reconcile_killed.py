"""A real `manage.py reconcile` that is killed in the middle: the next goes on at once, and nothing is told twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from billing.models import Drift, ReconcileRun, UserPlan

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
USERS = 12


def database_url():
    of = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{of['NAME']}"
    return f"postgres://{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT']}/{of['NAME']}"


@pytest.fixture
def command(unknown_plans, stripe, tmp_path):
    """`manage.py reconcile` as a process of its own, slow enough to be met in the middle."""
    unknown_plans(USERS)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parents[2] / "manage.py"), "reconcile"],
        env=os.environ
        | {
            "DATABASE_URL": database_url(),
            "STATE_DIR": str(tmp_path),
            "STRIPE_API_HOST": stripe.url,
            "STRIPE_SECRET_KEY": stripe.secret_key,
            "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
            "RECONCILE_CALLS_PER_SECOND": "10",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_it_goes_on_where_it_was_killed(command):
    until = time.monotonic() + 60
    while not ReconcileRun.objects.filter(users_checked__gte=2).exists():
        assert command.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    run = ReconcileRun.objects.get()
    met = run.users_checked
    assert (run.finished_at, run.worker.endswith(f":{command.pid}")) == (None, True)
    assert 2 <= met < USERS
    assert Drift.objects.count() == UserPlan.objects.count() == met

    call_command("reconcile")
    run.refresh_from_db()
    assert (ReconcileRun.objects.count(), run.stage, run.users_checked) == (1, "done", USERS)
    assert Drift.objects.filter(is_healed=True).count() == UserPlan.objects.live().count() == USERS
