"""Staff give a plan by hand: until a day, for a reason, without a card, and nobody is ever charged for it."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.checkout import start_checkout
from billing.errors import AlreadySubscribed, GrantRefused, PaymentMethodRequired, StripeUnavailable
from billing.grants import end_grant, grant_plan, move_grant_end
from billing.models import BillingAccount, UserPlan
from billing.subscriptions import cancel_plan, live_plan, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


def in_days(days):
    return timezone.now().replace(microsecond=0) + timedelta(days=days)


@pytest.fixture
def give(alice, plans, staff):
    def grant(plan="pro", days=40, reason="Beta tester"):
        return grant_plan(alice, plans[plan], until=in_days(days), reason=reason, by=staff)

    return grant


@pytest.fixture
def buy(alice, plans, stripe):
    def purchase(plan):
        session = stripe.pay(start_checkout(alice, plans[plan].pk, 1).rsplit("/", 1)[-1])
        sync_user(alice.pk)
        return session

    return purchase


def charged(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def test_it_serves_until_the_day_and_then_ends_without_a_charge(alice, plans, stripe, give):
    plan = give()
    assert (plan.plan, plan.status, plan.grant_reason) == (plans["pro"], "trialing", "Beta tester")
    assert plan.is_active(timezone.now())
    assert plan.cancel_at == plan.trial_end == plan.current_period_end
    assert (plan.next_charge_cents, plan.card_last4) == (None, "")
    stripe.advance(days=39)
    assert sync_user(alice.pk).status == "trialing"
    stripe.advance(days=2)
    assert sync_user(alice.pk) is None
    assert UserPlan.objects.get().status == "canceled"
    assert charged(stripe) == 0
    assert all(invoice["total"] == 0 for invoice in stripe.objects("invoice"))


def test_a_card_on_file_is_not_charged_either(alice, stripe, give, buy):
    buy("team")
    cancel_plan(alice, immediately=True)
    before = charged(stripe)
    give()
    stripe.advance(days=45)
    assert sync_user(alice.pk) is None
    assert charged(stripe) == before


def test_it_uses_up_no_trial(alice, plans, give, staff):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    give()
    assert BillingAccount.objects.get(user=alice).trial_started_at is None
    end_grant(alice, by=staff)
    with pytest.raises(PaymentMethodRequired):
        purchase_plan(alice, plans["pro"].pk, 1)
    assert BillingAccount.objects.get(user=alice).trial_started_at is None


def test_it_takes_the_place_of_a_free_plan(alice, plans, stripe, give):
    purchase_plan(alice, plans["explorer"].pk, 1)
    assert give().plan == plans["pro"]
    assert sorted(s["status"] for s in stripe.objects("subscription")) == ["canceled", "trialing"]


def test_a_paid_plan_is_refused_and_staff_are_told_what_to_do(stripe, give, buy):
    buy("pro")
    with pytest.raises(GrantRefused, match="Cancel it first"):
        give("team")
    assert len(stripe.objects("subscription")) == 1


def test_what_is_bought_meanwhile_takes_its_place_and_is_no_grant(alice, plans, stripe, give, buy):
    give("pro")
    buy("pro")
    plan = live_plan(alice.pk)
    assert (plan.plan, plan.status, plan.is_grant, plan.cancel_at) == (plans["pro"], "active", False, None)
    assert charged(stripe) == 2900
    with pytest.raises(AlreadySubscribed):
        purchase_plan(alice, plans["pro"].pk, 1)


def test_an_open_checkout_is_closed_before_a_plan_is_given(alice, plans, stripe, give):
    start_checkout(alice, plans["team"].pk, 1)
    give()
    assert [session["status"] for session in stripe.objects("checkout.session")] == ["expired"]


def test_given_twice_it_is_given_once(alice, plans, staff, stripe):
    until = in_days(30)
    for _ in range(2):
        grant_plan(alice, plans["pro"], until=until, reason="Contest", by=staff)
    assert len(stripe.objects("subscription")) == 1


def test_an_answer_that_got_lost_gives_it_once(alice, plans, staff, stripe):
    until = in_days(30)
    stripe.chaos(seed=3, die_after_write=1)
    with pytest.raises(StripeUnavailable):
        grant_plan(alice, plans["pro"], until=until, reason="Contest", by=staff)
    stripe.heal()
    grant_plan(alice, plans["pro"], until=until, reason="Contest", by=staff)
    assert len([s for s in stripe.objects("subscription") if s["status"] == "trialing"]) == 1


@pytest.mark.parametrize("days", [-1, 0, 731])
def test_it_needs_an_end_within_two_years(stripe, give, days):
    with pytest.raises(GrantRefused):
        give(days=days)
    assert not stripe.objects("subscription")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201])
def test_it_needs_a_reason(stripe, give, reason):
    with pytest.raises(GrantRefused):
        give(reason=reason)
    assert not stripe.objects("subscription")


def test_a_draft_is_not_given(alice, plans, staff):
    from billing.catalog import create_plan

    draft = create_plan(publish=False, name="Secret", price_monthly=5)
    with pytest.raises(GrantRefused, match="Publish"):
        grant_plan(alice, draft, until=in_days(3), reason="x", by=staff)


@pytest.mark.parametrize("days", [10, 300])
def test_its_end_is_moved_in_both_directions(alice, stripe, staff, give, days):
    give(days=60)
    until = in_days(days)
    plan = move_grant_end(alice, until=until, by=staff)
    assert plan.cancel_at == plan.trial_end == until
    stripe.advance(days=days - 1)
    assert sync_user(alice.pk).is_grant
    stripe.advance(days=2)
    assert sync_user(alice.pk) is None
    assert charged(stripe) == 0


def test_it_is_ended_at_once(alice, staff, stripe, give):
    give()
    plan = end_grant(alice, by=staff)
    assert (plan.status, plan.is_live) == ("canceled", False)
    with pytest.raises(GrantRefused):
        end_grant(alice, by=staff)
    with pytest.raises(GrantRefused):
        move_grant_end(alice, until=in_days(3), by=staff)


def test_who_gave_what_and_why_is_on_record(alice, staff, stripe, give):
    give(reason="  Says\nthanks ")
    move_grant_end(alice, until=in_days(80), by=staff)
    end_grant(alice, by=staff)
    told = [(entry.user, entry.change_message) for entry in LogEntry.objects.order_by("pk")]
    assert [who for who, _ in told] == [staff] * 3
    assert told[0][1].endswith(": Says thanks")
    assert "Moved its end from" in told[1][1]
    [subscription] = stripe.objects("subscription")
    assert subscription["metadata"]["granted_by"] == "staff@example.com"
    assert subscription["metadata"]["grant_reason"] == "Says thanks"
