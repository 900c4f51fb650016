"""What a quote says of the bill after it is what the plan says once it is confirmed."""

import pytest

from billing.checkout import start_checkout
from billing.customers import ensure_customer
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("had", "had_months", "wanted", "wanted_months"),
    [
        ("pro", 1, "team", 1),
        ("pro", 1, "pro", 12),
        ("pro", 1, "team", 12),
        ("pro", 12, "team", 12),
        # A new month begins, and what is left of the year lies as credit beside it.
        ("pro", 12, "team", 1),
        ("pro", 6, "team", 3),
    ],
)
def test_amount_and_date(alice, plans, stripe, buy, had, had_months, wanted, wanted_months):
    buy(had, had_months)
    stripe.advance(days=11, hours=5)
    quote = preview_purchase(alice, plans[wanted].pk, wanted_months)
    assert quote.kind == "upgrade"
    plan = purchase_plan(alice, plans[wanted].pk, wanted_months, quote=quote.token)
    assert abs((quote.next_at - plan.next_charge_at).total_seconds()) < 60
    assert quote.next_cents == plan.next_charge_cents


@pytest.fixture
def credit(alice, stripe):
    """Give Alice so many cents of credit, which pays for the bills to come."""

    def give(cents):
        stripe.client.v1.customers.balance_transactions.create(
            ensure_customer(alice), {"amount": -cents, "currency": "usd"}
        )

    return give


def the_next_bill_is_as_told(alice, plan, months):
    quote = preview_purchase(alice, plan.pk, months)
    live = purchase_plan(alice, plan.pk, months, quote=quote.token)
    assert (quote.next_cents, quote.next_at.date()) == (live.next_charge_cents, live.next_charge_at.date())
    return quote


@pytest.mark.slow
@pytest.mark.parametrize("cents", [1000, 5000, 20000])
def test_credit_that_is_left_after_the_first_bill(alice, plans, stripe, buy, credit, cents):
    buy("pro")
    cancel_plan(alice, immediately=True)
    credit(cents)
    quote = the_next_bill_is_as_told(alice, plans["pro"], 1)
    assert quote.total_cents == max(0, 2900 - cents)


def test_credit_and_a_trial(alice, plans, stripe, buy, credit):
    buy("team")
    cancel_plan(alice, immediately=True)
    plans["pro"].trial_days = 14
    plans["pro"].save()
    credit(1000)
    assert the_next_bill_is_as_told(alice, plans["pro"], 1).next_cents == 1900


@pytest.mark.parametrize(("had_months", "months"), [(1, 1), (12, 1), (12, 12), (1, 12)])
def test_credit_and_a_downgrade(alice, plans, stripe, buy, credit, had_months, months):
    buy("team", had_months)
    credit(1000)
    quote = the_next_bill_is_as_told(alice, plans["pro"], months)
    assert (quote.kind, quote.next_cents) == ("downgrade", {1: 2900, 12: 29000}[months] - 1000)


def test_credit_and_another_downgrade_beside_one_that_is_scheduled(alice, plans, stripe, buy, credit):
    buy("team", 12)
    credit(1000)
    purchase_plan(alice, plans["pro"].pk, 12)
    assert the_next_bill_is_as_told(alice, plans["pro"], 1).next_cents == 1900


@pytest.mark.parametrize(("had_months", "months"), [(1, 1), (12, 1)])
def test_a_discount_for_ever_and_a_downgrade(alice, plans, stripe, had_months, months):
    coupon = stripe.client.v1.coupons.create({"percent_off": 50, "duration": "forever"})
    stripe.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HALF"})
    session = start_checkout(alice, plans["team"].pk, had_months).rsplit("/", 1)[-1]
    stripe.enter_code(session, "HALF")
    stripe.pay(session)
    assert the_next_bill_is_as_told(alice, plans["pro"], months).next_cents == 1450
