"""The catalogue: products, prices, lookup keys."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


def price_params(product, **params):
    return {
        "product": product,
        "currency": "usd",
        "unit_amount": 2900,
        "recurring": {"interval": "month"},
        **params,
    }


def test_a_product_may_bring_its_own_id(client):
    assert client.v1.products.create({"id": "plan_pro", "name": "Pro"}).id == "plan_pro"
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.products.create({"id": "plan_pro", "name": "Pro"})
    assert error.value.code == "resource_already_exists"
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.products.create({"id": "plan pro", "name": "Pro"})


def test_a_change_of_a_product_is_told(stripe, client, pro):
    client.v1.products.update(
        pro.product, {"active": False, "description": "x", "marketing_features": [{"name": "10 files"}]}
    )
    [event] = stripe.events("product.updated")
    previous = event["data"]["previous_attributes"]
    assert (previous["active"], previous["description"], previous["marketing_features"]) == (True, None, [])


def test_a_product_has_no_features(client, pro):
    assert client.v1.products.features.list(pro.product).data == []


def test_a_product_with_prices_cannot_be_deleted(stripe, client, pro):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="one or more user-created prices"):
        client.v1.products.delete(pro.product)
    other = client.v1.products.create({"name": "Other"})
    assert client.v1.products.delete(other.id).deleted is True
    assert other.id not in [p.id for p in client.v1.products.list().data]


def test_the_default_price_must_be_its_own(client, pro):
    other = client.v1.products.create({"name": "Other"})
    assert client.v1.products.update(pro.product, {"default_price": pro.id}).default_price == pro.id
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.products.update(other.id, {"default_price": pro.id})


def test_products_by_activity_and_ids(client, pro):
    other = client.v1.products.create({"name": "Other", "active": False})
    assert [p.id for p in client.v1.products.list({"active": False}).data] == [other.id]
    assert [p.id for p in client.v1.products.list({"ids": [pro.product]}).data] == [pro.product]


@pytest.mark.parametrize(
    ("interval", "count"), [("month", 1), ("month", 36), ("year", 1), ("year", 3), ("week", 2), ("day", 30)]
)
def test_a_recurring_price(stripe, client, pro, interval, count):
    recurring = {"interval": interval, "interval_count": count}
    price = client.v1.prices.create(price_params(pro.product, recurring=recurring))
    assert (price.recurring.interval, price.recurring.interval_count) == (interval, count)
    assert price.type == "recurring"
    assert (price.unit_amount, str(price.unit_amount_decimal)) == (2900, "2900")
    assert stripe.events("price.created")[-1]["data"]["object"]["id"] == price.id


@pytest.mark.parametrize(("interval", "count"), [("month", 37), ("year", 4), ("month", 0)])
def test_an_interval_over_three_years_is_refused(client, pro, interval, count):
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.prices.create(price_params(pro.product, recurring={"interval": interval, "interval_count": count}))


def test_a_lookup_key_finds_its_price_and_belongs_to_one(client, pro):
    first = client.v1.prices.create(price_params(pro.product, lookup_key="pro_monthly"))
    assert [p.id for p in client.v1.prices.list({"lookup_keys": ["pro_monthly", "x"]}).data] == [first.id]
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already uses that lookup key"):
        client.v1.prices.create(price_params(pro.product, lookup_key="pro_monthly"))


def test_a_lookup_key_can_be_taken_over(stripe, client, pro):
    first = client.v1.prices.create(price_params(pro.product, lookup_key="pro_monthly"))
    second = client.v1.prices.create(
        price_params(pro.product, unit_amount=3900, lookup_key="pro_monthly", transfer_lookup_key=True)
    )
    assert [p.id for p in client.v1.prices.list({"lookup_keys": ["pro_monthly"]}).data] == [second.id]
    assert client.v1.prices.retrieve(first.id).lookup_key is None
    [event] = stripe.events("price.updated")
    assert event["data"]["previous_attributes"] == {"lookup_key": "pro_monthly"}
    client.v1.prices.update(first.id, {"lookup_key": "pro_monthly", "transfer_lookup_key": True})
    assert client.v1.prices.retrieve(second.id).lookup_key is None


def test_prices_by_product_activity_and_kind(client, pro, free):
    client.v1.prices.update(free.id, {"active": False, "nickname": "old", "metadata": {"a": "1"}})
    assert [p.id for p in client.v1.prices.list({"product": pro.product, "active": True}).data] == [pro.id]
    assert client.v1.prices.list({"type": "one_time"}).data == []
    once = client.v1.prices.create({"product": pro.product, "currency": "usd", "unit_amount": 500})
    assert once.recurring is None
    assert [p.id for p in client.v1.prices.list({"type": "one_time"}).data] == [once.id]
    assert client.v1.prices.list({"recurring": {"interval": "year"}}).data == []


def test_the_amount_of_a_price_never_changes(http, pro):
    answer = http.post(f"/v1/prices/{pro.id}", data={"unit_amount": 1})
    assert answer.json()["error"]["code"] == "parameter_unknown"


def test_product_data_makes_the_product_too(stripe, client):
    params = price_params(None, product_data={"name": "Inline", "metadata": {"a": "1"}})
    del params["product"]
    price = client.v1.prices.create(params)
    assert client.v1.products.retrieve(price.product).name == "Inline"
    assert [event["type"] for event in stripe.events()] == ["product.created", "price.created"]


@pytest.mark.parametrize(
    "change",
    [
        {"unit_amount": -1},
        {"unit_amount": 10**12},
        {"currency": "dollars"},
        {"product": "prod_nothing"},
        {"billing_scheme": "tiered"},
        {"recurring": {"interval": "month", "usage_type": "metered"}},
    ],
)
def test_what_cannot_be_a_price_is_refused(stripe, client, pro, change):
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.prices.create(price_params(**{"product": pro.product, **change}))
    assert len(stripe.objects("price")) == 1
