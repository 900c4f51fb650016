"""Choosing the plan that one has, when it is cancelled or about to change: the preview says what confirming does."""

import pytest

from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def keep(user, plan, months, stripe):
    """Preview, confirm: (the quote, the plan afterwards, cents charged by it)."""
    quote = preview_purchase(user, plan.pk, months)
    before = paid_cents(stripe)
    return quote, purchase_plan(user, plan.pk, months, quote=quote.token), paid_cents(stripe) - before


@pytest.mark.parametrize("months", [1, 12])
def test_a_cancelled_plan_is_kept_for_nothing_and_goes_on(alice, plans, stripe, purchase, months):
    purchase("pro", months)
    cancel_plan(alice)
    quote, plan, charged = keep(alice, plans["pro"], months, stripe)
    assert (quote.kind, quote.total_cents, quote.lines, quote.undoes_end) == ("resume", 0, [], True)
    assert (charged, plan.cancel_at) == (0, None)
    assert (quote.next_cents, quote.next_at) == (plan.next_charge_cents, plan.next_charge_at)


def test_one_cancelled_in_its_trial_goes_on_in_its_trial(alice, plans, stripe, purchase):
    plans["team"].trial_days = 14
    plans["team"].save()
    purchase("team")
    cancel_plan(alice)
    quote, plan, charged = keep(alice, plans["team"], 1, stripe)
    assert (quote.kind, quote.total_cents, quote.ends_trial) == ("resume", 0, False)
    assert (charged, plan.status) == (0, "trialing")
    assert (quote.next_cents, quote.next_at) == (9900, plan.trial_end)


def test_a_pending_downgrade_is_taken_back(alice, plans, stripe, purchase):
    purchase("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    quote, plan, charged = keep(alice, plans["team"], 1, stripe)
    assert (quote.kind, quote.total_cents, charged, plan.pending_price_id) == ("resume", 0, 0, None)
    assert (quote.next_cents, quote.next_at) == (9900, plan.current_period_end)


def test_a_smaller_plan_can_be_priced_though_the_present_one_is_cancelled(alice, plans, stripe, purchase):
    purchase("team")
    cancel_plan(alice)
    quote, plan, charged = keep(alice, plans["pro"], 1, stripe)
    assert (quote.kind, quote.total_cents, quote.undoes_end, charged) == ("downgrade", 0, True, 0)
    assert (quote.next_cents, plan.pending_price.plan, plan.cancel_at) == (2900, plans["pro"], None)
