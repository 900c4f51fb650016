"""Promotion codes: what a customer types in, and who may."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

DAY = 86400


@pytest.fixture
def quarter(client):
    """A coupon: 25 % off, for ever."""
    return client.v1.coupons.create({"percent_off": 25, "duration": "forever"})


@pytest.fixture
def code_of(client, quarter):
    def make(code="FRIENDS", **params):
        promotion = {"type": "coupon", "coupon": quarter.id}
        return client.v1.promotion_codes.create({"promotion": promotion, "code": code, **params})

    return make


@pytest.fixture
def type_in(http, checkout):
    """Open a session that takes codes, and type one into its page. Returns (the session, the answer)."""

    def enter(text, **params):
        session = checkout(allow_promotion_codes=True, **params)
        return session, http.post(f"{session.url.split('?')[0]}/promotion_code", data={"promotion_code": text})

    return enter


@pytest.fixture
def subscribe(client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")

    def make(code, customer=None, quantity=1):
        return client.v1.subscriptions.create(
            {
                "customer": customer or ada.id,
                "items": [{"price": pro.id, "quantity": quantity}],
                "discounts": [{"promotion_code": code.id}],
            }
        )

    return make


def test_it_redeems_its_coupon_and_both_count(client, quarter, code_of, subscribe):
    code = code_of()
    subscription = subscribe(code)
    assert client.v1.invoices.retrieve(subscription.latest_invoice).total == 2175
    assert client.v1.promotion_codes.retrieve(code.id).times_redeemed == 1
    assert client.v1.coupons.retrieve(quarter.id).times_redeemed == 1
    [discount] = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["discounts"]}).discounts
    assert (discount.promotion_code, discount.source.coupon) == (code.id, quarter.id)


def test_in_checkout_it_lowers_the_price_and_the_subscription_keeps_it(stripe, client, quarter, code_of, checkout):
    code = code_of()
    session = checkout(discounts=[{"promotion_code": code.id}])
    assert (session.amount_subtotal, session.amount_total) == (2900, 2175)
    assert session.total_details.amount_discount == 725
    paid = stripe.pay(session.id)
    subscription = client.v1.subscriptions.retrieve(paid["subscription"], {"expand": ["discounts"]})
    assert [discount.promotion_code for discount in subscription.discounts] == [code.id]
    stripe.advance(months=1, hours=2)
    assert [invoice["amount_paid"] for invoice in stripe.objects("invoice")] == [2175, 2175]


def test_a_session_takes_either_a_discount_or_codes(code_of, checkout):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="allow_promotion_codes"):
        checkout(discounts=[{"promotion_code": code_of().id}], allow_promotion_codes=True)


def test_a_code_that_is_used_up_before_the_session_is_paid_is_refused_then(stripe, code_of, checkout, subscribe):
    code = code_of(max_redemptions=1)
    session = checkout(discounts=[{"promotion_code": code.id}])
    subscribe(code)
    with pytest.raises(Exception, match="cannot be"):
        stripe.pay(session.id)
    assert stripe.get(session.id)["status"] == "open"


def test_the_last_redemption_makes_it_inactive(client, code_of, subscribe):
    code = code_of(max_redemptions=1)
    subscribe(code)
    assert client.v1.promotion_codes.retrieve(code.id).active is False
    with pytest.raises(stripe_sdk.InvalidRequestError, match="inactive"):
        subscribe(code)


def test_it_expires(stripe, client, code_of, types):
    code = code_of(expires_at=stripe.now + DAY)
    types()
    stripe.advance(days=1)
    assert types() == ["promotion_code.updated"]
    assert client.v1.promotion_codes.retrieve(code.id).active is False
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.promotion_codes.update(code.id, {"active": True})


def test_for_a_first_purchase_only(client, code_of, subscribe, subscription):
    """Ada has paid before."""
    code = code_of(restrictions={"first_time_transaction": True})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="prior transactions"):
        subscribe(code)


def test_for_a_first_purchase_it_is_good(code_of, subscribe):
    assert subscribe(code_of(restrictions={"first_time_transaction": True})).status == "active"


def test_from_a_minimum_amount_on(code_of, subscribe):
    code = code_of(restrictions={"minimum_amount": 5000, "minimum_amount_currency": "usd"})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="minimum amount"):
        subscribe(code)
    assert subscribe(code, quantity=2).status == "active"


def test_for_one_customer_only(client, code_of, subscribe, ada):
    other = client.v1.customers.create({})
    code = code_of(customer=other.id)
    with pytest.raises(stripe_sdk.InvalidRequestError, match="another customer"):
        subscribe(code)


def test_a_text_is_active_once_and_case_does_not_matter(client, code_of):
    first = code_of("FRIENDS")
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already exists"):
        code_of("friends")
    client.v1.promotion_codes.update(first.id, {"active": False})
    second = code_of("friends")
    assert [one.id for one in client.v1.promotion_codes.list({"code": "Friends", "active": True}).data] == [second.id]


def test_without_a_text_it_gets_one(client, quarter):
    code = client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": quarter.id}})
    assert code.code.isalnum() and code.code == code.code.upper()


def test_its_coupon_takes_it_along(client, quarter, code_of):
    code = code_of()
    client.v1.coupons.delete(quarter.id)
    assert client.v1.promotion_codes.retrieve(code.id).active is False
