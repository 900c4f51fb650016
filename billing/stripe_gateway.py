"""Every outgoing Stripe call of ours, one function each. Stripe's errors become ours here and nowhere else.

Objects come back as `stripe.StripeObject`: read them with [], they are no dicts. Every write carries an idempotency
key made of what is being done, so a repeat after a lost answer does it once.
"""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import stripe
from django.conf import settings
from djstripe.settings import djstripe_settings

from billing.errors import PaymentFailed, StripeRefused, StripeUnavailable

if TYPE_CHECKING:
    from stripe.params import (
        ProductCreateParams,
        SubscriptionCancelParams,
        SubscriptionCreateParams,
        SubscriptionUpdateParams,
    )

logger = logging.getLogger(__name__)

# https://docs.stripe.com/declines/codes in words for the person who holds the card. Fraud codes are answered like any
# other decline: who tries a stolen card learns nothing.
DECLINE_REASONS = {
    "insufficient_funds": "The card has insufficient funds.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The card's security code is wrong.",
    "processing_error": "The card could not be processed just now.",
    "authentication_required": "The bank wants to confirm the payment with you.",
}


def bound_every_call() -> None:
    """dj-stripe calls through the SDK's module-level client: give it the same time-out as ours."""
    stripe.default_http_client = stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS)


@functools.lru_cache(maxsize=4)
def _client_for(api_key: str, host: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": host},
        http_client=stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS),
        max_network_retries=2,
    )


def _client() -> stripe.StripeClient:
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_HOST)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except stripe.CardError as exc:
        raise card_declined(exc) from exc
    except (stripe.APIConnectionError, stripe.RateLimitError) as exc:
        logger.warning("Stripe is out of reach: %s", exc)
        raise StripeUnavailable(retry_after=30, headers={"Retry-After": "30"}) from exc
    except stripe.InvalidRequestError as exc:
        if exc.code == "resource_missing":
            raise ResourceMissing() from exc
        logger.exception("Stripe refused a call of ours (request %s)", exc.request_id)
        raise StripeRefused() from exc
    except stripe.StripeError as exc:
        if exc.http_status in (409, None) or exc.http_status >= 500:
            logger.warning("Stripe failed: %s %s", exc.http_status, exc)
            raise StripeUnavailable(retry_after=30, headers={"Retry-After": "30"}) from exc
        logger.exception("Stripe refused a call of ours (request %s)", exc.request_id)
        raise StripeRefused() from exc


class ResourceMissing(StripeRefused):
    """There is no such object at Stripe (any more). Callers for whom that is an answer catch it."""


def card_declined(exc: stripe.CardError) -> PaymentFailed:
    body = exc.error
    reason = getattr(body, "decline_code", None) or exc.code or "card_declined"
    words = DECLINE_REASONS.get(reason, "The card was declined.")
    public = reason if reason in DECLINE_REASONS else "card_declined"
    return PaymentFailed(f"{words} Nothing was bought. Try again or use another card.", decline_code=public)


# --- customers --------------------------------------------------------------------------------------------------------


@_our_errors()
def create_customer(*, user_id: int, email: str, idempotency_key: str) -> stripe.Customer:
    """https://docs.stripe.com/api/customers/create"""
    # dj-stripe finds our user by this metadata when customer.created arrives.
    metadata = {djstripe_settings.SUBSCRIBER_CUSTOMER_KEY: str(user_id)}
    return _client().v1.customers.create({"email": email, "metadata": metadata}, {"idempotency_key": idempotency_key})


@_our_errors()
def card_on_file(customer_id: str) -> str | None:
    """The id of the payment method to charge: the customer's default, else the newest card. None: no card.

    https://docs.stripe.com/api/customers/retrieve, https://docs.stripe.com/api/payment_methods/customer_list
    """
    customer = _client().v1.customers.retrieve(customer_id)
    default = customer["invoice_settings"]["default_payment_method"]
    if default:
        return default
    cards = _client().v1.customers.payment_methods.list(customer_id, {"type": "card", "limit": 1})
    return cards.data[0].id if cards.data else None


# --- products and prices ----------------------------------------------------------------------------------------------


@_our_errors()
def create_product(*, name: str, description: str, metadata: dict[str, str], idempotency_key: str) -> stripe.Product:
    """https://docs.stripe.com/api/products/create"""
    params: ProductCreateParams = {"name": name, "metadata": metadata}
    if description:
        params["description"] = description
    return _client().v1.products.create(params, {"idempotency_key": idempotency_key})


@_our_errors()
def update_product(product_id: str, *, name: str, description: str, active: bool) -> stripe.Product:
    """https://docs.stripe.com/api/products/update. Raises ResourceMissing."""
    return _client().v1.products.update(product_id, {"name": name, "description": description, "active": active})


@_our_errors()
def find_price(lookup_key: str) -> stripe.Price | None:
    """https://docs.stripe.com/api/prices/list"""
    found = _client().v1.prices.list({"lookup_keys": [lookup_key], "limit": 1})
    return found.data[0] if found.data else None


