"""What is going to be charged is told before, once: a trial's end, a card that will have expired, a yearly renewal."""

from datetime import UTC, datetime, timedelta

import pytest

from billing import stripe_gateway
from billing.errors import StripeUnavailable
from billing.grants import grant_plan
from billing.models import BillingMail, UserPlan
from billing.reminders import write_reminders
from billing.subscriptions import cancel_plan, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def live(alice):
    return lambda: UserPlan.objects.get(user=alice, is_live=True)


@pytest.fixture
def remind(stripe):
    """Move Stripe's clock to a moment, write the reminders of then; returns how often Stripe was asked."""

    def at(moment):
        stripe.advance(to=moment)
        return write_reminders(moment)

    return at


def test_a_trial_that_ends_in_three_days(alice, plans, buy, told, facts_of, live, remind):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    buy("pro")
    told()
    end = live().trial_end
    assert remind(end - timedelta(days=4)) == 0
    assert remind(end - timedelta(days=3)) == 1
    assert remind(end - timedelta(days=2)) == 0  # told; not even Stripe is asked
    assert told() == ["trial_ending"]
    facts = facts_of("trial_ending")
    assert (facts["next_cents"], facts["card"]) == (2900, "Visa ending in 4242")
    assert facts["at"] == end.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("days", [1, 3])
def test_a_trial_of_three_days_or_less_was_told_when_it_began(alice, plans, buy, told, live, remind, days):
    plans["pro"].trial_days = days
    plans["pro"].save()
    buy("pro")
    assert told() == ["started"]
    remind(live().trial_end - timedelta(hours=12))
    assert told() == []


def test_a_trial_that_was_cancelled_is_not_going_to_be_charged(alice, plans, buy, told, live, remind):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    buy("pro")
    cancel_plan(alice)
    told()
    remind(live().trial_end - timedelta(days=1))
    assert told() == []


def test_a_year_that_renews_in_thirty_days(alice, buy, told, facts_of, live, remind):
    buy("pro", 12)
    told()
    end = live().current_period_end
    remind(end - timedelta(days=31))
    assert told() == []
    remind(end - timedelta(days=30))
    remind(end - timedelta(days=20))
    assert told() == ["renewal"]
    assert (facts_of("renewal")["next_cents"], facts_of("renewal")["months"]) == (29000, 12)


def test_the_next_year_is_another_event(alice, buy, told, live, remind, stripe):
    buy("pro", 12)
    for _ in range(2):
        remind(live().current_period_end - timedelta(days=29))
        assert told()[-1] == "renewal"
        stripe.advance(to=live().current_period_end + timedelta(hours=2))
        write_reminders(datetime.fromtimestamp(stripe.now, UTC))  # nobody is due
        sync_user(alice.pk)


def test_a_month_needs_no_reminder(alice, buy, told, live, remind):
    buy("pro")
    told()
    assert remind(live().current_period_end - timedelta(days=2)) == 0
    assert told() == []


def test_a_renewal_names_the_plan_that_it_renews_as(alice, plans, buy, told, facts_of, live, remind):
    buy("team", 12)
    purchase_plan(alice, plans["pro"].pk, 12)
    told()
    remind(live().current_period_end - timedelta(days=10))
    assert told() == ["renewal"]
    assert (facts_of("renewal")["plan"], facts_of("renewal")["next_cents"]) == ("DataPilot Pro", 29000)


@pytest.fixture
def card_until(alice, stripe, live):
    """Let Alice's card expire with a month of a year (the local Stripe and our row say so)."""

    def expire(year, month):
        card = stripe.get(live().stripe_subscription_id)["default_payment_method"]
        stripe_gateway._client().v1.payment_methods.update(card, {"card": {"exp_year": year, "exp_month": month}})
        sync_user(alice.pk)

    return expire


def test_a_card_that_expires_before_the_next_charge(alice, buy, told, facts_of, live, remind, card_until):
    buy("pro", 12)
    told()
    charged = live().current_period_end
    last = charged.replace(day=1) - timedelta(days=1)
    card_until(last.year, last.month)
    remind(charged - timedelta(days=15))
    assert told() == ["renewal"]
    remind(charged - timedelta(days=14))
    remind(charged - timedelta(days=1))
    assert told() == ["card_expiring"]
    assert facts_of("card_expiring")["expires"] == f"{last:%B %Y}"


def test_a_card_that_lasts_is_no_news(alice, buy, told, live, remind, card_until):
    buy("pro")
    told()
    charged = live().current_period_end
    card_until(charged.year, charged.month)
    remind(charged - timedelta(days=1))
    assert told() == []


def test_stripe_is_asked_before_anybody_is_worried(alice, buy, told, live, remind, stripe, card_until):
    """The card was changed and no event told us: our row is wrong, the mail must not be."""
    buy("pro")
    told()
    charged = live().next_charge_at
    card_until(charged.year + 3, 1)
    UserPlan.objects.update(card_expires_on=(charged.replace(day=1) - timedelta(days=1)).date())
    assert remind(charged - timedelta(days=3)) == 1
    assert told() == []


def test_when_stripe_does_not_answer_it_is_told_the_next_time(alice, buy, told, live, remind, monkeypatch):
    buy("pro", 12)
    told()
    moment = live().current_period_end - timedelta(days=20)

    def down(customer_id):
        raise StripeUnavailable()

    with monkeypatch.context() as outage:
        outage.setattr(stripe_gateway, "list_subscriptions", down)
        remind(moment)
        assert told() == []
    remind(moment + timedelta(hours=6))
    assert told() == ["renewal"]


def test_a_gift_is_told_and_never_reminded_of_a_charge(alice, staff, plans, told, facts_of, live, remind, stripe):
    until = datetime.fromtimestamp(stripe.now, UTC) + timedelta(days=20)
    grant_plan(alice, plans["pro"], until=until, reason="For your patience", by=staff)
    assert told() == ["granted"]
    assert facts_of("granted")["reason"] == "For your patience"
    assert remind(until - timedelta(days=2)) == 0
    assert told() == []
    assert not BillingMail.objects.filter(kind="cancel_scheduled").exists()
