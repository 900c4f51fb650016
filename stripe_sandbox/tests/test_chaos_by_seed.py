"""The same seed gives the same history."""

from __future__ import annotations

import threading

import httpx
import pytest

EVERYTHING = {
    "rate_limited": 0.2,
    "no_answer": 0.1,
    "server_error": 0.2,
    "die_after_write": 0.2,
    "drop": 0.2,
    "duplicate": 0.2,
    "delay": 0.2,
    "reorder": 0.3,
}


def history_of(stripe, http, seed):
    """Live through a fixed script of requests and return what became of them."""
    stripe.reset()
    stripe.register_webhook("http://127.0.0.1:1/webhook")
    stripe.chaos(seed=seed, **EVERYTHING)
    answers = []
    for number in range(30):
        try:
            answers.append(http.post("/v1/customers", data={"name": str(number)}).status_code)
            answers.append(http.get("/v1/customers").status_code)
        except httpx.TransportError:
            answers.append("died")
        if number % 3 == 0:
            try:
                http.post("/v1/products", data={"name": str(number)})
            except httpx.TransportError:
                answers.append("died")
    stripe.sandbox.chaos.heal()
    taken = [delivery.event["data"]["object"]["name"] for delivery in stripe.take_deliveries()]
    return answers, taken, stripe.sandbox.chaos.history()


@pytest.mark.slow
def test_a_history_lived_twice(stripe, http):
    first = history_of(stripe, http, 42)
    assert {429, 500, 200, "died"} <= set(first[0])
    assert {fault for entry in first[2] for fault in entry["faults"]} == set(EVERYTHING)
    assert history_of(stripe, http, 42) == first
    assert history_of(stripe, http, 43)[2] != first[2]


def test_threads_do_not_change_it(stripe):
    """Requests of two kinds at once: the nth of each kind meets its fate, in whatever order they came."""

    def run():
        stripe.reset()
        stripe.chaos(seed=9, rate_limited=0.4)
        outcome = {"customers": [], "products": []}

        def call(kind):
            with httpx.Client(base_url=stripe.url, headers={"Authorization": f"Bearer {stripe.secret_key}"}) as http:
                for number in range(20):
                    outcome[kind].append(http.post(f"/v1/{kind}", data={"name": str(number)}).status_code)

        threads = [threading.Thread(target=call, args=(kind,)) for kind in outcome]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcome, stripe.sandbox.chaos.history()

    assert run() == run()


def test_setting_the_switches_begins_anew(stripe, http):
    stripe.chaos(seed=1, rate_limited=0.5)
    first = [http.get("/v1/account").status_code for _ in range(12)]
    stripe.chaos(seed=1, rate_limited=0.5)
    assert [http.get("/v1/account").status_code for _ in range(12)] == first
    assert set(first) == {200, 429}


def test_a_reset_heals(stripe, http):
    stripe.chaos(rate_limited=1)
    stripe.deliveries.drop_next()
    stripe.reset()
    assert stripe.sandbox.chaos.shown()["active"] is False
    assert http.post("/v1/customers").status_code == 200
    assert len(stripe.take_deliveries()) == 1


def test_the_switches_over_http(http):
    shown = http.post("/_sandbox/chaos", json={"seed": 4, "rate_limited": 1}).json()
    assert (shown["active"], shown["seed"], shown["rate_limited"], shown["drop"]) == (True, 4, 1, 0)
    assert http.get("/v1/account").status_code == 429
    [entry] = http.get("/_sandbox/chaos").json()["history"]
    assert entry == {"stream": "request", "what": "GET /v1/account", "ordinal": 1, "faults": ["rate_limited"]}
    healed = http.post("/_sandbox/chaos", json={}).json()
    assert (healed["active"], healed["rate_limited"]) == (False, 0)
    assert healed["history"] == [entry]
    assert http.get("/v1/account").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"drop": 2},
        {"drop": -0.1},
        {"drop": "1"},
        {"drop": True},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 2**60},
        {"dorp": 1},
        {"slow_seconds": 61},
        {"requests_per_second": None},
    ],
)
def test_what_is_no_switch(http, body):
    answer = http.post("/_sandbox/chaos", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(body))
    assert http.get("/_sandbox/chaos").json()["active"] is False
