"""What customers may do in the portal is said by a configuration."""

from __future__ import annotations

import pytest
import stripe as sdk

FEATURES = {"invoice_history": {"enabled": True}}


@pytest.fixture
def create(client):
    return lambda **params: client.v1.billing_portal.configurations.create({"features": FEATURES, **params})


def test_what_is_not_named_is_not_allowed(stripe, create):
    configuration = create()
    assert configuration.active
    assert not configuration.is_default
    assert configuration.features.invoice_history.enabled
    assert not configuration.features.subscription_cancel.enabled
    assert not configuration.features.subscription_update.enabled
    assert configuration.features.subscription_cancel.mode == "at_period_end"
    [delivery] = stripe.take_deliveries()
    assert delivery.type == "billing_portal.configuration.created"


def test_an_update_changes_what_it_names(stripe, client, create):
    configuration = create(business_profile={"headline": "Datilio"})
    stripe.take_deliveries()
    changed = client.v1.billing_portal.configurations.update(
        configuration.id,
        {
            "features": {"customer_update": {"enabled": True, "allowed_updates": ["email", "address"]}},
            "default_return_url": "https://shop.example/account",
            "business_profile": {"privacy_policy_url": "https://shop.example/privacy"},
        },
    )
    assert changed.features.customer_update.allowed_updates == ["email", "address"]
    assert changed.features.invoice_history.enabled
    assert changed.business_profile.headline == "Datilio"
    [delivery] = stripe.take_deliveries()
    assert delivery.type == "billing_portal.configuration.updated"
    assert "customer_update" in delivery.event["data"]["previous_attributes"]["features"]


def test_plan_changes_need_products_that_have_these_prices(client, create, pro):
    def offering(products):
        update = {"enabled": True, "default_allowed_updates": ["price"], "products": products}
        return create(features={"subscription_update": update})

    made = offering([{"product": pro.product, "prices": [pro.id]}])
    assert made.features.subscription_update.products[0].prices == [pro.id]
    expanded = client.v1.billing_portal.configurations.retrieve(
        made.id, {"expand": ["features.subscription_update.products"]}
    )
    assert expanded.features.subscription_update.products[0].product == pro.product

    twin = {"product": pro.product, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
    same_interval = client.v1.prices.create(twin)
    other = client.v1.products.create({"name": "Other"})
    for products, says in (
        ([], "Missing required param"),
        ([{"product": "prod_none", "prices": [pro.id]}], "No such product"),
        ([{"product": other.id, "prices": [pro.id]}], "does not belong"),
        ([{"product": pro.product, "prices": [pro.id, same_interval.id]}], "different billing intervals"),
    ):
        with pytest.raises(sdk.InvalidRequestError, match=says):
            offering(products)


@pytest.mark.parametrize(
    "params",
    [
        {"login_page": {"enabled": True}},
        {"features": {"customer_update": {"enabled": True, "allowed_updates": ["tax_id"]}}},
        {"features": {"subscription_update": {"enabled": True, "default_allowed_updates": ["quantity"]}}},
    ],
)
def test_what_is_not_emulated_says_so(create, params):
    with pytest.raises(sdk.InvalidRequestError, match="not emulated"):
        create(**params)


def test_lists_are_filtered(client, create, ada):
    mine = create()
    client.v1.billing_portal.sessions.create({"customer": ada.id})
    api = client.v1.billing_portal.configurations
    api.update(mine.id, {"active": False})
    [default] = api.list({"is_default": True}).data
    assert [one.id for one in api.list({"active": False}).data] == [mine.id]
    assert len(api.list().data) == 2
    with pytest.raises(sdk.InvalidRequestError, match="deactivate the default"):
        api.update(default.id, {"active": False})
    with pytest.raises(sdk.InvalidRequestError, match="not active"):
        client.v1.billing_portal.sessions.create({"customer": ada.id, "configuration": mine.id})


def test_an_unknown_one_is_missing(client, ada):
    with pytest.raises(sdk.InvalidRequestError, match="No such configuration: 'bpc_none'") as caught:
        client.v1.billing_portal.configurations.retrieve("bpc_none")
    assert caught.value.http_status == 404


def test_the_default_return_url_is_the_sessions(client, create, ada):
    configuration = create(default_return_url="https://shop.example/account")
    session = client.v1.billing_portal.sessions.create({"customer": ada.id, "configuration": configuration.id})
    assert session.return_url == "https://shop.example/account"
