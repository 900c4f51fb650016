"""One file per resource, named as in Stripe's API reference. Importing this package registers all operations.

Two tables tell how documents are shown:
COMPOSERS   object type -> function (sandbox, document, shown) that puts in what Stripe always embeds;
INCLUDABLE  (object type, dotted property) -> function (sandbox, holder): what Stripe adds if `expand` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import dunning  # noqa: F401  (what only the clock calls)
from . import (
    accounts,
    balance_transactions,
    billing_meter_events,
    billing_meters,
    billing_portal_configurations,
    billing_portal_sessions,
    charges,
    checkout_sessions,
    coupons,
    customer_balance_transactions,
    customers,
    disputes,
    events,
    invoice_payments,
    invoiceitems,
    invoices,
    nothing,
    payment_intents,
    payment_methods,
    prices,
    products,
    promotion_codes,
    refunds,
    search,
    setup_attempts,
    setup_intents,
    subscription_items,
    subscription_schedules,
    subscriptions,
    test_clocks,
    webhook_endpoints,
)

COMPOSERS: dict[str, Callable[..., None]] = {
    "event": events.compose,
    "invoice": invoices.compose,
    "subscription": subscriptions.compose,
    "subscription_item": subscription_items.compose,
}

INCLUDABLE: dict[tuple[str, str], Callable[..., Any]] = {
    (
        "billing_portal.configuration",
        "features.subscription_update.products",
    ): billing_portal_configurations.products_of,
    ("charge", "refunds"): charges.refunds_of,
    ("checkout.session", "line_items"): checkout_sessions.line_items_of,
    ("checkout.session", "total_details.breakdown"): checkout_sessions.breakdown_of,
    ("coupon", "applies_to"): coupons.applies_to_of,
    ("customer", "sources"): customers.sources_of,
    ("customer", "subscriptions"): customers.subscriptions_of,
    ("customer", "tax_ids"): customers.tax_ids_of,
    ("invoice", "confirmation_secret"): invoices.confirmation_secret_of,
    ("invoice", "payments"): invoices.payments_of,
    ("item", "discounts"): checkout_sessions.nothing_of,
    ("item", "taxes"): checkout_sessions.nothing_of,
    ("price", "currency_options"): prices.currency_options_of,
    ("price", "tiers"): prices.tiers_of,
}

__all__ = [
    "COMPOSERS",
    "INCLUDABLE",
    "accounts",
    "balance_transactions",
    "billing_meter_events",
    "billing_meters",
    "billing_portal_configurations",
    "billing_portal_sessions",
    "charges",
    "checkout_sessions",
    "coupons",
    "customer_balance_transactions",
    "customers",
    "disputes",
    "events",
    "invoice_payments",
    "invoiceitems",
    "invoices",
    "nothing",
    "payment_intents",
    "payment_methods",
    "prices",
    "products",
    "promotion_codes",
    "refunds",
    "search",
    "setup_attempts",
    "setup_intents",
    "subscription_items",
    "subscription_schedules",
    "subscriptions",
    "test_clocks",
    "webhook_endpoints",
]
