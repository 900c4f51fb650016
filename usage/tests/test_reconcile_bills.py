"""The night's comparison says which bill asks for AI tokens another sum than was used in its period, and no other."""

from datetime import timedelta

import pytest

from billing.meter_reports import report_usage
from billing.metered import is_for_usage
from billing.models import BillingAccount, TokenCharge
from billing.reconcile import COMMAND, check_one
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan
from billing.sync import sync_user

MILLION = 10**6  # $4.00 of Pro


def drifts(user):
    run = check_one(user, source=COMMAND)
    return [(drift.kind, drift.changes, drift.is_healed) for drift in run.drifts.all()]


def metered_cents(stripe):
    """Of each bill with tokens on it."""
    lines = [line for invoice in stripe.objects("invoice") for line in invoice["lines"]["data"]]
    return [line["amount"] for line in lines if line["amount"] and is_for_usage(line)]


def test_reported_after_the_bill_was_closed(alice, purchase, stripe, use_tokens, now):
    """Nothing came through for the whole hour in which it was a draft."""
    end = purchase("pro").current_period_end
    use_tokens(MILLION)
    report_usage(now())
    use_tokens(4 * MILLION)
    stripe.advance(to=end + timedelta(hours=2))
    sync_user(alice.pk)
    report_usage(now())
    assert metered_cents(stripe) == [400]
    told = [("usage_on_bill_differs", {"cents": [2000, 400]}, False)]
    assert drifts(alice) == told
    # What is used on the next bill changes nothing in it, nor does looking twice.
    use_tokens(MILLION)
    assert drifts(alice) == told


def test_a_bill_that_asks_for_too_much(alice, purchase, stripe, use_tokens, now):
    end = purchase("pro").current_period_end
    use_tokens(MILLION)
    use_tokens(MILLION, model="another")
    report_usage(now())
    stripe.advance(to=end + timedelta(hours=2))
    sync_user(alice.pk)
    assert drifts(alice) == []
    # Somebody has removed a line of the receipt by hand.
    TokenCharge.objects.filter(model="another").delete()
    assert ("usage_on_bill_differs", {"cents": [400, 800]}, False) in drifts(alice)


def renewed(alice, purchase, plans, stripe, use_tokens):
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=40)


def renewed_as_a_draft(alice, purchase, plans, stripe, use_tokens):
    end = purchase("pro").current_period_end
    use_tokens(MILLION)
    stripe.advance(to=end + timedelta(minutes=10))


def upgraded(alice, purchase, plans, stripe, use_tokens):
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=10)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    purchase_plan(alice, plans["team"].pk, 1, quote=quote.token)
    use_tokens(MILLION)
    stripe.advance(days=25)


def changed_to_a_year(alice, purchase, plans, stripe, use_tokens):
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=10)
    quote = preview_purchase(alice, plans["pro"].pk, 12)
    purchase_plan(alice, plans["pro"].pk, 12, quote=quote.token)
    use_tokens(3 * MILLION)
    stripe.advance(days=2)


def cancelled_at_once(alice, purchase, plans, stripe, use_tokens):
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=1)
    cancel_plan(alice, immediately=True)
    stripe.advance(hours=2)


def tried_first(alice, purchase, plans, stripe, use_tokens):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=20)
    use_tokens(2 * MILLION)
    stripe.advance(days=30)


def voided_and_asked_for_another_way(alice, purchase, plans, stripe, use_tokens):
    purchase("pro")
    use_tokens(100 * MILLION)
    stripe.advance(hours=2)
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    stripe.advance(months=1, hours=2)
    assert sync_user(alice.pk).status == "past_due"
    cancel_plan(alice)
    assert "void" in [invoice["status"] for invoice in stripe.objects("invoice")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "story",
    [
        renewed,
        renewed_as_a_draft,
        upgraded,
        changed_to_a_year,
        cancelled_at_once,
        tried_first,
        voided_and_asked_for_another_way,
    ],
)
def test_bills_that_are_right(story, alice, purchase, plans, stripe, use_tokens, now, monkeypatch):
    real = stripe.advance

    def advance(**time):
        report_usage(now())
        real(**time)
        sync_user(alice.pk)

    monkeypatch.setattr(stripe, "advance", advance)
    story(alice, purchase, plans, stripe, use_tokens)
    report_usage(now())
    assert metered_cents(stripe)
    assert [drift for drift in drifts(alice) if drift[0].startswith("usage")] == []


def test_a_customer_that_is_unknown_at_stripe_is_told_once(alice, purchase, stripe, use_tokens, now):
    purchase("pro")
    use_tokens(MILLION)
    BillingAccount.objects.update(stripe_customer_id="cus_of_another_key")
    assert [kind for kind, _, _ in drifts(alice)] == ["customer_missing"]