@_our_errors()
def create_price(
    *, product_id: str, amount_cents: int, interval: str, interval_count: int, lookup_key: str
) -> stripe.Price:
    """https://docs.stripe.com/api/prices/create"""
    return _client().v1.prices.create(
        {
            "product": product_id,
            "currency": "usd",
            "unit_amount": amount_cents,
            "recurring": {"interval": interval, "interval_count": interval_count},
            "lookup_key": lookup_key,
        },
        {"idempotency_key": f"price-{product_id}-{lookup_key}"},
    )


# --- Checkout ---------------------------------------------------------------------------------------------------------


@_our_errors()
def create_checkout_session(
    *,
    customer_id: str,
    price_id: str,
    needs_card: bool,
    success_url: str,
    cancel_url: str,
    metadata: dict[str, str],
    idempotency_key: str,
) -> stripe.checkout.Session:
    """https://docs.stripe.com/api/checkout/sessions/create. success_url may hold {CHECKOUT_SESSION_ID}."""
    return _client().v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer_id,
            "line_items": [{"price": price_id, "quantity": 1}],
            "payment_method_collection": "always" if needs_card else "if_required",
            "success_url": success_url,
            "cancel_url": cancel_url,
            "metadata": metadata,
            "subscription_data": {"metadata": metadata},
        },
        {"idempotency_key": idempotency_key},
    )


@_our_errors()
def newest_checkout_sessions(customer_id: str) -> list[stripe.checkout.Session]:
    """The customer's last 20 sessions, newest first. https://docs.stripe.com/api/checkout/sessions/list"""
    return _client().v1.checkout.sessions.list({"customer": customer_id, "limit": 20}).data


@_our_errors()
def retrieve_checkout_session(session_id: str) -> stripe.checkout.Session:
    """https://docs.stripe.com/api/checkout/sessions/retrieve. Raises ResourceMissing."""
    return _client().v1.checkout.sessions.retrieve(session_id)


@_our_errors()
def expire_checkout_session(session_id: str) -> stripe.checkout.Session:
    """https://docs.stripe.com/api/checkout/sessions/expire. Raises StripeRefused when it is no longer open."""
    return _client().v1.checkout.sessions.expire(session_id)


# --- subscriptions ----------------------------------------------------------------------------------------------------


@_our_errors()
def list_subscriptions(customer_id: str) -> list[stripe.Subscription]:
    """All of a customer's subscriptions, ended ones too, newest first. https://docs.stripe.com/api/subscriptions/list"""
    page = _client().v1.subscriptions.list({"customer": customer_id, "status": "all", "limit": 100})
    return list(page.auto_paging_iter())


@_our_errors()
def create_subscription(
    *, customer_id: str, price_id: str, card_id: str | None, metadata: dict[str, str], idempotency_key: str
) -> stripe.Subscription:
    """Charge now or create nothing. Raises PaymentFailed. https://docs.stripe.com/api/subscriptions/create"""
    params: SubscriptionCreateParams = {
        "customer": customer_id,
        "items": [{"price": price_id}],
        "payment_behavior": "error_if_incomplete",
        "metadata": metadata,
    }
    if card_id:
        params["default_payment_method"] = card_id
    return _client().v1.subscriptions.create(params, {"idempotency_key": idempotency_key})


@_our_errors()
def cancel_at_period_end(subscription_id: str, *, comment: str = "") -> stripe.Subscription:
    """https://docs.stripe.com/api/subscriptions/update. Repeating it changes nothing."""
    params: SubscriptionUpdateParams = {"cancel_at_period_end": True}
    if comment:
        params["cancellation_details"] = {"comment": comment}
    return _client().v1.subscriptions.update(subscription_id, params)


@_our_errors()
def cancel_now(subscription_id: str, *, comment: str = "") -> stripe.Subscription:
    """https://docs.stripe.com/api/subscriptions/cancel. Raises ResourceMissing when it has ended already."""
    params: SubscriptionCancelParams = {"cancellation_details": {"comment": comment}} if comment else {}
    return _client().v1.subscriptions.cancel(subscription_id, params)


# --- money that was paid ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Payment:
    payment_intent_id: str
    amount_cents: int


@_our_errors()
def payment_of(invoice_id: str | None) -> Payment | None:
    """The payment that settled an invoice; None when nothing was charged. https://docs.stripe.com/api/invoice-payment/list"""
    if invoice_id is None:
        return None
    paid = _client().v1.invoice_payments.list({"invoice": invoice_id, "status": "paid", "limit": 1}).data
    if not paid or paid[0]["payment"]["type"] != "payment_intent":
        return None
    return Payment(paid[0]["payment"]["payment_intent"], paid[0]["amount_paid"])


@_our_errors()
def refund(payment_intent_id: str, amount_cents: int, *, idempotency_key: str) -> stripe.Refund:
    """https://docs.stripe.com/api/refunds/create"""
    return _client().v1.refunds.create(
        {"payment_intent": payment_intent_id, "amount": amount_cents}, {"idempotency_key": idempotency_key}
    )
