"""Credit that comes from a payment which the bank has taken back is not spent on another plan."""

import pytest

from billing.subscriptions import live_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

DISPUTED = "4000000000000259"


def give_credit(stripe, customer, cents):
    stripe.client.v1.customers.balance_transactions.create(customer, {"amount": -cents, "currency": "usd"})


@pytest.fixture
def with_credit(stripe, buy):
    """Alice's customer, who has paid $290 with a card whose owner disputes it, and has $191 of it left as credit, as
    after a change to a smaller plan. No event has come yet."""
    customer = buy("pro", months=12, card=DISPUTED)
    give_credit(stripe, customer, 19100)
    return customer


def close(stripe, evidence):
    dispute = stripe.objects("dispute")[0]
    stripe.client.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": evidence}, "submit": True})


@pytest.mark.slow
def test_it_is_withdrawn_when_the_bank_takes_the_payment_back(alice, stripe, deliver, with_credit):
    deliver()
    assert stripe.get(with_credit)["balance"] == 0
    assert live_plan(alice.pk).disputed_since is not None


@pytest.mark.slow
def test_it_is_withdrawn_once_however_often_somebody_looks(alice, stripe, deliver, with_credit):
    deliver()
    give_credit(stripe, with_credit, 500)
    sync_user(alice.pk, disputes=True)
    assert stripe.get(with_credit)["balance"] == -500


@pytest.mark.slow
def test_lost_it_stays_withdrawn(alice, stripe, deliver, with_credit):
    deliver()
    close(stripe, "losing_evidence")
    deliver()
    assert live_plan(alice.pk) is None
    assert stripe.get(with_credit)["balance"] == 0


@pytest.mark.slow
def test_won_it_is_given_back_once(alice, stripe, deliver, with_credit):
    deliver()
    close(stripe, "winning_evidence")
    deliver()
    sync_user(alice.pk, disputes=True)
    assert stripe.get(with_credit)["balance"] == -19100


@pytest.mark.slow
def test_credit_beyond_the_disputed_payment_stays(stripe, buy, deliver):
    customer = buy("pro", card=DISPUTED)
    give_credit(stripe, customer, 5000)
    deliver()
    assert stripe.get(customer)["balance"] == -5000 + 2900
