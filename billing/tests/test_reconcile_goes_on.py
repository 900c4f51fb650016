"""A comparison that was stopped goes on where it was, keeps to Stripe's pace, and one user's trouble stops nobody."""

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import reconcile, stripe_gateway, tasks
from billing.errors import StripeUnavailable
from billing.models import BillingAccount, Drift, ReconcileRun, UserPlan
from billing.subscriptions import live_plan

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(reconcile, "_sleep", lambda seconds: None)


@pytest.fixture
def customers(unknown_plans):
    return unknown_plans(10)


class Killed(BaseException):
    """What a kill -9 leaves behind: no code of ours runs after it."""


def killed_after(monkeypatch, users):
    """The process dies in the middle of the step after so many users."""
    check, seen = reconcile.check_user, []

    def dies(account, *, heal):
        found = check(account, heal=heal)
        seen.append(account.user_id)
        if len(seen) > users:
            raise Killed
        return found

    monkeypatch.setattr(reconcile, "check_user", dies)
    return seen


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_with_the_next_user(customers, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        call_command("reconcile")
    run = ReconcileRun.objects.get()
    assert (run.cursor, run.users_checked, run.finished_at) == (str(customers[3].pk), 4, None)
    # The step that died left nothing half done here.
    assert live_plan(customers[4].pk) is None
    assert Drift.objects.count() == 4
    with monkeypatch.context() as patch:
        seen = killed_after(patch, 99)
        call_command("reconcile")
    assert seen == [user.pk for user in customers[4:]]
    run.refresh_from_db()
    assert (ReconcileRun.objects.count(), run.users_checked, run.stage) == (1, 10, "done")
    assert Drift.objects.filter(is_healed=True).count() == 10
    assert "Going on with the run of" in capsys.readouterr().out
    assert UserPlan.objects.live().count() == 10


@pytest.mark.slow
def test_restart_begins_anew(customers, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        call_command("reconcile")
    call_command("reconcile", "--restart")
    old, new = ReconcileRun.objects.order_by("pk")
    assert old.finished_at and old.stage == "users"
    assert (new.users_checked, new.stage) == (10, "done")
    assert new.drifts.count() == 6


@pytest.mark.slow
def test_a_dry_run_does_not_go_on_with_a_real_one(customers, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 4)
        call_command("reconcile")
    with pytest.raises(SystemExit):
        call_command("reconcile", "--dry-run")
    assert ReconcileRun.objects.get(is_dry_run=True).users_checked == 10


@pytest.mark.slow
def test_two_workers_are_not_at_one_run(customers):
    run = reconcile.begin(reconcile.NIGHTLY)
    ReconcileRun.objects.update(worker="elsewhere:1")
    with pytest.raises(reconcile.RunAtWork):
        reconcile.work(run)
    tasks.reconcile_slice()
    assert ReconcileRun.objects.get().users_checked == 0
    # No sign of life for three minutes: gone.
    ReconcileRun.objects.update(seen_at=timezone.now() - timedelta(minutes=4))
    tasks.reconcile_slice()
    assert ReconcileRun.objects.get().stage == "done"


@pytest.mark.slow
def test_a_worker_of_this_machine_that_is_no_more_is_not_waited_for(customers):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    run = reconcile.begin(reconcile.COMMAND)
    ReconcileRun.objects.update(worker=f"{os.uname().nodename}:{dead.pid}")
    assert reconcile.work(run)


@pytest.mark.slow
def test_a_user_who_cannot_be_checked_stops_nobody(customers, monkeypatch, caplog):
    check = reconcile.check_user

    def breaks_for_one(account, *, heal):
        if account.user_id == customers[2].pk:
            raise ValueError("a surprise")
        return check(account, heal=heal)

    monkeypatch.setattr(reconcile, "check_user", breaks_for_one)
    with pytest.raises(SystemExit) as end:
        call_command("reconcile")
    assert end.value.code == 1
    left = Drift.objects.get(is_healed=False)
    assert (left.kind, left.user, left.reason) == ("not_checked", customers[2], "ValueError. The log says more.")
    assert Drift.objects.filter(is_healed=True).count() == 9
    assert "a surprise" in caplog.text


@pytest.mark.slow
def test_one_answer_that_is_missing_is_asked_for_again(customers, stripe):
    stripe.chaos(seed=5, rate_limited=0.05)
    try:
        call_command("reconcile")
    except SystemExit as end:
        assert end.code == 1
    stripe.heal()
    run = ReconcileRun.objects.get()
    assert run.stage == "done"
    assert run.drifts.filter(is_healed=True).count() + run.drifts.filter(kind="not_checked").count() >= 10


@pytest.mark.slow
def test_when_stripe_is_down_it_stops_and_later_goes_on_with_those_it_could_not_ask(customers, monkeypatch):
    check, asked = reconcile.check_user, []

    def goes_down(account, *, heal):
        asked.append(account.user_id)
        if len(asked) > 3:
            raise StripeUnavailable()
        return check(account, heal=heal)

    with monkeypatch.context() as patch, pytest.raises(CommandError) as end:
        patch.setattr(reconcile, "check_user", goes_down)
        call_command("reconcile")
    assert end.value.returncode == 3
    run = ReconcileRun.objects.get()
    assert (run.users_checked, run.cursor, run.worker) == (3, str(customers[2].pk), "")
    assert not run.drifts.filter(kind="not_checked").exists()
    call_command("reconcile")
    run.refresh_from_db()
    assert (run.users_checked, run.drifts.filter(is_healed=True).count()) == (10, 10)


@pytest.mark.slow
def test_the_nightly_task_works_in_slices_and_rings_for_the_next(customers, settings, monkeypatch):
    settings.CELERY_TASK_ALWAYS_EAGER = False
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda task, *args: rung.append(task.name))
    monkeypatch.setattr(tasks, "SLICE_SECONDS", 0)
    tasks.reconcile_nightly()
    assert rung == ["billing.tasks.reconcile_slice"]
    assert ReconcileRun.objects.get().users_checked == 0
    # A clock that leaves time for three steps each.
    while ReconcileRun.objects.get().finished_at is None:
        ticks = iter([0, 1, 2, 3, 99, 99, 99, 99])
        with monkeypatch.context() as patch:
            patch.setattr(reconcile.time, "monotonic", lambda ticks=ticks: next(ticks, 99))
            patch.setattr(stripe_gateway, "paced", lambda pace: patch.context())
            patch.setattr(tasks, "SLICE_SECONDS", 10)
            tasks.reconcile_slice()
        assert len(rung) < 20
    assert ReconcileRun.objects.get().users_checked == 10
    assert len(rung) > 4
    tasks.reconcile_slice()
    assert ReconcileRun.objects.count() == 1


def test_a_slice_ends_well_within_the_time_limit_of_a_task(settings):
    worst_step = 2 * 3 * settings.STRIPE_TIMEOUT_SECONDS
    assert tasks.SLICE_SECONDS + worst_step < settings.CELERY_TASK_TIME_LIMIT


def test_the_night_has_it_on_its_list(settings):
    names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {tasks.reconcile_nightly.name, tasks.reconcile_slice.name} <= names


def test_old_runs_are_forgotten(db):
    ReconcileRun.objects.create(source="nightly", started_at=timezone.now() - timedelta(days=91))
    reconcile.begin(reconcile.NIGHTLY)
    assert ReconcileRun.objects.count() == 1


def test_calls_begin_evenly_and_never_faster_than_the_pace():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace = stripe_gateway.Pace(10, clock=lambda: now[0], sleep=sleep)
    begun = []
    for takes in [0, 0, 0.05, 0.5, 0, 0]:
        pace.wait()
        begun.append(now[0])
        now[0] += takes
    gaps = [after - before for before, after in zip(begun, begun[1:], strict=False)]
    assert all(gap >= 0.1 - 1e-9 for gap in gaps)
    assert gaps[0] == pytest.approx(0.1)
    assert gaps[3] == pytest.approx(0.5)  # what was slow is not caught up with in a burst
    assert gaps[4] == pytest.approx(0.1)


@pytest.mark.slow
def test_every_call_of_a_run_keeps_to_the_pace(customers, settings, stripe):
    settings.RECONCILE_CALLS_PER_SECOND = 50
    seen = []
    stripe.sandbox.observers.append(lambda exchange: seen.append(time.monotonic()))
    try:
        call_command("reconcile")
    finally:
        stripe.sandbox.observers.pop()
    assert len(seen) > 40
    assert (len(seen) - 1) / (seen[-1] - seen[0]) < 55


@pytest.mark.slow
def test_beyond_a_terminal_it_tells_in_lines(customers, monkeypatch, capsys):
    from billing.management.commands import reconcile as command

    monkeypatch.setattr(command, "LINE_EVERY_SECONDS", 0)
    call_command("reconcile")
    out = capsys.readouterr().out
    assert "50%: 5 of 10 users, Users" in out
    assert "\r" not in out


@pytest.mark.slow
def test_on_a_terminal_it_draws_a_bar(customers, monkeypatch, capsys):
    from django.core.management.base import OutputWrapper

    from billing.management.commands import reconcile as command

    monkeypatch.setattr(OutputWrapper, "isatty", lambda self: True)
    ticks = iter(range(1000))
    monkeypatch.setattr(command.time, "monotonic", lambda: next(ticks))
    call_command("reconcile", "--no-color")
    assert "\r[###############               ]  50% 5 users, Users" in capsys.readouterr().out


def test_somebody_without_a_customer_is_not_asked_about(alice, stripe):
    BillingAccount.objects.create(user=alice)
    call_command("reconcile")
    assert ReconcileRun.objects.get().users_checked == 0
