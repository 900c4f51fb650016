"""Checkout Sessions through the API: what may be asked, expiry."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


def test_a_new_session_is_open_with_a_link_to_its_page(stripe, checkout, pro, ada):
    session = checkout(expand=["line_items"])
    assert (session.status, session.payment_status, session.mode) == ("open", "unpaid", "subscription")
    assert session.url == f"{stripe.url}/c/pay/{session.id}"
    assert session.ui_mode == "hosted_page"
    assert (session.amount_total, session.currency) == (2900, "usd")
    assert session.customer_details.email == "ada@example.com"
    assert session.line_items.data[0].price.id == pro.id
    assert session.expires_at - session.created == 24 * 3600
    assert session.id.startswith("cs_test_")


def test_what_djstripe_asks_of_a_session(client, checkout):
    session = client.v1.checkout.sessions.retrieve(
        checkout().id,
        {"expand": ["line_items", "total_details.breakdown", "line_items.data.discounts"]},
    )
    assert session.total_details.breakdown.discounts == []
    assert session.line_items.data[0].discounts == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mode": None}, "mode"),
        ({"line_items": None}, "line_items"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{"price": "price_x", "quantity": 1}]}, "line_items[0][price]"),
        ({"success_url": None}, "success_url"),
        ({"success_url": "not a url"}, "success_url"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"cancel_url": "https://"}, "cancel_url"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"customer_email": "a@example.com"}, "customer"),
        ({"expires_at": 1}, "expires_at"),
        ({"ui_mode": "hosted"}, "ui_mode"),  # dahlia renamed it
        ({"mode": "payment"}, "line_items[0][price]"),  # the price is a recurring one
        ({"mode": "setup"}, "line_items"),
        ({"allow_promotion_codes": True, "discounts": [{"coupon": "x"}]}, "allow_promotion_codes"),
        ({"subscription_data": {"trial_period_days": 0}}, "subscription_data[trial_period_days]"),
        ({"subscription_data": {"trial_end": 1}}, "subscription_data[trial_end]"),
        ({"payment_intent_data": {"description": "x"}}, "payment_intent_data"),
        ({"discounts": [{"coupon": "x"}]}, "discounts[0][coupon]"),
    ],
)
def test_what_cannot_be_is_refused_and_named(stripe, checkout, change, param):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        checkout(**change)
    assert (error.value.http_status, error.value.param) == (400, param)
    assert not stripe.objects("checkout.session")


def test_line_items_need_a_sensible_quantity(checkout, pro):
    for item in ({"price": pro.id}, {"price": pro.id, "quantity": 0}, {"price": pro.id, "quantity": -1}):
        with pytest.raises(stripe_sdk.InvalidRequestError):
            checkout(line_items=[item])


def test_an_inactive_price_cannot_be_sold(client, checkout, pro):
    client.v1.prices.update(pro.id, {"active": False})
    with pytest.raises(stripe_sdk.InvalidRequestError, match="inactive"):
        checkout()


def test_one_customer_one_currency(stripe, client, checkout, pro):
    stripe.pay(checkout().id)
    euros = client.v1.prices.create(
        {"product": pro.product, "currency": "eur", "unit_amount": 100, "recurring": {"interval": "month"}}
    )
    with pytest.raises(stripe_sdk.InvalidRequestError, match="combine currencies"):
        checkout(line_items=[{"price": euros.id, "quantity": 1}])


def test_expire_closes_it(stripe, client, checkout):
    session = checkout()
    expired = client.v1.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    assert [event["type"] for event in stripe.events()][-1] == "checkout.session.expired"
    with pytest.raises(stripe_sdk.InvalidRequestError, match="Only Checkout Sessions with a status in"):
        client.v1.checkout.sessions.expire(session.id)
    with pytest.raises(Exception, match="expired"):
        stripe.pay(session.id)


def test_it_expires_by_itself_after_a_day(stripe, client, checkout):
    session = checkout()
    with stripe.sandbox.clock.at(session.expires_at - 1):
        assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    with stripe.sandbox.clock.at(session.expires_at + 60):
        assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
        [event] = stripe.events("checkout.session.expired")
    assert event["created"] == session.expires_at


def test_a_completed_session_does_not_expire(stripe, client, checkout):
    session = checkout()
    stripe.pay(session.id)
    with stripe.sandbox.clock.at(session.expires_at + 60):
        assert client.v1.checkout.sessions.retrieve(session.id).status == "complete"
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)


def test_a_session_is_paid_once(stripe, checkout):
    session = checkout()
    stripe.pay(session.id)
    with pytest.raises(Exception, match="complete"):
        stripe.pay(session.id)
    assert len(stripe.objects("subscription")) == 1


def test_sessions_of_a_customer(client, checkout, ada):
    first, second = checkout(), checkout()
    client.v1.checkout.sessions.expire(first.id)
    assert [s.id for s in client.v1.checkout.sessions.list({"customer": ada.id}).data] == [
        second.id,
        first.id,
    ]
    listed = client.v1.checkout.sessions.list({"customer": ada.id, "status": "open"}).data
    assert [s.id for s in listed] == [second.id]


def test_leaving_the_page_leaves_it_open(stripe, checkout):
    assert stripe.cancel(checkout().id)["status"] == "open"
