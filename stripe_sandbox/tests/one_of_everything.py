"""Fills a sandbox with at least one of each kind of object that the local Stripe can make."""

from __future__ import annotations

from typing import Any

from stripe_sandbox.testing import CardDeclined, SandboxServer


def fill(stripe: SandboxServer, client: Any) -> None:
    v1 = client.v1
    product = v1.products.create({"name": "Pro", "description": "For professionals", "metadata": {"plan": "pro"}})
    monthly = {"product": product.id, "currency": "usd", "recurring": {"interval": "month"}}
    pro = v1.prices.create({**monthly, "unit_amount": 2900, "lookup_key": "pro"})
    team = v1.prices.create({**monthly, "unit_amount": 9900})
    once = v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 500})
    meter = v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )
    tiers = [{"up_to": 10, "unit_amount": 5}, {"up_to": "inf", "unit_amount_decimal": "0.5"}]
    metered = v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": tiers,
        }
    )
    coupon = v1.coupons.create({"percent_off": 25, "duration": "forever", "name": "A quarter off"})
    v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "QUARTER"})
    v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/", "enabled_events": ["charge.dispute.created"]})
    v1.test_helpers.test_clocks.create({"frozen_time": stripe.now})

    ada = v1.customers.create({"email": "ada@example.com", "name": "Ada Lovelace", "metadata": {"user": "1"}})
    _buy_through_checkout(stripe, v1, ada, pro, once)
    v1.customers.balance_transactions.create(ada.id, {"amount": -300, "currency": "usd"})
    [subscription] = v1.subscriptions.list({"customer": ada.id}).data
    v1.subscription_schedules.create({"from_subscription": subscription.id})
    [charge] = [c for c in v1.charges.list({"customer": ada.id}) if c.paid and c.amount == 2900]
    v1.refunds.create({"charge": charge.id, "amount": 100})
    v1.invoice_items.create({"customer": ada.id, "amount": 700, "currency": "usd", "description": "By hand"})
    v1.invoices.create({"customer": ada.id, "pending_invoice_items_behavior": "include"})
    v1.billing_portal.sessions.create({"customer": ada.id, "return_url": "http://shop.example/"})

    bob = v1.customers.create({"email": "bob@example.com"})
    card = v1.payment_methods.attach("pm_card_visa", {"customer": bob.id})
    v1.customers.update(bob.id, {"invoice_settings": {"default_payment_method": card.id}})
    discounted = {"discounts": [{"coupon": coupon.id}], "trial_period_days": 14}
    v1.subscriptions.create({"customer": bob.id, "items": [{"price": team.id}, {"price": metered.id}], **discounted})
    v1.billing.meter_events.create({"event_name": "tokens", "payload": {"stripe_customer_id": bob.id, "value": "12"}})
    v1.setup_intents.create({"customer": bob.id, "payment_method": card.id, "confirm": True, **_NO_REDIRECTS})
    disputed = {"payment_method": "pm_card_createDispute", "confirm": True, **_NO_REDIRECTS}
    v1.payment_intents.create({"amount": 1500, "currency": "usd", **disputed})
    ended = v1.subscriptions.create({"customer": bob.id, "items": [{"price": pro.id}]})
    v1.subscriptions.cancel(ended.id)
    gone = v1.customers.create({"email": "gone@example.com"})
    v1.customers.delete(gone.id)


_NO_REDIRECTS = {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}


def _buy_through_checkout(stripe: SandboxServer, v1: Any, customer: Any, recurring: Any, once: Any) -> None:
    """A subscription at the second try, a single payment, and a session that nobody pays."""
    common = {"customer": customer.id, "success_url": "http://shop.example/done"}
    session = v1.checkout.sessions.create(
        {"mode": "subscription", "line_items": [{"price": recurring.id, "quantity": 1}], **common}
    )
    try:
        stripe.pay(session.id, card="4000000000000002")
    except CardDeclined:
        stripe.pay(session.id)
    single = {"mode": "payment", "line_items": [{"price": once.id, "quantity": 2}], **common}
    stripe.pay(v1.checkout.sessions.create(single).id)
    v1.checkout.sessions.create(single)
