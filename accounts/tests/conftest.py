"""How a program talks to the log-in endpoints, and a clock that can be moved."""

from datetime import date, timedelta

import pytest
from django.utils import timezone
from rest_framework_simplejwt import tokens as simplejwt_tokens

from accounts.api import REFRESH_COOKIE
from billing.models import Plan, UserPlan


@pytest.fixture
def post(client):
    """POST JSON (or raw text as JSON) to a path below /api/."""

    def post_json(path, body=None, **extra):
        return client.post(f"/api/{path}", body, content_type="application/json", **extra)

    return post_json


@pytest.fixture
def log_in(post):
    """Log in as one of the cast, whose passwords are "<name>'s long password"."""

    def with_password(user, **extra):
        name = user.email.partition("@")[0]
        return post("auth/login", {"email": user.email, "password": f"{name}'s long password"}, **extra)

    return with_password


@pytest.fixture
def refresh(client, post):
    """Present a refresh token (by default the cookie that the client holds)."""

    def with_token(token=None, **extra):
        if token is not None:
            client.cookies[REFRESH_COOKIE] = token
        return post("auth/refresh", **extra)

    return with_token


@pytest.fixture
def clock(monkeypatch):
    """The time of day, moved forward by clock.move(seconds=...)."""

    class Clock:
        offset = timedelta()

        def move(self, **by):
            self.offset += timedelta(**by)

    moved, real = Clock(), timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + moved.offset)
    monkeypatch.setattr(simplejwt_tokens, "aware_utcnow", timezone.now)
    return moved


@pytest.fixture
def mandatory_verification(settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


@pytest.fixture
def subscribe():
    """Give a user a plan, as billing/sync.py would have written it from Stripe."""

    def with_plan(user, **changes):
        plan, _ = Plan.objects.get_or_create(
            name="DataPilot Pro",
            defaults={
                "price_monthly": 29,
                "file_limit": 100,
                "file_size_limit_mb": 25,
                "ai_prompts_per_day": 10,
                "synthetic_rows_per_month": None,
                "features": {"support": "Mail"},
            },
        )
        start = timezone.now() - timedelta(days=3)
        values = {
            "stripe_subscription_id": f"sub_{user.pk}",
            "stripe_price_id": "price_1",
            "duration_months": 1,
            "amount_cents": 2900,
            "status": "active",
            "is_live": True,
            "start_date": start,
            "current_period_start": start,
            "current_period_end": start + timedelta(days=30),
            "next_charge_cents": 2900,
            "next_charge_at": start + timedelta(days=30),
            "card_brand": "visa",
            "card_last4": "4242",
            "card_expires_on": date(2040, 12, 31),
        }
        if not (values | changes)["amount_cents"] or (values | changes).get("cancel_at"):
            values |= {"next_charge_cents": None, "next_charge_at": None}
        return UserPlan.objects.create(user=user, plan=plan, **(values | changes))

    return with_plan


@pytest.fixture
def buy(client, alice, purchase):
    """`purchase` for Alice, who is logged in."""
    client.force_login(alice)
    return purchase


def cookie_of(response):
    """The refresh cookie that a response sets, or None."""
    return response.cookies.get(REFRESH_COOKIE)


@pytest.fixture
def customer(client, alice):
    """Alice's browser, logged in."""
    client.force_login(alice)
    return client
