"""One trial per card too: a second account with the same card gets none, and nothing is charged by surprise."""

import pytest

from billing.checkout import confirm_checkout, start_checkout
from billing.models import BillingMail
from billing.subscriptions import live_plan, preview_purchase, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

MASTERCARD = "5555555555554444"


@pytest.fixture(autouse=True)
def trials(plans, settings):
    settings.TRIAL_ONCE_PER_CARD = True
    plans["pro"].trial_days = 14
    plans["pro"].save()
    return plans


@pytest.fixture
def try_pro(trials, stripe):
    """Take the trial on Stripe's page; returns the session."""

    def take(user, card="4242424242424242", look=True):
        session = start_checkout(user, trials["pro"].pk, 1).rsplit("/", 1)[-1]
        stripe.pay(session, card=card)
        if look:
            sync_user(user.pk)
        return session

    return take


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def test_the_first_account_has_it(alice, try_pro):
    try_pro(alice)
    assert live_plan(alice.pk).status == "trialing"
    assert sync_user(alice.pk).status == "trialing"


def test_another_account_with_the_card_has_none_and_is_not_charged(alice, bob, try_pro, stripe):
    try_pro(alice)
    try_pro(bob)
    assert live_plan(bob.pk) is None
    stripe.advance(months=1)
    assert sync_user(bob.pk) is None
    assert {charge["customer"] for charge in stripe.objects("charge")} == {alice.billing_account.stripe_customer_id}


def test_it_is_told_why_once(alice, bob, try_pro):
    try_pro(alice)
    try_pro(bob)
    sync_user(bob.pk)
    [mail] = BillingMail.objects.filter(user=bob)
    assert (mail.kind, mail.facts["why"]) == ("ended", "card_had_trial")


def test_the_way_back_from_stripe_says_why(alice, bob, try_pro, client):
    try_pro(alice)
    session = try_pro(bob, look=False)
    outcome = confirm_checkout(bob, session)
    assert (outcome.state, outcome.card_had_trial) == ("failed", True)
    client.force_login(bob)
    page = client.get("/billing/checkout/return", {"session_id": session}).content.decode()
    assert "has had its free trial" in page
    assert "Nothing was charged" in page


def test_what_failed_for_another_reason_does_not_say_so(alice, try_pro, stripe):
    session = try_pro(alice)
    stripe.client.v1.subscriptions.cancel(live_plan(alice.pk).stripe_subscription_id)
    outcome = confirm_checkout(alice, session)
    assert (outcome.state, outcome.card_had_trial) == ("failed", False)


def test_the_next_purchase_is_told_its_price_and_charged(alice, bob, try_pro, trials, stripe):
    try_pro(alice)
    try_pro(bob)
    quote = preview_purchase(bob, trials["pro"].pk, 1)
    assert (quote.trial_days, quote.total_cents) == (0, 2900)
    assert purchase_plan(bob, trials["pro"].pk, 1, quote=quote.token).status == "active"
    assert paid_cents(stripe) == 2900


def test_another_card_has_its_own(alice, bob, try_pro):
    try_pro(alice)
    try_pro(bob, card=MASTERCARD)
    assert live_plan(bob.pk).status == "trialing"


def test_a_card_that_comes_later_is_not_asked_about(alice, bob, try_pro, stripe):
    try_pro(alice)
    try_pro(bob, card=MASTERCARD)
    stripe.card_works_again(bob.billing_account.stripe_customer_id)
    assert sync_user(bob.pk).status == "trialing"


def test_a_free_plan_stays_when_the_trial_does_not_begin(alice, bob, try_pro, trials):
    purchase_plan(bob, trials["explorer"].pk, 1)
    try_pro(alice)
    try_pro(bob)
    assert live_plan(bob.pk).plan == trials["explorer"]


def test_the_card_on_file_is_asked_before_a_trial_is_promised(alice, bob, try_pro, trials, stripe):
    try_pro(alice)
    stripe.pay(start_checkout(bob, trials["team"].pk, 1).rsplit("/", 1)[-1])
    stripe.client.v1.subscriptions.cancel(sync_user(bob.pk).stripe_subscription_id)
    quote = preview_purchase(bob, trials["pro"].pk, 1)
    assert (quote.trial_days, quote.total_cents) == (0, 2900)
    assert purchase_plan(bob, trials["pro"].pk, 1).status == "active"


def test_where_test_cards_are_everybodys_it_can_be_off(alice, bob, try_pro, settings):
    settings.TRIAL_ONCE_PER_CARD = False
    try_pro(alice)
    try_pro(bob)
    assert live_plan(bob.pk).status == "trialing"
