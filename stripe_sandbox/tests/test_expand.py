"""expand[]: ids become objects."""

from __future__ import annotations

import pytest


def test_an_id_becomes_the_object(client, ada, subscription):
    shown = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["customer", "latest_invoice.customer"]})
    assert shown.customer.email == "ada@example.com"
    assert shown.latest_invoice.customer.id == ada.id


def test_on_lists_with_the_data_prefix(client, pro):
    [price] = client.v1.prices.list({"expand": ["data.product"]}).data
    assert price.product.name == "Pro"


def test_what_stripe_shows_only_when_asked(client, ada, pro, subscription):
    customer = client.v1.customers.retrieve(ada.id, {"expand": ["subscriptions", "sources", "tax_ids"]})
    assert [s.id for s in customer.subscriptions.data] == [subscription.id]
    assert customer.sources.data == []
    assert "subscriptions" not in client.v1.customers.retrieve(ada.id)
    price = client.v1.prices.retrieve(pro.id, {"expand": ["currency_options", "product", "tiers"]})
    assert price.currency_options["usd"].unit_amount == 2900


def test_four_levels_and_no_more(http, subscription):
    path = f"/v1/subscriptions/{subscription.id}"
    four = http.get(path, params={"expand[]": "latest_invoice.payments.data.invoice"})
    assert four.status_code == 200
    five = http.get(path, params={"expand[]": "latest_invoice.payments.data.payment.payment_intent"})
    assert five.status_code == 400
    assert "more than 4 levels" in five.json()["error"]["message"]


@pytest.mark.parametrize("path", ["status", "nothing", "metadata.x", "items.data.price.nothing", "customer.email"])
def test_what_cannot_be_expanded_is_refused(http, subscription, path):
    answer = http.get(f"/v1/subscriptions/{subscription.id}", params={"expand[0]": path})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"This property cannot be expanded ({path})."


def test_nothing_there_stays_null(client, ada, subscription):
    shown = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["schedule", "pending_setup_intent.customer"]})
    assert shown.schedule is None


def test_what_is_there_already_may_be_asked_for(client, subscription):
    shown = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["items.data.price.product", "discounts"]})
    assert shown["items"].data[0].price.product.name == "Pro"


def test_expanding_changes_no_document(stripe, client, subscription):
    before = stripe.get(subscription.latest_invoice)
    client.v1.invoices.update(
        subscription.latest_invoice,
        {"metadata": {"a": "1"}, "expand": ["parent.subscription_details.subscription", "customer"]},
    )
    after = stripe.get(subscription.latest_invoice)
    assert after.pop("metadata") == {"a": "1"}
    before.pop("metadata")
    assert after == before


def test_it_works_on_what_a_post_returns(client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")
    created = client.v1.subscriptions.create(
        {
            "customer": ada.id,
            "items": [{"price": pro.id}],
            "expand": ["latest_invoice.confirmation_secret", "latest_invoice.payments"],
        }
    )
    assert created.latest_invoice.confirmation_secret.type == "payment_intent"
    assert created.latest_invoice.payments.data[0].status == "paid"
