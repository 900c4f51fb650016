"""What staff gave back of a payment is not credited once more when the plan is upgraded."""

import pytest

from billing.subscriptions import preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def refund(stripe):
    """Staff give back cents (None: all) of the newest charge, in Stripe's dashboard."""

    def give_back(cents=None):
        charge = stripe.objects("charge")[-1]
        stripe.client.v1.refunds.create({"charge": charge["id"], **({"amount": cents} if cents else {})})

    return give_back


def kept_cents(stripe):
    charges = [charge for charge in stripe.objects("charge") if charge["paid"]]
    return sum(charge["amount"] - charge["amount_refunded"] for charge in charges)


@pytest.mark.parametrize(("had", "had_months", "months"), [("pro", 1, 1), ("pro", 12, 1), ("pro", 1, 12)])
def test_given_back_in_full_the_larger_plan_costs_its_price(alice, plans, stripe, buy, refund, had, had_months, months):
    customer = buy(had, had_months)
    refund()
    price = {1: 9900, 12: 99000}[months]
    quote = preview_purchase(alice, plans["team"].pk, months)
    assert (quote.kind, quote.total_cents, quote.without_credit) == ("upgrade", price, True)
    plan = purchase_plan(alice, plans["team"].pk, months, quote=quote.token)
    assert (plan.plan, plan.next_charge_cents) == (plans["team"], price)
    assert abs((plan.next_charge_at - quote.next_at).total_seconds()) < 60
    assert stripe.get(customer)["balance"] == 0
    assert kept_cents(stripe) == price


def test_without_a_quote_too(alice, plans, stripe, buy, refund):
    buy("pro", 12)
    refund()
    purchase_plan(alice, plans["team"].pk, 1)
    assert kept_cents(stripe) == 9900


def test_a_part_that_leaves_the_credit_covered_changes_nothing(alice, plans, stripe, buy, refund):
    buy("pro")
    stripe.advance(days=15)
    refund(500)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    assert not quote.without_credit
    assert quote.lines[0].amount_cents < 0


def test_a_part_that_leaves_less_than_the_credit_does(alice, plans, stripe, buy, refund):
    buy("pro")
    refund(2000)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    assert (quote.without_credit, quote.total_cents) == (True, 9900)


def test_what_was_given_back_of_an_earlier_period_does_not_count(alice, plans, stripe, buy, refund):
    buy("pro")
    refund()
    stripe.advance(months=1, hours=2)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    assert not quote.without_credit


def test_given_back_between_quote_and_button_it_is_quoted_anew(alice, plans, buy, refund, client):
    buy("pro")
    client.force_login(alice)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    refund()
    body = {"plan_id": plans["team"].pk, "duration_months": 1, "quote": quote.token}
    answer = client.post("/api/purchase/plan", body, content_type="application/json").json()
    assert (answer["code"], answer["preview"]["total_now"]) == ("quote_changed", 99.0)
    assert answer["preview"]["credits_unused_time"] is False


def test_the_page_says_why(alice, plans, buy, refund, client):
    buy("pro")
    refund()
    client.force_login(alice)
    page = client.get("/account/change", {"plan": plans["team"].pk, "months": 1}).content.decode()
    assert "was given back" in page
