"""Prices by usage: what may be asked for, and what usage of them costs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from stripe_sandbox.lifecycle.usage_billing import lines_for


@pytest.fixture
def meter(client):
    return client.v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )


@pytest.fixture
def metered(client, meter):
    product = client.v1.products.create({"name": "Tokens"})

    def price(**params):
        recurring = {"interval": "month", "usage_type": "metered", "meter": meter.id}
        given = {"product": product.id, "currency": "usd", "recurring": recurring, **params}
        return client.v1.prices.create({key: value for key, value in given.items() if value is not None})

    return price


def billed(stripe, price, used):
    document = stripe.sandbox.store.get(price.id)
    return [(line.amount, line.quantity, line.description) for line in lines_for(document, Decimal(used), "Tokens")]


def test_per_unit_down_to_fractions_of_a_cent(stripe, metered):
    price = metered(unit_amount_decimal="0.025")
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (None, "0.025")
    assert billed(stripe, price, 0) == [(0, 0, "0 × Tokens (at $0.00025 / month)")]
    assert billed(stripe, price, 1000) == [(25, 1000, "1000 × Tokens (at $0.00025 / month)")]
    assert billed(stripe, price, 1020)[0][0] == 26  # 25.5, half up
    assert billed(stripe, metered(unit_amount=5), 3)[0][0] == 15


def test_packages(stripe, metered):
    price = metered(unit_amount=200, transform_quantity={"divide_by": 1000, "round": "up"})
    assert price.transform_quantity.divide_by == 1000
    assert billed(stripe, price, 1) == [(200, 1, "1 × Tokens (at $2.00 per 1000 / month)")]
    assert billed(stripe, price, 1001)[0][0] == 400
    down = metered(unit_amount=200, transform_quantity={"divide_by": 1000, "round": "down"})
    assert billed(stripe, down, 999)[0][0] == 0


TIERS = [{"up_to": 100, "unit_amount": 10, "flat_amount": 500}, {"up_to": "inf", "unit_amount_decimal": "5"}]


def test_graduated_tiers(stripe, client, metered):
    price = metered(billing_scheme="tiered", tiers_mode="graduated", tiers=TIERS)
    assert "tiers" not in price
    tiers = client.v1.prices.retrieve(price.id, {"expand": ["tiers"]}).tiers
    assert [(t.up_to, t.unit_amount, t.flat_amount) for t in tiers] == [(100, 10, 500), (None, 5, None)]
    assert [amount for amount, _, _ in billed(stripe, price, 0)] == [0, 500]  # the first flat fee always
    assert [amount for amount, _, _ in billed(stripe, price, 100)] == [1000, 500]
    assert billed(stripe, price, 150) == [
        (1000, 100, "100 × Tokens (Tier 1 at $0.10 / month)"),
        (500, 1, "Tokens (Tier 1 flat fee at $5.00 / month)"),
        (250, 50, "50 × Tokens (Tier 2 at $0.05 / month)"),
    ]


def test_volume_tiers(stripe, metered):
    price = metered(billing_scheme="tiered", tiers_mode="volume", tiers=TIERS)
    assert [amount for amount, _, _ in billed(stripe, price, 100)] == [1000, 500]
    assert [amount for amount, _, _ in billed(stripe, price, 101)] == [505]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"unit_amount": 1, "recurring": {"interval": "month", "usage_type": "metered"}}, "recurring[meter]"),
        (
            {"unit_amount": 1, "recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_x"}},
            "recurring[meter]",
        ),
        ({}, "unit_amount"),
        ({"unit_amount": 1, "unit_amount_decimal": "1"}, "unit_amount"),
        ({"unit_amount_decimal": "0.0000000000001"}, "unit_amount_decimal"),
        ({"unit_amount_decimal": "-1"}, "unit_amount"),
        (
            {"unit_amount": 1, "transform_quantity": {"divide_by": 0, "round": "up"}},
            "transform_quantity[divide_by]",
        ),
        ({"billing_scheme": "tiered", "tiers": TIERS}, "tiers_mode"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume"}, "tiers"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": TIERS[:1]}, "tiers[0][up_to]"),
        (
            {"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": TIERS, "unit_amount": 1},
            "unit_amount",
        ),
        ({"unit_amount": 1, "tiers_mode": "volume"}, "tiers_mode"),
        (
            {
                "billing_scheme": "tiered",
                "tiers_mode": "volume",
                "tiers": [{"up_to": 5, "unit_amount": 1}, {"up_to": 5, "unit_amount": 1}, TIERS[1]],
            },
            "tiers[1][up_to]",
        ),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": [{"up_to": "inf"}]}, "tiers[0]"),
    ],
)
def test_what_makes_no_price(metered, params, param):
    import stripe as stripe_sdk

    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        metered(**params)
    assert error.value.param == param


def test_prices_of_a_meter_are_listed(client, meter, metered, pro):
    price = metered(unit_amount=1)
    assert [p.id for p in client.v1.prices.list({"recurring": {"meter": meter.id}}).data] == [price.id]
    assert [p.id for p in client.v1.prices.list({"recurring": {"usage_type": "licensed"}}).data] == [pro.id]
