"""Blocks of a limit: never more than the limit over all processes, and few questions to the shared counters."""

import time

import pytest
from django.test import RequestFactory

from datilio import leased_limits
from datilio.leased_limits import leased_usage
from datilio.rate_limits import WRITE


@pytest.fixture
def ask(monkeypatch):
    """ask(process=0): one request, as counted by that process; moved clock: ask.now."""
    processes = {}

    def one(process=0, block=5, rate="12/m"):
        monkeypatch.setattr(leased_limits, "_leases", processes.setdefault(process, {}))
        request = RequestFactory().post("/api/usage/events")
        return leased_usage(request, group="g", key=lambda *_: "me", rate=rate, method=WRITE, block=block)

    one.now = 1_800_000_000
    monkeypatch.setattr(time, "time", lambda: one.now)
    return one


def granted(usages):
    return sum(not usage["should_limit"] for usage in usages)


def test_one_process_may_use_all_of_it(ask):
    usages = [ask() for _ in range(20)]
    assert granted(usages) == 12
    assert [usage["count"] for usage in usages[:12]] == list(range(1, 13))
    assert all(usage["should_limit"] for usage in usages[12:])


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_all_processes_together_never_pass_it(ask, processes):
    usages = [ask(process=n % processes) for n in range(60)]
    # Here all of what was taken is used in the end: nothing is lost but at the end of a window.
    assert granted(usages) == 12


def test_the_next_window_begins_anew(ask):
    for _ in range(20):
        ask()
    ask.now += 60
    assert granted([ask() for _ in range(20)]) == 12


def test_the_shared_counters_are_asked_once_a_block(ask, monkeypatch):
    asked = []
    take = leased_limits._take
    monkeypatch.setattr(leased_limits, "_take", lambda *args: asked.append(1) or take(*args))
    for _ in range(100):
        ask(block=50, rate="6000/m")
    assert len(asked) == 2


def test_other_methods_and_switched_off_limits_count_nothing(ask, settings):
    request = RequestFactory().get("/")
    assert leased_usage(request, group="g", key=lambda *_: "me", rate="1/m", method=WRITE, block=2) is None
    settings.RATELIMIT_ENABLE = False
    assert ask() is None
