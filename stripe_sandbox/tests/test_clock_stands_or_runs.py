"""The clock runs with real time, and stands still where a test wants equal moments to be equal."""

import math
from types import SimpleNamespace

import pytest

from stripe_sandbox import clock as clock_module
from stripe_sandbox.clock import Clock


@pytest.fixture
def real(monkeypatch):
    """Real time, to be moved by `real.at`."""
    real = SimpleNamespace(at=1_000.9)
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(time=lambda: real.at))
    return real


def test_it_runs_with_real_time(real):
    clock = Clock()
    clock.offset = 500
    assert (clock.now(), clock.global_now(), clock.wall_at(1_600)) == (1_500, 1_500, 1_100)
    real.at += 20
    assert (clock.now(), clock.global_now(), clock.wall_at(1_600)) == (1_520, 1_520, 1_100)
    assert clock.offset_at(2_000) == 2_000 - 1_020


def test_stopped_it_moves_when_it_is_set(real):
    clock = Clock()
    clock.stop(5_000)
    real.at += 20
    assert (clock.now(), clock.global_now(), clock.wall()) == (5_000, 5_000, 1_020.9)
    clock.offset = clock.offset_at(5_600)
    assert clock.now() == 5_600
    # What is due has been due for long; what is not never will be by itself.
    assert clock.wall_at(5_600) == 0
    assert clock.wall_at(5_601) == math.inf
    clock.stop(None)
    assert clock.now() == 1_020 + 600


def test_stopped_two_calls_happen_at_the_same_second(stripe, client):
    before = stripe.now
    assert client.v1.customers.create({}).created == before == stripe.now
    assert stripe.advance(hours=1) == before + 3600
    assert client.v1.customers.create({}).created == before + 3600
