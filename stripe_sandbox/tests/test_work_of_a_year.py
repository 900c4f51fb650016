"""A year of renewals: each takes a bounded amount of work, the last as much as the first."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from stripe_sandbox import benchmark, billing_cycle, due_work

PIECES_PER_RENEWAL = 4  # the notice, the draft, its collection, and the event that follows a little later
# 70 when this was written; a renewal makes twelve events and ten changes. Commits are not among them.
STATEMENTS_PER_RENEWAL = 75


@pytest.fixture
def statements(stripe):
    """How many SQL statements this thread lets the sandbox execute, by their first word."""
    counted, me = Counter(), threading.get_ident()

    def count(sql):
        if threading.get_ident() == me:
            counted[sql.split(None, 1)[0]] += 1

    stripe.sandbox.store._db.set_trace_callback(count)
    yield counted
    stripe.sandbox.store._db.set_trace_callback(None)


def test_a_renewal_is_the_same_few_pieces_of_work_in_every_month(stripe, subscription):
    stripe.sandbox.advance_to(subscription["items"].data[0].current_period_end + 86400)
    done = [_month_of_work(stripe) for _ in range(11)]
    assert done == [PIECES_PER_RENEWAL] * 11


def test_a_renewal_takes_a_bounded_number_of_statements(stripe, subscription, statements):
    stripe.sandbox.advance_to(subscription["items"].data[0].current_period_end + 86400)
    taken = []
    for _ in range(11):
        statements.clear()
        _month_of_work(stripe)
        taken.append(statements.total() - statements["BEGIN"] - statements["COMMIT"])
    assert max(taken) <= STATEMENTS_PER_RENEWAL
    assert taken[-1] <= taken[0] + 3


@pytest.mark.slow
def test_the_distance_from_the_anchor_costs_nothing(stripe, client, ada, pro, card_of_ada, monkeypatch):
    """The 300th day of a daily subscription is counted as quickly as the third."""
    card_of_ada("pm_card_visa")
    daily = client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 100, "recurring": {"interval": "day"}}
    )
    client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": daily.id}]})
    calls, boundary = Counter(), billing_cycle.boundary

    def counted(*args):
        calls["boundary"] += 1
        return boundary(*args)

    monkeypatch.setattr(billing_cycle, "boundary", counted)
    stripe.advance(days=3)
    calls.clear()
    stripe.advance(days=1)
    early = calls.total()
    stripe.advance(days=300)
    calls.clear()
    stripe.advance(days=1)
    assert 0 < calls.total() <= early


def test_a_piece_of_work_that_fails_is_lost_alone(stripe, client, subscription, caplog, monkeypatch):
    """Those of its batch are taken back with it, and done again without it."""
    tried = []

    def broken(sandbox, object_id):
        tried.append(object_id)
        sandbox.change(sandbox.get("customer", object_id), changes={"name": "half done"})
        raise ValueError("a defect")

    monkeypatch.setitem(due_work.HANDLERS, "customer.breaks", broken)
    monkeypatch.setitem(due_work.RANKS, "customer.breaks", 5)
    stripe.sandbox.due_work.add(stripe.now + 40 * 86400, "customer.breaks", subscription.customer)
    stripe.advance(months=3)
    assert len(tried) == 2  # with the batch, and by itself
    assert "customer.breaks" in caplog.text
    assert client.v1.customers.retrieve(subscription.customer).name != "half done"
    assert len(stripe.events("invoice.paid")) == 3  # the third renewal is still a draft
    assert len({event["id"] for event in stripe.events()}) == len(stripe.events())


def test_a_declined_renewal_inside_a_batch_leaves_its_traces(stripe, client, subscription):
    """A refused card is an outcome, not a failure of the batch."""
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(months=1, days=1)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert len(stripe.events("charge.failed")) == 1


@pytest.mark.slow
def test_requests_are_answered_while_the_clock_is_moved_far(stripe, http, client, ada, pro, card_of_ada):
    """The lock is free every few milliseconds; a request does not wait for the year's end."""
    card_of_ada("pm_card_visa")
    daily = client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 100, "recurring": {"interval": "day"}}
    )
    client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": daily.id}]})
    mover = threading.Thread(target=stripe.advance, kwargs={"days": 250})
    before = stripe.now
    mover.start()
    seen = []
    while mover.is_alive():
        started = time.perf_counter()
        assert http.get(f"/v1/customers/{ada.id}").status_code == 200
        seen.append(time.perf_counter() - started)
    mover.join()
    assert stripe.now >= before + 250 * 86400
    assert len(seen) >= 5


def test_the_benchmark_lives_the_year_of_its_own_subscriptions_only(stripe, capsys):
    call = benchmark.Caller(urlsplit(stripe.url).netloc)
    done = benchmark.measure_year(call, 2, os.getpid())
    assert done == 2 * (12 * PIECES_PER_RENEWAL - 2)  # the last draft is collected in the thirteenth month
    assert f"{done} pieces of work" in capsys.readouterr().out


def _month_of_work(stripe) -> int:
    before = stripe.sandbox.due_work.done
    stripe.advance(months=1)
    return stripe.sandbox.due_work.done - before
