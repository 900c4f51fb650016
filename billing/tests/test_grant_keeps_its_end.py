"""A plan that staff gave ends when they said, whatever its owner presses in Stripe's portal."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.grants import grant_plan
from billing.models import UserPlan
from billing.portal import portal_url
from billing.sync import expected_rows, sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def granted(alice, plans, staff):
    until = timezone.now().replace(microsecond=0) + timedelta(days=10)
    return grant_plan(alice, plans["team"], until=until, reason="Beta tester", by=staff)


@pytest.fixture
def in_the_portal(alice, stripe):
    portal_url(alice)
    return stripe.portal(stripe.objects("billing_portal.session")[-1])


@pytest.mark.slow
def test_not_to_cancel_it_makes_nobody_pay_for_it(alice, stripe, granted, in_the_portal, deliver):
    in_the_portal.change_card("4242424242424242")
    in_the_portal.keep()
    deliver()
    assert UserPlan.objects.get().cancel_at == granted.cancel_at
    stripe.advance(days=12)
    assert sync_user(alice.pk) is None
    assert [charge for charge in stripe.objects("charge") if charge["paid"]] == []


@pytest.mark.slow
def test_without_a_card_it_gets_no_grace_after_its_end(alice, stripe, granted, in_the_portal, deliver):
    in_the_portal.keep()
    deliver()
    stripe.advance(days=11)
    assert sync_user(alice.pk) is None


def test_were_every_event_lost_it_is_ended_without_a_bill(alice, stripe, granted, in_the_portal):
    in_the_portal.keep()
    stripe.advance(days=12)
    assert sync_user(alice.pk) is None
    assert [one for one in stripe.objects("invoice") if one["status"] == "open"] == []


def test_were_every_event_lost_what_was_charged_is_given_back(alice, stripe, granted, in_the_portal):
    in_the_portal.change_card("4242424242424242")
    in_the_portal.keep()
    stripe.advance(days=12)
    assert sync_user(alice.pk) is None
    assert [(c["amount"], c["amount_refunded"]) for c in stripe.objects("charge") if c["paid"]] == [(9900, 9900)]


def test_a_look_that_changes_nothing_tells_the_end_that_it_is_going_to_have(alice, granted, in_the_portal):
    in_the_portal.keep()
    columns = expected_rows(alice.billing_account)[granted.stripe_subscription_id]
    assert columns["cancel_at"] == granted.cancel_at
