"""POST /api/purchase/preview: what a change costs and breaks; what is confirmed is what is charged."""

from datetime import timedelta

import pytest
from django.core import signing
from django.utils import timezone

from billing import quotes
from billing.subscriptions import live_plan, preview_purchase, purchase_plan
from usage.metering import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def post(client, alice):
    client.force_login(alice)

    def send(path, plan, months=1, **more):
        body = {"plan_id": plan.pk, "duration_months": months, **more}
        return client.post(f"/api/purchase/{path}", body, content_type="application/json")

    return send


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


@pytest.mark.slow
@pytest.mark.parametrize(("months", "wanted", "wanted_months"), [(1, "team", 1), (1, "pro", 12), (12, "team", 12)])
def test_the_charge_equals_the_quote_though_time_has_passed(post, plans, stripe, buy, months, wanted, wanted_months):
    buy("pro", months)
    stripe.advance(days=10)
    preview = post("preview", plans[wanted], wanted_months).json()
    assert (preview["change"], preview["is_immediate"]) == ("upgrade", True)
    assert sum(round(line["amount"] * 100) for line in preview["lines"]) == round(preview["total_now"] * 100)
    assert [line["amount"] < 0 for line in preview["lines"]] == [True, False]
    stripe.advance(seconds=500)
    before = paid_cents(stripe)
    answer = post("plan", plans[wanted], wanted_months, quote=preview["quote"])
    assert answer.status_code == 200, answer.content
    assert paid_cents(stripe) - before == round(preview["total_now"] * 100)
    plan = answer.json()["user_plan"]
    assert plan["next_charge"]["amount"] == preview["next_bill"]["amount"]


def test_a_downgrade_says_when_and_what_present_use_would_break(post, alice, plans, buy):
    buy("pro")
    now = timezone.now()
    record(user_id=alice.pk, feature="file_upload", amount=34, key="k", source="test", now=now)
    preview = post("preview", plans["explorer"]).json()
    assert (preview["change"], preview["is_immediate"], preview["total_now"]) == ("downgrade", False, 0)
    plan = live_plan(alice.pk)
    assert preview["effective_at"] == plan.current_period_end.isoformat().replace("+00:00", "Z")
    assert preview["next_bill"] is None
    files = next(limit for limit in preview["limits"] if limit["feature"] == "file_upload")
    assert (files["before"], files["after"]) == (100, 3)
    assert [conflict["message"] for conflict in preview["conflicts"]] == [
        "34 files, Explorer allows 3: they stay readable, no new uploads."
    ]


def test_a_quote_older_than_ten_minutes_is_refused_and_renewed(post, alice, plans, stripe, buy, monkeypatch):
    buy("pro")
    preview = post("preview", plans["team"]).json()
    now = timezone.now()
    monkeypatch.setattr(quotes.timezone, "now", lambda: now + timedelta(minutes=10))
    before = paid_cents(stripe)
    refused = post("plan", plans["team"], quote=preview["quote"])
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_expired")
    assert paid_cents(stripe) == before
    renewed = refused.json()["preview"]
    assert post("plan", plans["team"], quote=renewed["quote"]).status_code == 200
    assert paid_cents(stripe) - before == round(renewed["total_now"] * 100)


def test_a_quote_that_no_longer_holds_is_refused_and_renewed(post, alice, plans, stripe, buy):
    buy("pro")
    preview = post("preview", plans["team"]).json()
    customer = alice.billing_account.stripe_customer_id
    stripe.client.v1.customers.balance_transactions.create(customer, {"amount": -500, "currency": "usd"})
    refused = post("plan", plans["team"], quote=preview["quote"])
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_changed")
    assert refused.json()["preview"]["credit"] == 5
    assert live_plan(alice.pk).plan == plans["pro"]


@pytest.mark.parametrize("of", ["another plan", "another user", "nobody", "garbage"])
def test_only_our_own_quote_for_this_choice_counts(post, alice, bob, plans, buy, of):
    buy("pro")
    if of == "another user":
        purchase_plan(bob, plans["explorer"].pk, 1)
        token = preview_purchase(bob, plans["explorer"].pk, 12).token
        wanted = plans["explorer"], 12
    else:
        token = {
            "another plan": preview_purchase(alice, plans["team"].pk, 12).token,
            "nobody": signing.dumps({"user": alice.pk}, salt="another"),
            "garbage": "garbage",
        }[of]
        wanted = plans["team"], 1
    refused = post("plan", *wanted, quote=token)
    assert (refused.status_code, refused.json()["code"]) == (400, "quote_invalid")
    assert live_plan(alice.pk).plan == plans["pro"]


def test_without_a_plan_it_prices_the_first_period(post, plans, stripe):
    preview = post("preview", plans["pro"]).json()
    assert (preview["change"], preview["payment"], preview["total_now"]) == ("start", "checkout", 29)
    assert preview["next_bill"]["amount"] == 29
    assert preview["limits"][0] == {
        "feature": "file_upload",
        "label": "Files",
        "unit": "files",
        "window": "none",
        "has_before": False,
        "before": None,
        "after": 100,
    }
    assert stripe.objects("subscription") == []


def test_it_changes_nothing(post, alice, plans, stripe, buy):
    buy("pro")
    events = len(stripe.objects("event"))
    post("preview", plans["team"])
    post("preview", plans["explorer"])
    assert len(stripe.objects("event")) == events


def test_what_cannot_be_bought_cannot_be_priced(post, plans, buy):
    buy("pro")
    same = post("preview", plans["pro"])
    assert (same.status_code, same.json()["code"]) == (409, "already_subscribed")
    plans["team"].state = "archived"
    plans["team"].save()
    assert post("preview", plans["team"]).status_code == 404
