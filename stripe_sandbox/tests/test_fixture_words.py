"""The `stripe` fixture in the tests' own words."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from stripe_sandbox.errors import StripeError


def test_advance_by_months_days_and_to_a_moment(stripe):
    before = stripe.now
    assert stripe.advance(days=1, hours=1) == before + 90000
    moment = datetime.fromtimestamp(stripe.now, UTC) + timedelta(days=3)
    assert stripe.advance(to=moment) == int(moment.timestamp())
    start = datetime.fromtimestamp(stripe.now, UTC)
    later = datetime.fromtimestamp(stripe.advance(months=2), UTC)
    assert (later.month - start.month) % 12 == 2
    for wrong in ({"months": -1}, {"seconds": -1}, {"to": 1}):
        with pytest.raises(StripeError):
            stripe.advance(**wrong)


def test_what_falls_due_happens_on_the_way(stripe, checkout):
    session = checkout()
    stripe.advance(days=2)
    assert stripe.get(session.id)["status"] == "expired"
    assert stripe.events("checkout.session.expired")[0]["created"] < stripe.now


def test_a_reset_sets_the_clock_back(stripe):
    before = stripe.now
    stripe.advance(days=400)
    stripe.reset()
    assert stripe.now == before


def test_the_client_is_pointed_here(stripe):
    customer = stripe.client.v1.customers.create({"email": "ada@example.com"})
    assert stripe.get(customer.id)["email"] == "ada@example.com"


def test_deliveries_read_like_a_list(stripe, client):
    assert stripe.deliveries == []
    assert not stripe.deliveries
    stripe.register_webhook("http://127.0.0.1:1/")
    stripe.deliveries.hold()
    client.v1.customers.create({})
    client.v1.customers.create({})
    assert len(stripe.deliveries) == 2
    assert [d["state"] for d in stripe.deliveries] == ["pending", "pending"]
    assert stripe.deliveries[0]["created"] >= stripe.deliveries[-1]["created"]
    assert stripe.deliveries[:1][0] in stripe.deliveries
    assert stripe.deliveries != []


def test_emptied_in_milliseconds(stripe, client):
    times = []
    for _ in range(20):
        client.v1.customers.create({})
        started = time.perf_counter()
        stripe.reset()
        times.append(time.perf_counter() - started)
    assert sorted(times)[10] < 0.02
