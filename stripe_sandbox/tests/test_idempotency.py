"""Idempotency-Key on POST."""

from __future__ import annotations

import threading

import httpx
import pytest
import stripe as stripe_sdk

KEY = {"Idempotency-Key": "key-1"}


def test_a_repeat_replays_the_first_answer(stripe, http):
    first = http.post("/v1/customers", data={"email": "a@example.com"}, headers=KEY)
    again = http.post("/v1/customers", data={"email": "a@example.com"}, headers=KEY)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert len(stripe.objects("customer")) == 1
    assert len(stripe.events("customer.created")) == 1


def test_the_order_of_parameters_does_not_matter(http):
    first = http.post("/v1/customers", content="email=a%40b.co&name=x", headers=KEY | _FORM)
    again = http.post("/v1/customers", content="name=x&email=a%40b.co", headers=KEY | _FORM)
    assert first.json()["id"] == again.json()["id"]


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_other_parameters_are_an_idempotency_error(client, stripe):
    options = {"idempotency_key": "key-1"}
    client.v1.customers.create({"email": "a@example.com"}, options)
    with pytest.raises(stripe_sdk.IdempotencyError) as error:
        client.v1.customers.create({"email": "b@example.com"}, options)
    assert error.value.http_status == 400
    assert "can only be used with the same parameters" in error.value.user_message
    assert len(stripe.objects("customer")) == 1


def test_another_path_is_an_idempotency_error(http):
    http.post("/v1/customers", data={"name": "x"}, headers=KEY)
    answer = http.post("/v1/products", data={"name": "x"}, headers=KEY)
    assert answer.json()["error"]["type"] == "idempotency_error"


def test_a_request_that_fails_validation_is_not_saved(http):
    assert http.post("/v1/products", headers=KEY).status_code == 400
    assert http.post("/v1/products", data={"nonsense": "1"}, headers=KEY).status_code == 400
    assert http.post("/v1/products", data={"name": "Pro"}, headers=KEY).status_code == 200


def test_a_wrong_key_of_the_api_is_not_saved(stripe, http):
    wrong = {"Authorization": "Bearer sk_test_x"}
    httpx.post(f"{stripe.url}/v1/products", data={"name": "Pro"}, headers=KEY | wrong)
    assert http.post("/v1/products", data={"name": "Pro"}, headers=KEY).status_code == 200


def test_a_declined_payment_is_replayed_and_not_tried_again(stripe, client, ada, pro, card_of_ada):
    card_of_ada("pm_card_chargeCustomerFail")
    params = {"customer": ada.id, "items": [{"price": pro.id}], "payment_behavior": "error_if_incomplete"}
    for _ in range(2):
        with pytest.raises(stripe_sdk.CardError):
            client.v1.subscriptions.create(params, {"idempotency_key": "buy"})
    card_of_ada("pm_card_visa")
    with pytest.raises(stripe_sdk.CardError):  # still the first answer
        client.v1.subscriptions.create(params, {"idempotency_key": "buy"})
    assert client.v1.subscriptions.create(params, {"idempotency_key": "buy-2"}).status == "active"


def test_an_unknown_id_is_replayed_too(http):
    first = http.post("/v1/customers/cus_nobody", data={"name": "x"}, headers=KEY)
    again = http.post("/v1/customers/cus_nobody", data={"name": "x"}, headers=KEY)
    assert (first.status_code, again.content) == (404, first.content)


def test_a_500_is_replayed_too(stripe, http, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(stripe.sandbox, "new", lambda *args: 1 / 0)
        assert http.post("/v1/customers", headers=KEY).status_code == 500
    again = http.post("/v1/customers", headers=KEY)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")


@pytest.mark.slow
def test_while_the_first_is_in_flight_the_second_is_409(stripe, http):
    stripe.latency = 0.3
    answers = []

    def post():
        answers.append(http.post("/v1/customers", data={"name": "x"}, headers=KEY))

    try:
        threads = [threading.Thread(target=post) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        stripe.latency = 0
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    conflict = next(answer for answer in answers if answer.status_code == 409).json()["error"]
    assert (conflict["type"], conflict["code"]) == ("idempotency_error", "idempotency_key_in_use")
    assert http.post("/v1/customers", data={"name": "x"}, headers=KEY).status_code == 200
    assert len(stripe.objects("customer")) == 1


def test_a_key_is_forgotten_after_a_day(stripe, http, monkeypatch):
    """A day of real time: an application's retries do not wait for the sandbox's clock."""
    first = http.post("/v1/customers", headers=KEY).json()["id"]
    stripe.advance(days=40)
    assert http.post("/v1/customers", headers=KEY).json()["id"] == first
    clock = stripe.sandbox.clock
    wall = clock.wall
    monkeypatch.setattr(clock, "wall", lambda: wall() + 24 * 3600 - 60)
    assert http.post("/v1/customers", headers=KEY).json()["id"] == first
    monkeypatch.setattr(clock, "wall", lambda: wall() + 24 * 3600 + 60)
    answer = http.post("/v1/customers", headers=KEY)
    assert answer.json()["id"] != first
    assert "Idempotent-Replayed" not in answer.headers


def test_a_misused_key_keeps_its_first_answer(http):
    first = http.post("/v1/customers", data={"name": "x"}, headers=KEY)
    misused = http.post("/v1/customers", data={"name": "y"}, headers=KEY)
    assert misused.status_code == 400
    assert misused.json()["error"]["message"].startswith(
        "Keys for idempotent requests can only be used with the same parameters they were first used with."
    )
    assert http.post("/v1/customers", data={"name": "x"}, headers=KEY).content == first.content


def test_an_operation_that_is_not_there_uses_no_key_up(http):
    assert http.post("/v1/plans", data={"name": "x"}, headers=KEY).status_code == 404
    assert http.post("/v1/products", data={"name": "Pro"}, headers=KEY).status_code == 200


def test_get_and_delete_ignore_the_key(http, ada):
    http.post("/v1/products", data={"name": "x"}, headers=KEY)
    assert http.get("/v1/customers", headers=KEY).status_code == 200
    answer = http.delete(f"/v1/customers/{ada.id}", headers=KEY)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_impossible_length_is_refused(http, key):
    assert http.post("/v1/customers", headers={"Idempotency-Key": key}).status_code == 400


def test_events_name_the_request_and_its_key(stripe, http):
    answer = http.post("/v1/customers", headers=KEY)
    [event] = stripe.events("customer.created")
    assert event["request"] == {"id": answer.headers["Request-Id"], "idempotency_key": "key-1"}
