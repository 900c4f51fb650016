"""Stripe down, slow, refusing: a clear 502/503, nothing half done, and pressing again is safe."""

import pytest
import stripe as stripe_sdk
from django.urls import reverse

from billing import stripe_gateway
from billing.checkout import confirm_checkout, start_checkout
from billing.errors import StripeRefused, StripeUnavailable
from billing.models import UserPlan
from billing.subscriptions import live_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def down(settings):
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.mark.parametrize("path", ["create-checkout-session", "purchase/plan"])
def test_a_purchase_is_a_503_that_says_when_to_come_back(client, alice, plans, down, path):
    client.force_login(alice)
    answer = client.post(
        f"/api/{path}", {"plan_id": plans["pro"].pk, "duration_months": 1}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "stripe_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "Connection" not in answer.content.decode()


def test_the_way_back_says_processing(client, alice, plans, stripe, settings):
    session = stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    host, settings.STRIPE_API_HOST = settings.STRIPE_API_HOST, "http://127.0.0.1:9"
    assert confirm_checkout(alice, session["id"]).state == "processing"
    client.force_login(alice)
    page = client.get(reverse("billing:checkout_return"), {"session_id": session["id"]})
    assert page.status_code == 200
    assert not UserPlan.objects.exists()
    settings.STRIPE_API_HOST = host
    assert confirm_checkout(alice, session["id"]).state == "active"


def test_an_answer_that_was_lost_buys_once(alice, plans, stripe, monkeypatch):
    """Stripe created the subscription, the answer never came: pressing again finds it."""
    from billing.errors import AlreadySubscribed
    from billing.subscriptions import purchase_plan

    real = stripe_gateway.create_subscription

    def lost(**kwargs):
        real(**kwargs)
        raise StripeUnavailable()

    monkeypatch.setattr(stripe_gateway, "create_subscription", lost)
    with pytest.raises(StripeUnavailable):
        purchase_plan(alice, plans["explorer"].pk, 1)
    monkeypatch.undo()
    monkeypatch.setattr(stripe_sdk, "api_base", stripe.url)
    with pytest.raises(AlreadySubscribed):
        purchase_plan(alice, plans["explorer"].pk, 1)
    assert live_plan(alice.pk).plan == plans["explorer"]
    assert len(stripe.objects("subscription")) == 1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (stripe_sdk.APIConnectionError("no route"), StripeUnavailable),
        (stripe_sdk.RateLimitError("slow down", http_status=429), StripeUnavailable),
        (stripe_sdk.APIError("boom", http_status=500), StripeUnavailable),
        (stripe_sdk.APIError("in use", http_status=409), StripeUnavailable),
        (stripe_sdk.InvalidRequestError("bad", "x", http_status=400), StripeRefused),
        (
            stripe_sdk.InvalidRequestError("none", "x", code="resource_missing", http_status=404),
            stripe_gateway.ResourceMissing,
        ),
        (stripe_sdk.AuthenticationError("key sk_live_abc", http_status=401), StripeRefused),
        (stripe_sdk.PermissionError("no", http_status=403), StripeRefused),
        (stripe_sdk.IdempotencyError("other", http_status=400), StripeRefused),
    ],
)
def test_their_errors_become_ours_and_their_words_stay_in_the_log(theirs, ours):
    with pytest.raises(ours) as caught, stripe_gateway._our_errors():
        raise theirs
    assert type(caught.value) is ours
    assert str(theirs) not in caught.value.message


@pytest.mark.parametrize(
    ("decline", "public"),
    [("insufficient_funds", "insufficient_funds"), ("stolen_card", "card_declined"), (None, "card_declined")],
)
def test_a_decline_is_told_in_our_words_and_a_stolen_card_learns_nothing(decline, public):
    error = stripe_sdk.CardError(
        "x", "card", "card_declined", json_body={"error": {"code": "card_declined", "decline_code": decline}}
    )
    assert stripe_gateway.card_declined(error).details == {"decline_code": public}


def test_every_call_has_a_time_out(settings):
    assert stripe_gateway._client()._requestor._get_http_client()._timeout == settings.STRIPE_TIMEOUT_SECONDS
    assert stripe_sdk.default_http_client._timeout == settings.STRIPE_TIMEOUT_SECONDS
