"""Idempotency-Key on our writes: the first answer again; another body 422; still at work 409; nothing kept of a 5xx."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing import idempotency, subscriptions
from billing.errors import StripeUnavailable
from billing.models import IdempotentAnswer

pytestmark = pytest.mark.django_db


@pytest.fixture
def buy(client, alice):
    client.force_login(alice)

    def post(plan, key="k-1"):
        return client.post(
            "/api/purchase/plan",
            {"plan_id": plan.pk, "duration_months": 1},
            content_type="application/json",
            headers={"Idempotency-Key": key},
        )

    return post


def test_the_same_key_replays_the_first_answer(buy, plans, stripe):
    first, again = buy(plans["explorer"]), buy(plans["explorer"])
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


def test_a_refusal_is_replayed_too(buy, plans, client):
    first, again = buy(plans["pro"]), buy(plans["pro"])
    assert first.status_code == again.status_code == 402
    assert again.json() == first.json()
    assert again.headers["Content-Type"] == "application/problem+json"


def test_the_same_key_with_another_body(buy, plans):
    buy(plans["explorer"])
    answer = buy(plans["pro"])
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_the_same_key_of_another_user(buy, plans, client, bob):
    buy(plans["explorer"])
    client.force_login(bob)
    assert "Idempotent-Replayed" not in buy(plans["explorer"]).headers


def test_the_first_is_still_at_work(buy, plans):
    buy(plans["explorer"])
    IdempotentAnswer.objects.update(status=None, body=None)
    answer = buy(plans["explorer"])
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_use")
    assert answer.headers["Retry-After"]


def test_the_first_died(buy, plans):
    IdempotentAnswer.objects.all().delete()
    buy(plans["explorer"])
    IdempotentAnswer.objects.update(
        status=None, body=None, created_at=timezone.now() - idempotency.ABANDONED_AFTER - timedelta(seconds=1)
    )
    assert buy(plans["explorer"]).json()["code"] == "already_subscribed"
    assert IdempotentAnswer.objects.get().status == 409


def test_after_a_503_the_same_key_tries_again(buy, plans, monkeypatch):
    with monkeypatch.context() as patch:

        def down(*args):
            raise StripeUnavailable()

        patch.setattr(subscriptions, "sync_locked", down)
        assert buy(plans["explorer"]).status_code == 503
    assert buy(plans["explorer"]).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_a_key_that_is_none(buy, plans, key):
    assert buy(plans["explorer"], key).status_code == 400
    assert not IdempotentAnswer.objects.exists()


def test_old_answers_are_forgotten(buy, plans):
    buy(plans["explorer"])
    assert idempotency.forget_old_answers() == 0
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert idempotency.forget_old_answers() == 1
