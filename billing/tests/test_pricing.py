"""What n months cost, to the cent, and what a customer reads on the card."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Plan
from billing.pricing import feature_sentences, interval_of, price_cents, to_cents, yearly_saving_cents

PRO = Plan(name="Pro", price_monthly=Decimal("29.00"), price_yearly=Decimal("290.00"))


@given(st.decimals(min_value=0, max_value=Decimal("99999.99"), places=2))
def test_dollars_become_cents_exactly(price):
    assert Decimal(to_cents(price)) / 100 == price


@pytest.mark.parametrize(
    ("months", "cents"), [(1, 2900), (3, 8700), (11, 31900), (12, 29000), (13, 37700), (24, 58000), (36, 87000)]
)
def test_the_yearly_price_counts_where_12_divides_the_months(months, cents):
    assert price_cents(PRO, months) == cents


def test_without_a_yearly_price_a_year_is_twelve_months():
    assert price_cents(Plan(price_monthly=Decimal("29.99")), 12) == 12 * 2999


@pytest.mark.parametrize(
    ("months", "interval"),
    [(1, ("month", 1)), (6, ("month", 6)), (12, ("year", 1)), (36, ("year", 3)), (35, ("month", 35))],
)
def test_the_interval_at_stripe(months, interval):
    assert interval_of(months) == interval


def test_what_a_year_saves():
    assert yearly_saving_cents(PRO) == 12 * 2900 - 29000
    assert yearly_saving_cents(Plan(price_monthly=Decimal(5))) == 0
    assert yearly_saving_cents(Plan(price_monthly=Decimal(5), price_yearly=Decimal(70))) == 0


def test_limits_and_features_read_as_sentences():
    plan = Plan(
        file_limit=1,
        file_size_limit_mb=25,
        ai_prompts_per_day=None,
        synthetic_rows_per_month=50_000,
        ai_token_price_per_million=Decimal("4.00"),
        features={
            "support": "E-mail support",
            "api_access": True,
            "sso": False,
            "seats": 5,
            "deep": {"a": 1},
            "x": None,
        },
    )
    assert feature_sentences(plan) == [
        "1 file",
        "25 MB per file",
        "Unlimited AI prompts",
        "50,000 synthetic rows a month",
        "$4.00 per million AI tokens",
        "E-mail support",
        "Api access",
        "Seats: 5",
    ]
