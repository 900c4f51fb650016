"""/_sandbox/: the page of the running demo."""

from __future__ import annotations

import re

import pytest

from stripe_sandbox.tests.in_process import status_for


@pytest.fixture
def page(stripe, http):
    def show() -> str:
        answer = http.get("/_sandbox/")
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return re.sub(r"\s+", " ", answer.text)

    return show


@pytest.fixture
def press(stripe, http):
    def press(button, **form):
        answer = http.post(f"/_sandbox/page/{button}", data=form, headers={"Origin": stripe.url})
        assert answer.status_code == 303, answer.text
        return http.get(answer.headers["Location"]).text

    return press


def test_an_empty_sandbox(page):
    shown = page()
    for words in (
        "Nobody yet",
        "no endpoint is registered",
        "Nothing was asked for",
        "the same as real time",
    ):
        assert words in shown


def test_it_shows_who_is_there_and_what_was_sent(stripe, page, http, subscription):
    stripe.register_webhook("http://127.0.0.1:1/hook")
    http.get("/v1/plans")
    stripe.client.v1.customers.update(stripe.objects("customer")[0]["id"], {"name": "<b>Ada</b>"})
    shown = page()
    for words in (
        "&lt;b&gt;Ada",
        "Visa ending in 4242",
        "active",
        "customer.updated",
        "http://127.0.0.1:1/hook",
    ):
        assert words in shown
    assert "GET /v1/plans" in shown
    assert "<b>Ada" not in shown


def test_the_clock_goes_forward(stripe, press, checkout):
    session = checkout()
    before = stripe.now
    assert "One thing fell due" in press("clock", step="week")
    assert stripe.now == before + 7 * 86400
    assert stripe.get(session.id)["status"] == "expired"
    press("clock", step="month")
    assert stripe.now - before > 34 * 86400


def test_a_card_starts_failing_and_works_again(stripe, press, page, subscription, ada):
    assert "every later charge of the card fails" in press("card", customer=ada.id, card="fails")
    assert "Card works again" in page()
    press("card", customer=ada.id, card="works")
    assert "Card starts failing" in page()


def test_chaos_is_set_and_healed(stripe, press, http):
    assert "Chaos is on" in press("chaos", rate_limited="100", seed="7", slow="", drop="0")
    assert http.get("/v1/account").status_code == 429
    assert "rate limited" in http.get("/_sandbox/").text
    assert "All switches are off" in press("heal")
    assert http.get("/v1/account").status_code == 200


def test_a_delivery_is_sent_again_and_webhooks_wait(stripe, press, client):
    press("webhooks", paused="true")
    stripe.register_webhook("http://127.0.0.1:1/")
    client.v1.customers.create({})
    assert stripe.deliveries[0]["state"] == "pending"
    press("redeliver", delivery=stripe.deliveries[0]["id"])
    press("webhooks", paused="false")
    assert stripe.sandbox.deliveries.paused is False


@pytest.mark.parametrize(
    ("button", "form"),
    [
        ("card", {"customer": "cus_x", "card": "fails"}),
        ("redeliver", {"delivery": "whd_x"}),
        ("chaos", {"drop": "101"}),
        ("chaos", {"drop": "x"}),
        ("chaos", {"seed": "1.5"}),
        ("chaos", {"drop": "nan"}),
        ("chaos", {"seed": "inf"}),
    ],
)
def test_what_does_not_work_is_said_on_the_page(stripe, http, button, form):
    answer = http.post(f"/_sandbox/page/{button}", data=form, headers={"Origin": stripe.url})
    assert answer.status_code in (400, 404)
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "http://localhost"])
def test_the_buttons_of_another_page_are_refused(stripe, http, origin):
    before = stripe.sandbox.clock.offset
    headers = {"Origin": origin} if origin else {}
    assert http.post("/_sandbox/page/clock", data={"step": "month"}, headers=headers).status_code == 403
    assert stripe.sandbox.clock.offset == before


def test_another_host_name_or_machine_is_refused(stripe, http):
    assert http.get("/_sandbox/", headers={"Host": "evil.example"}).status_code == 403
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert http.post("/_sandbox/page/heal", headers=headers).status_code == 403
    assert status_for(stripe, "203.0.113.9", "/_sandbox/") == 403
