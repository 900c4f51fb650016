"""POST /_sandbox/clock: the running demo's time goes forward, and what falls due has happened."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stripe_sandbox import sandbox


def test_it_answers_when_all_that_fell_due_has_happened(stripe, http, checkout):
    session = checkout()
    before = http.get("/_sandbox/clock").json()["now"]
    answer = http.post("/_sandbox/clock", json={"advance_seconds": 24 * 3600 + 1}).json()
    assert answer["advanced_seconds"] == 86401
    assert answer["now"] == before + 86401
    assert answer["work_done"] >= 1
    assert stripe.get(session.id)["status"] == "expired"
    [expired] = stripe.events("checkout.session.expired")
    assert expired["created"] == session.expires_at  # at its own moment, not at that of the request


def test_calendar_months_and_a_moment(stripe, http):
    http.post("/_sandbox/clock", json={"to": _moment(stripe, 1, 31)})
    http.post("/_sandbox/clock", json={"advance_months": 1})
    now = datetime.fromtimestamp(http.get("/_sandbox/clock").json()["now"], UTC)
    assert (now.month, now.day) in ((2, 28), (2, 29))
    http.post("/_sandbox/clock", json={"advance_days": 1})
    assert datetime.fromtimestamp(stripe.now, UTC).month == 3


def _moment(stripe, month, day):
    """Noon of the next such day."""
    now = datetime.fromtimestamp(stripe.now, UTC)
    return int(datetime(now.year + 1, month, day, 12, tzinfo=UTC).timestamp())


def test_objects_made_afterwards_live_in_that_time(stripe, http, client):
    http.post("/_sandbox/clock", json={"advance_days": 100})
    assert client.v1.customers.create({}).created == stripe.now
    [delivery] = stripe.take_deliveries()
    assert delivery.headers["Stripe-Signature"].startswith("t=")


def test_signatures_stay_in_real_time(stripe, http, client):
    """The application that gets a webhook checks it against its own clock."""
    import time

    http.post("/_sandbox/clock", json={"advance_days": 100})
    client.v1.customers.create({})
    before = int(time.time())
    [delivery] = stripe.take_deliveries()
    signed_at = int(delivery.headers["Stripe-Signature"].split(",")[0][2:])
    assert before <= signed_at <= time.time()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance_seconds": -1},
        {"advance_seconds": 1.5},
        {"advance_seconds": True},
        {"advance_seconds": "1"},
        {"advance_seconds": 10**12},
        {"advance_months": 121},
        {"to": 1},
        {"advance_seconds": 1, "advance_days": 1},
        {"advance": 1},
    ],
)
def test_what_is_no_step(http, body):
    before = http.get("/_sandbox/clock").json()["ahead_seconds"]
    assert http.post("/_sandbox/clock", json=body).status_code == 400
    assert http.get("/_sandbox/clock").json()["ahead_seconds"] == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_sandbox/clock"),
        ("POST", "/_sandbox/clock"),
        ("POST", "/_sandbox/chaos"),
        ("GET", "/_sandbox/not-emulated"),
        ("POST", "/_sandbox/customers/cus_x/card"),
        ("POST", "/_sandbox/webhook_endpoints/we_x/roll"),
    ],
)
def test_only_for_this_machine_and_for_no_web_page(http, method, path):
    assert http.request(method, path, headers={"Host": "evil.example"}).status_code == 403
    if method == "POST":
        assert http.request(method, path, headers={"Origin": "http://localhost:1"}).status_code == 403


def test_an_endpoint_has_its_hour_with_each_draft(stripe, http, client, subscription, receiver):
    """In real time it would: what it adds to a renewal when it hears of it stands on that bill."""

    def add_a_line(event):
        draft = event["data"]["object"]
        line = {"customer": draft["customer"], "invoice": draft["id"], "amount": 500, "currency": "usd"}
        client.v1.invoice_items.create(line)

    receiver.reacts = add_a_line
    stripe.register_webhook(receiver.url, ["invoice.created"])
    http.post("/_sandbox/clock", json={"advance_days": 95})
    first, *renewals = stripe.objects("invoice")
    assert [invoice["total"] - first["total"] for invoice in renewals] == [500] * 3
    assert {invoice["status"] for invoice in renewals} == {"paid"}


def test_an_endpoint_that_hangs_holds_the_clock_up_once(stripe, http, subscription, receiver, monkeypatch):
    monkeypatch.setattr(sandbox, "_HEARD_WITHIN_SECONDS", 0.2)
    receiver.hold.clear()
    stripe.register_webhook(receiver.url, ["invoice.created"])
    answer = http.post("/_sandbox/clock", json={"advance_days": 95})
    assert answer.status_code == 200 and receiver.received == []
    assert {invoice["status"] for invoice in stripe.objects("invoice")} == {"paid"}
