"""Two paid subscriptions in spite of everything: the newer serves; what the older no longer serves is given back."""

import pytest

from billing import stripe_gateway
from billing.errors import StripeUnavailable
from billing.models import PlanPrice
from billing.subscriptions import purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

DISPUTED = "4000000000000259"


@pytest.fixture
def sell_another(alice, plans, stripe):
    """Somebody starts a second subscription in Stripe's dashboard."""

    def sell(plan="team"):
        price = PlanPrice.objects.get(plan=plans[plan], months=1)
        customer = alice.billing_account.stripe_customer_id
        card = stripe.client.v1.customers.payment_methods.list(customer).data[0].id
        return stripe.client.v1.subscriptions.create(
            {"customer": customer, "items": [{"price": price.stripe_price_id}], "default_payment_method": card}
        )

    return sell


def refunded(stripe):
    return [(charge["amount"], charge["amount_refunded"]) for charge in stripe.objects("charge")]


def test_the_unused_part_of_the_older_is_given_back(alice, plans, stripe, purchase, sell_another):
    plan = purchase()
    stripe.advance(to=int((plan.current_period_start.timestamp() + plan.current_period_end.timestamp()) // 2))
    newer = sell_another()
    assert sync_user(alice.pk).stripe_subscription_id == newer.id
    [(amount, back), (_, nothing)] = refunded(stripe)
    assert (amount, nothing) == (2900, 0)
    assert abs(back - 1450) <= 1


@pytest.mark.slow
def test_of_an_upgraded_plan_every_bill_of_the_period_counts(alice, plans, stripe, purchase, sell_another):
    purchase()
    stripe.advance(days=1)
    purchase_plan(alice, plans["team"].pk, 1)
    paid = sum(amount for amount, _ in refunded(stripe))
    sell_another("pro")
    sync_user(alice.pk)
    back = sum(back for _, back in refunded(stripe))
    # A day of the smaller plan was used, and nothing of the larger one.
    assert paid - 2900 / 28 - 5 <= back <= paid - 2900 / 31 + 5


@pytest.mark.slow
def test_what_was_given_back_by_hand_is_not_given_back_again(alice, stripe, purchase, sell_another):
    purchase()
    stripe.client.v1.refunds.create({"charge": stripe.objects("charge")[0]["id"], "amount": 2000})
    newer = sell_another()
    assert sync_user(alice.pk).stripe_subscription_id == newer.id
    assert refunded(stripe)[0] == (2900, 2900)


def test_what_the_bank_took_back_is_not_given_back_again(alice, stripe, purchase, sell_another):
    purchase(card=DISPUTED)
    assert stripe.objects("dispute")
    newer = sell_another()
    assert sync_user(alice.pk).stripe_subscription_id == newer.id
    assert refunded(stripe)[0] == (2900, 0)


def test_a_refund_whose_cancellation_was_lost_is_not_made_again_days_later(
    alice, stripe, purchase, sell_another, monkeypatch
):
    """Stripe remembers an Idempotency-Key for a day only."""
    purchase("pro", 12)
    newer = sell_another()

    def lost(subscription_id, comment=""):
        raise StripeUnavailable()

    with monkeypatch.context() as patched, pytest.raises(StripeUnavailable):
        patched.setattr(stripe_gateway, "cancel_now", lost)
        sync_user(alice.pk)
    stripe.sandbox.store.execute("DELETE FROM idempotency")
    stripe.advance(days=2)
    assert sync_user(alice.pk).stripe_subscription_id == newer.id
    assert len(stripe.objects("refund")) == 1


def test_nobody_is_asked_to_pay_the_open_bill_of_the_older(alice, stripe, purchase, sell_another):
    plan = purchase()
    customer = alice.billing_account.stripe_customer_id
    stripe.card_starts_failing(customer)
    stripe.advance(to=plan.current_period_end)
    stripe.advance(hours=2)
    assert sync_user(alice.pk).status == "past_due"
    stripe.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    newer = sell_another()
    assert sync_user(alice.pk).stripe_subscription_id == newer.id
    assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["paid", "void", "paid"]
