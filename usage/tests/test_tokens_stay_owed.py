"""Who ends a plan without paying its bill still owes the tokens that were used; not the period that is not served."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.services import close_account
from billing.checkout import start_checkout
from billing.errors import PaymentOverdue
from billing.meter_reports import report_usage
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan
from billing.sync import sync_user
from usage.metering import record

A_HUNDRED_MILLION = 10**8  # $400 at Pro's $4 per million


@pytest.fixture
def owes_400(alice, purchase, stripe):
    """Alice has Pro, has used 100 million tokens, and her card fails from now on."""
    purchase("pro")
    now = datetime.fromtimestamp(stripe.now, UTC)
    record(alice.pk, "ai_token", A_HUNDRED_MILLION, source="test", key="t", now=now)
    stripe.advance(hours=2)
    report_usage(now + timedelta(hours=2))
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)


def owed_cents(stripe):
    return [one["amount_remaining"] for one in stripe.objects("invoice") if one["status"] == "open"]


def assert_nothing_is_sold(user, plan):
    for way in (preview_purchase, purchase_plan, start_checkout):
        with pytest.raises(PaymentOverdue) as refused:
            way(user, plan.pk, 1)
        assert refused.value.details["amount_due"] == 400


def test_cancelled_while_the_bill_is_overdue(alice, plans, stripe, owes_400):
    stripe.advance(months=1, hours=2)
    assert sync_user(alice.pk).status == "past_due"
    cancel_plan(alice)
    assert owed_cents(stripe) == [40000]
    assert_nothing_is_sold(alice, plans["pro"])


def test_cancelled_at_once_with_a_card_that_fails(alice, plans, stripe, owes_400):
    cancel_plan(alice, immediately=True)
    stripe.advance(hours=2)
    sync_user(alice.pk)
    assert owed_cents(stripe) == [40000]
    assert_nothing_is_sold(alice, plans["pro"])


def test_ended_by_stripe_when_it_gives_up(alice, plans, stripe, owes_400):
    stripe.advance(months=1, days=20)
    assert sync_user(alice.pk) is None
    sync_user(alice.pk)
    assert owed_cents(stripe) == [40000]
    assert_nothing_is_sold(alice, plans["pro"])


def test_an_account_that_is_closed_still_owes_them(alice, stripe, owes_400):
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    close_account(alice)
    assert owed_cents(stripe) == [40000]


def test_once_paid_everything_is_sold_again(alice, plans, stripe, owes_400):
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    cancel_plan(alice)
    [bill] = [one for one in stripe.objects("invoice") if one["status"] == "open"]
    stripe.pay_invoice(bill, "4242424242424242")
    assert purchase_plan(alice, plans["pro"].pk, 1).plan == plans["pro"]


def test_a_free_plan_is_still_theirs(alice, plans, stripe, owes_400):
    cancel_plan(alice, immediately=True)
    stripe.advance(hours=2)
    assert purchase_plan(alice, plans["explorer"].pk, 1).plan == plans["explorer"]
