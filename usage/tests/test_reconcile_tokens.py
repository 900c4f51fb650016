"""The night's comparison finds what Stripe's meter lacks, and subscriptions whose tokens nobody bills."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing import stripe_gateway
from billing.meter_reports import report_usage
from billing.metered import EVENT_NAME
from billing.models import PlanPrice, TokenCharge
from billing.reconcile import COMMAND, check_one
from billing.sync import sync_user
from usage.metering import record

MILLION = 10**6


@pytest.fixture
def pro(purchase):
    return purchase("pro")


def use_tokens(user, tokens, key="t", **arguments):
    record(user.pk, "ai_token", tokens, source="test", key=key, now=timezone.now(), **arguments)


def drifts(user, **options):
    run = check_one(user, source=COMMAND, **options)
    return [(drift.kind, drift.is_healed) for drift in run.drifts.all()]


def in_the_meter(stripe):
    rows = stripe.sandbox.store.execute("SELECT value FROM meter_events WHERE canceled = 0", ()).fetchall()
    return sum(int(row["value"]) for row in rows)


def test_what_is_reported_and_what_is_about_to_be_is_no_drift(alice, pro, stripe):
    use_tokens(alice, MILLION)
    assert drifts(alice) == []
    report_usage(timezone.now())
    use_tokens(alice, MILLION, key="u")
    assert drifts(alice) == []


def test_what_the_meter_lacks_is_reported_again(alice, pro, stripe):
    use_tokens(alice, MILLION)
    use_tokens(alice, MILLION, key="u", model="opus")
    report_usage(timezone.now())
    stripe.sandbox.store.execute("DELETE FROM meter_events WHERE seq = (SELECT min(seq) FROM meter_events)", ())
    assert drifts(alice, dry_run=True) == [("usage_missing", False)]
    assert drifts(alice) == [("usage_missing", True)]
    report_usage(timezone.now())
    assert in_the_meter(stripe) == 2 * MILLION * 1000 * 400
    assert drifts(alice) == []


def test_what_the_meter_has_too_much_of_is_for_a_person(alice, pro, stripe):
    use_tokens(alice, MILLION)
    report_usage(timezone.now())
    charge = TokenCharge.objects.get()
    stripe_gateway.send_meter_event(
        event_name=EVENT_NAME,
        customer_id=alice.billing_account.stripe_customer_id,
        value=5,
        identifier="by hand",
        at=charge.day_start,
    )
    assert drifts(alice) == [("usage_too_much", False)]


def test_a_subscription_of_before_the_meter_gets_its_item(alice, pro, stripe, monkeypatch):
    [subscription] = stripe.objects("subscription")
    stripe.client.v1.subscriptions.update(
        subscription["id"], {"items": [{"id": pro.stripe_metered_item_id, "deleted": True}]}
    )
    assert sync_user(alice.pk).token_price_cents == 0
    assert PlanPrice.objects.get(stripe_price_id=pro.stripe_price_id).token_price_cents == 400
    use_tokens(alice, MILLION)
    assert not TokenCharge.objects.exists()
    assert drifts(alice, dry_run=True) == [("metered_item_missing", False)]
    assert drifts(alice) == [("metered_item_missing", True)]
    assert sync_user(alice.pk).token_price_cents == 400
    assert drifts(alice) == []
    assert len(stripe.objects("invoice")) == 1


@pytest.mark.parametrize(("is_reported", "told"), [(True, []), (False, [("usage_too_old", False)])])
def test_what_stripe_does_not_take_any_more_is_told(alice, pro, stripe, is_reported, told):
    use_tokens(alice, MILLION)
    if is_reported:
        report_usage(timezone.now())
    TokenCharge.objects.update(day_start=timezone.now() - timedelta(days=36))
    assert report_usage(timezone.now()) == 0
    assert drifts(alice) == told
