"""Chaos on the webhooks' way: live deliveries, and those a test takes itself."""

from __future__ import annotations

import time

import pytest

from .receiver import eventually


def names(deliveries):
    return [delivery.event["data"]["object"]["name"] for delivery in deliveries]


def make(client, *given):
    for name in given:
        client.v1.customers.create({"name": name})


@pytest.mark.parametrize("stream", ["live", "taken"])
def test_drop(stripe, client, receiver, stream):
    if stream == "live":
        stripe.register_webhook(receiver.url)
    stripe.chaos(drop=1)
    make(client, "a", "b")
    if stream == "taken":
        assert stripe.take_deliveries() == []
        stripe.heal()
        assert stripe.take_deliveries() == []  # gone for good
        return
    stripe.heal()
    make(client, "c")
    receiver.wait_for(1)
    assert [event["data"]["object"]["name"] for event, _, _ in receiver.received] == ["c"]
    assert [d["state"] for d in stripe.deliveries][1:] == ["dropped", "dropped"]
    assert stripe.deliveries[-1]["chaos"] == ["drop"]
    stripe.deliveries.send_again(stripe.deliveries[-1])  # Stripe's "resend" helps out
    receiver.wait_for(2)
    assert receiver.received[1][0]["data"]["object"]["name"] == "a"


def test_duplicate(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    stripe.chaos(duplicate=1)
    make(client, "a", "b")
    receiver.wait_for(4)
    ids = [event["id"] for event, _, _ in receiver.received]
    assert ids[0] == ids[1] and ids[2] == ids[3] and ids[0] != ids[2]
    assert names(stripe.take_deliveries()) == ["a", "a", "b", "b"]


@pytest.mark.slow
def test_delay(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    stripe.chaos(delay=1, delay_seconds=0.4)
    started = time.monotonic()
    make(client, "late")
    receiver.wait_for(1)
    assert time.monotonic() - started >= 0.2
    assert stripe.take_deliveries() == []
    stripe.heal()
    make(client, "next")
    assert names(stripe.take_deliveries()) == ["next", "late"]


@pytest.mark.slow
def test_reorder(stripe, checkout, receiver):
    session = checkout()
    stripe.take_deliveries()
    stripe.register_webhook(receiver.url)
    stripe.chaos(seed=5, reorder=0.5)
    stripe.pay(session.id)
    receiver.wait_for(12)
    stripe.heal()
    made = [event["type"] for event in stripe.events()][-12:]
    assert sorted(receiver.types) == sorted(made)
    assert receiver.types != made
    taken = [delivery.type for delivery in stripe.take_deliveries()]
    assert sorted(taken) == sorted(made)


@pytest.mark.slow
def test_one_that_nothing_overtakes_comes_after_a_second(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    stripe.deliveries.reorder_next()
    make(client, "alone")
    started = time.monotonic()
    receiver.wait_for(1)
    assert 0.5 < time.monotonic() - started < 3


@pytest.mark.slow
def test_the_same_seed_delivers_the_same(stripe, client, receiver):
    def run():
        stripe.reset()
        receiver.received.clear()
        stripe.register_webhook(receiver.url)
        stripe.chaos(seed=7, drop=0.2, duplicate=0.3, reorder=0.4)
        stripe.deliveries.hold()
        make(client, *"abcdefghijkl")
        stripe.deliveries.release()
        eventually(lambda: all(d["state"] != "pending" for d in stripe.deliveries))
        taken = names(stripe.take_deliveries())
        return [event["data"]["object"]["name"] for event, _, _ in receiver.received], taken

    first = run()
    assert first[0] != list("abcdefghijkl")
    assert run() == first


# ----------------------------------------------------------------- the words of the fixture
def test_drop_next_and_duplicate_next(stripe, client):
    stripe.deliveries.drop_next()
    make(client, "a", "b")
    assert names(stripe.take_deliveries()) == ["b"]
    stripe.deliveries.duplicate_next("product.created")
    make(client, "a")
    client.v1.products.create({"name": "p"})
    assert names(stripe.take_deliveries()) == ["a", "p", "p"]
    stripe.deliveries.drop_next(count=2)
    make(client, "a", "b", "c")
    assert names(stripe.take_deliveries()) == ["c"]


def test_delay_next_and_reorder_next(stripe, client):
    stripe.deliveries.delay_next()
    make(client, "a", "b")
    assert names(stripe.take_deliveries()) == ["b"]
    assert names(stripe.take_deliveries()) == ["a"]
    stripe.deliveries.reorder_next()
    make(client, "a", "b", "c", "d")
    taken = names(stripe.take_deliveries())
    assert taken[0] == "b" and sorted(taken) == list("abcd")


def test_drop_next_of_a_live_endpoint(stripe, client, receiver):
    stripe.register_webhook(receiver.url)
    stripe.deliveries.drop_next()
    make(client, "a", "b")
    receiver.wait_for(1)
    assert [d["state"] for d in stripe.deliveries][1] == "dropped"
    assert len(stripe.take_deliveries()) == 2


def test_hold_and_release(stripe, client):
    stripe.deliveries.hold()
    make(client, "a")
    assert stripe.take_deliveries() == []
    stripe.deliveries.release()
    assert names(stripe.take_deliveries()) == ["a"]


def test_a_rolled_back_event_uses_nothing_up(stripe, client):
    stripe.deliveries.drop_next()
    stripe.register_webhook("http://127.0.0.1:1/")
    stripe.deliveries.drop_next()
    with pytest.raises(RuntimeError), stripe.sandbox.transaction():
        stripe.sandbox.events.emit("customer.created", stripe.sandbox.store.find("account")[0])
        raise RuntimeError
    assert stripe.sandbox.chaos.history() == []
    make(client, "a")
    assert stripe.deliveries[0]["state"] == "dropped"
