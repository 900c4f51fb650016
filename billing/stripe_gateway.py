"""Every outgoing Stripe call of ours, one function each. Stripe's errors become ours here and nowhere else.

Objects come back as `stripe.StripeObject`: read them with [], they are no dicts. Every write carries an idempotency
key made of what is being done, so a repeat after a lost answer does it once.
"""

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import requests
import stripe
from django.conf import settings
from djstripe.settings import djstripe_settings

from billing.errors import AuthenticationRequired, PaymentFailed, StripeRefused, StripeUnavailable

if TYPE_CHECKING:
    from stripe.params import (
        InvoiceCreatePreviewParams,
        ProductCreateParams,
        SubscriptionCancelParams,
        SubscriptionCreateParams,
        SubscriptionUpdateParams,
    )
    from stripe.params.checkout import SessionCreateParams

logger = logging.getLogger(__name__)

T = TypeVar("T")

# https://docs.stripe.com/declines/codes in words for the person who holds the card. Fraud codes are answered like any
# other decline: who tries a stolen card learns nothing.
DECLINE_REASONS = {
    "insufficient_funds": "The card has insufficient funds.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The card's security code is wrong.",
    "processing_error": "The card could not be processed just now.",
}
DECLINED = "The card was declined."


class Pace:
    """Lets at most `per_second` calls begin in a second, evenly, for one worker that works through many users."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 1 / per_second
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self.calls = 0

    def wait(self) -> None:
        self.calls += 1
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        # Counted from when it was allowed: what was slow is not caught up with in a burst.
        self._next = max(now, self._next) + self._gap


_pace: ContextVar[Pace | None] = ContextVar("pace", default=None)


@contextmanager
def paced(pace: Pace) -> Iterator[None]:
    """Every call to Stripe within the block, dj-stripe's and tries again included, waits for its turn."""
    token = _pace.set(pace)
    try:
        yield
    finally:
        _pace.reset(token)


class BoundedClient(stripe.RequestsClient):
    """stripe-python's client, but a call that ran into its time-out is not repeated by the SDK.

    It has held the user's billing lock for ten seconds; three tries would be half a minute. The idempotency key makes
    pressing again as safe. What fails at once (a broken connection, 409, 5xx) is still tried again.
    """

    def __init__(self) -> None:
        super().__init__(timeout=settings.STRIPE_TIMEOUT_SECONDS)

    def request(self, *args: Any, **kwargs: Any) -> Any:
        if (pace := _pace.get()) is not None:
            pace.wait()
        return super().request(*args, **kwargs)

    def _handle_request_error(self, e: Exception) -> NoReturn:
        try:
            super()._handle_request_error(e)
        except stripe.APIConnectionError as error:
            if isinstance(e, requests.exceptions.Timeout):
                error.should_retry = False
            raise


def bound_every_call() -> None:
    """dj-stripe calls through the SDK's module-level client: give it the same time-out as ours."""
    stripe.default_http_client = BoundedClient()


@functools.lru_cache(maxsize=4)
def _client_for(api_key: str, host: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": host},
        http_client=BoundedClient(),
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


# Failures of one write in a row that a key can outlive; then it is Stripe's bad day, and pressing again helps later.
MAX_REMEMBERED_FAILURES = 8


def _once(call: Callable[..., T], *args: Any, key: str) -> T:
    """Call a write with this idempotency key, or with the first of its successors that Stripe has not failed for good.

    Stripe remembers its own 500 for a day and answers the key with it again and again
    (https://docs.stripe.com/api/idempotent_requests). A remembered failure is over: the next key in line is a new
    try. All keys in line mean the same write, and our caller has looked at Stripe's state under the user's lock.
    """
    for attempt in range(1, MAX_REMEMBERED_FAILURES + 1):
        try:
            return call(*args, {"idempotency_key": key if attempt == 1 else f"{key}-{attempt}"})
        except stripe.APIError as exc:
            remembered = (exc.headers or {}).get("idempotent-replayed") == "true"
            if not remembered or attempt == MAX_REMEMBERED_FAILURES:
                raise
    raise AssertionError("unreachable")


class ResourceMissing(StripeRefused):
    """There is no such object at Stripe (any more). Callers for whom that is an answer catch it."""


# Stripe's words for "the bank wants to see the customer", by the kind of call that met it.
_ASKS_FOR_THE_CUSTOMER = {
    "authentication_required",
    "subscription_payment_intent_requires_action",
    "invoice_payment_intent_requires_action",
}


def card_declined(exc: stripe.CardError) -> PaymentFailed:
    body = exc.error
    reason = getattr(body, "decline_code", None) or exc.code or "card_declined"
    if {reason, exc.code} & _ASKS_FOR_THE_CUSTOMER:
        return AuthenticationRequired()
    words = DECLINE_REASONS.get(reason, DECLINED)
    public = reason if reason in DECLINE_REASONS else "card_declined"
    return PaymentFailed(
        f"{words} Nothing was charged and nothing has changed. Try again or use another card.", decline_code=public
    )


def _reasons(error: Any) -> set[str]:
    """Of the last error of a PaymentIntent, whose members are left out where they say nothing."""
    return {error[name] for name in ("decline_code", "code") if name in error and error[name]}


# --- customers --------------------------------------------------------------------------------------------------------


@_our_errors()
def create_customer(*, user_id: int, email: str, idempotency_key: str) -> stripe.Customer:
    """https://docs.stripe.com/api/customers/create"""
    # dj-stripe finds our user by this metadata when customer.created arrives.
    metadata = {djstripe_settings.SUBSCRIBER_CUSTOMER_KEY: str(user_id)}
    return _once(_client().v1.customers.create, {"email": email, "metadata": metadata}, key=idempotency_key)


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


@_our_errors()
def fingerprint_of(card_id: str) -> str | None:
    """What stands for the card's number, the same with every customer; None for what is no card.

    https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-fingerprint
    """
    method = _client().v1.payment_methods.retrieve(card_id)
    return method["card"]["fingerprint"] if method["type"] == "card" else None


@_our_errors()
def why_ended(subscription_id: str) -> str:
    """The comment with which a subscription was ended; "" for none. https://docs.stripe.com/api/subscriptions/retrieve"""
    details = _client().v1.subscriptions.retrieve(subscription_id)["cancellation_details"]
    return (details["comment"] or "") if details else ""


@_our_errors()
def customer_is_deleted(customer_id: str) -> bool:
    """https://docs.stripe.com/api/customers/retrieve. Raises ResourceMissing for one that never was in this account."""
    customer = _client().v1.customers.retrieve(customer_id)
    return "deleted" in customer and bool(customer["deleted"])


@_our_errors()
def make_default_card(customer_id: str, card_id: str) -> stripe.Customer:
    """What later bills are charged to. https://docs.stripe.com/api/customers/update"""
    return _client().v1.customers.update(customer_id, {"invoice_settings": {"default_payment_method": card_id}})


# --- products and prices ----------------------------------------------------------------------------------------------


@_our_errors()
def create_product(*, name: str, description: str, metadata: dict[str, str], idempotency_key: str) -> stripe.Product:
    """https://docs.stripe.com/api/products/create"""
    params: ProductCreateParams = {"name": name, "metadata": metadata}
    if description:
        params["description"] = description
    return _once(_client().v1.products.create, params, key=idempotency_key)


@_our_errors()
def update_product(product_id: str, *, name: str, description: str, active: bool) -> stripe.Product:
    """https://docs.stripe.com/api/products/update. Raises ResourceMissing."""
    return _client().v1.products.update(product_id, {"name": name, "description": description, "active": active})


@_our_errors()
def retrieve_product(product_id: str) -> stripe.Product:
    """https://docs.stripe.com/api/products/retrieve. Raises ResourceMissing."""
    return _client().v1.products.retrieve(product_id)


@_our_errors()
def list_prices(product_id: str) -> list[stripe.Price]:
    """All of a product's prices, archived ones too. https://docs.stripe.com/api/prices/list"""
    return [
        price
        for active in (True, False)
        for price in _client()
        .v1.prices.list({"product": product_id, "active": active, "limit": 100})
        .auto_paging_iter()
    ]


@_our_errors()
def activate_price(price_id: str) -> stripe.Price:
    """https://docs.stripe.com/api/prices/update"""
    return _client().v1.prices.update(price_id, {"active": True})


@_our_errors()
def find_price(lookup_key: str) -> stripe.Price | None:
    """https://docs.stripe.com/api/prices/list"""
    found = _client().v1.prices.list({"lookup_keys": [lookup_key], "limit": 1})
    return found.data[0] if found.data else None


@_our_errors()
def create_price(
    *,
    product_id: str,
    amount_cents: int,
    interval: str,
    interval_count: int,
    lookup_key: str,
    metadata: dict[str, str] | None = None,
) -> stripe.Price:
    """https://docs.stripe.com/api/prices/create"""
    params: dict[str, Any] = {
        "product": product_id,
        "currency": "usd",
        "unit_amount": amount_cents,
        "recurring": {"interval": interval, "interval_count": interval_count},
        "lookup_key": lookup_key,
    }
    if metadata:
        params["metadata"] = metadata
    return _once(_client().v1.prices.create, params, key=f"price-{product_id}-{lookup_key}")


# --- what is billed by use --------------------------------------------------------------------------------------------


@_our_errors()
def find_meter(event_name: str) -> stripe.billing.Meter | None:
    """The active meter that listens to an event name. https://docs.stripe.com/api/billing/meter/list"""
    meters = _client().v1.billing.meters.list({"status": "active", "limit": 100})
    return next((meter for meter in meters.auto_paging_iter() if meter["event_name"] == event_name), None)


@_our_errors()
def create_meter(*, event_name: str, display_name: str) -> stripe.billing.Meter:
    """A meter that adds up `value` by `stripe_customer_id`. https://docs.stripe.com/api/billing/meter/create"""
    params: Any = {
        "event_name": event_name,
        "display_name": display_name,
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
        "value_settings": {"event_payload_key": "value"},
    }
    return _once(_client().v1.billing.meters.create, params, key=f"meter-{event_name}")


@_our_errors()
def create_metered_price(
    *,
    meter_id: str,
    product_name: str,
    unit_amount_decimal: str,
    interval: str,
    interval_count: int,
    lookup_key: str,
) -> stripe.Price:
    """A price per unit of a meter, in cents with up to 12 decimals, of a product of its own.

    https://docs.stripe.com/api/prices/create#create_price-unit_amount_decimal
    """
    params: Any = {
        "product_data": {"name": product_name},
        "currency": "usd",
        "unit_amount_decimal": unit_amount_decimal,
        "recurring": {
            "interval": interval,
            "interval_count": interval_count,
            "usage_type": "metered",
            "meter": meter_id,
        },
        "lookup_key": lookup_key,
    }
    return _once(_client().v1.prices.create, params, key=f"price-{meter_id}-{lookup_key}")


# Part of what Stripe answers to an identifier that it has: https://docs.stripe.com/api/billing/meter-event/create
_HAS_IT_ALREADY = "already exists with identifier"


@_our_errors()
def send_meter_event(*, event_name: str, customer_id: str, value: int, identifier: str, at: datetime) -> None:
    """Report usage; the same identifier within 24 hours is counted once. https://docs.stripe.com/api/billing/meter-event/create

    at: up to 35 days ago. Raises StripeRefused for an event that Stripe does not take.
    """
    params: Any = {
        "event_name": event_name,
        "payload": {"stripe_customer_id": customer_id, "value": str(value)},
        "identifier": identifier,
        "timestamp": int(at.timestamp()),
    }
    try:
        _client().v1.billing.meter_events.create(params)
    except stripe.InvalidRequestError as exc:
        if _HAS_IT_ALREADY not in str(exc):
            raise


@_our_errors()
def metered_by_hour(meter_id: str, customer_id: str, start: datetime, end: datetime) -> dict[int, int]:
    """{Unix time of an hour: what the meter has counted in it}; start and end are whole hours.

    https://docs.stripe.com/api/billing/meter-event-summary/list
    """
    page = _client().v1.billing.meters.event_summaries.list(
        meter_id,
        {
            "customer": customer_id,
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()),
            "value_grouping_window": "hour",
            "limit": 100,
        },
    )
    return {summary["start_time"]: round(summary["aggregated_value"]) for summary in page.auto_paging_iter()}


@_our_errors()
def add_item(subscription_id: str, price_id: str) -> stripe.Subscription:
    """Bill a metered price beside what is there, from now on. https://docs.stripe.com/api/subscriptions/update"""
    return _client().v1.subscriptions.update(
        subscription_id, {"items": [{"price": price_id}], "proration_behavior": "none"}
    )


# --- Checkout ---------------------------------------------------------------------------------------------------------


@_our_errors()
def create_checkout_session(
    *,
    customer_id: str,
    price_id: str,
    metered_price_id: str,
    needs_card: bool,
    trial_days: int,
    success_url: str,
    cancel_url: str,
    metadata: dict[str, str],
    idempotency_key: str,
) -> stripe.checkout.Session:
    """https://docs.stripe.com/api/checkout/sessions/create. success_url may hold {CHECKOUT_SESSION_ID}.

    metered_price_id: what bills usage beside the plan; "" for nothing.
    """
    params: SessionCreateParams = {
        "mode": "subscription",
        "customer": customer_id,
        "line_items": [{"price": price_id, "quantity": 1}, *_metered(metered_price_id)],  # type: ignore[list-item]
        "payment_method_collection": "always" if needs_card else "if_required",
        "success_url": success_url,
        "cancel_url": cancel_url,
        "metadata": metadata,
        "subscription_data": {"metadata": metadata},
    }
    if needs_card:
        params["allow_promotion_codes"] = True
    if trial_days:
        params["subscription_data"]["trial_period_days"] = trial_days
    return _once(_client().v1.checkout.sessions.create, params, key=idempotency_key)


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


# What one look needs: the card that will be charged, the bill that waits, the change that is scheduled.
_SEEN_WITH_A_SUBSCRIPTION = [
    "data.customer.invoice_settings.default_payment_method",
    "data.default_payment_method",
    "data.latest_invoice",
    "data.schedule",
]


@_our_errors()
def list_subscriptions(customer_id: str) -> list[stripe.Subscription]:
    """All of a customer's subscriptions, ended ones too, newest first, with `customer`, `default_payment_method`,
    `latest_invoice` and `schedule` expanded. https://docs.stripe.com/api/subscriptions/list"""
    page = _client().v1.subscriptions.list(
        {"customer": customer_id, "status": "all", "limit": 100, "expand": _SEEN_WITH_A_SUBSCRIPTION}
    )
    return list(page.auto_paging_iter())


@_our_errors()
def page_of_subscriptions(*, after: str = "", limit: int = 100) -> stripe.ListObject[stripe.Subscription]:
    """A page of the whole account's subscriptions that are not over, newest first, with `customer` expanded.

    after: the id of the last one seen. Raises ResourceMissing for an unknown one.
    https://docs.stripe.com/api/subscriptions/list
    """
    params: dict[str, Any] = {"limit": limit, "expand": ["data.customer"]}
    if after:
        params["starting_after"] = after
    return _client().v1.subscriptions.list(params)  # type: ignore[arg-type]


@_our_errors()
def move_trial_end(subscription_id: str, end: datetime) -> stripe.Subscription:
    """A subscription in trial ends, with its trial, at `end`: nothing is ever charged. Repeating it changes nothing.

    https://docs.stripe.com/api/subscriptions/update
    """
    stamp = int(end.timestamp())
    return _client().v1.subscriptions.update(
        subscription_id, {"trial_end": stamp, "cancel_at": stamp, "proration_behavior": "none"}
    )


@_our_errors()
def create_subscription(
    *,
    customer_id: str,
    price_id: str,
    card_id: str | None,
    metadata: dict[str, str],
    idempotency_key: str,
    metered_price_id: str = "",
    trial_days: int = 0,
    trial_end: datetime | None = None,
    ends_with_trial: bool = False,
) -> stripe.Subscription:
    """Charge now or create nothing. Raises PaymentFailed. https://docs.stripe.com/api/subscriptions/create

    metered_price_id: what bills usage beside the plan; "" for nothing.
    """
    params: SubscriptionCreateParams = {
        "customer": customer_id,
        "items": [{"price": price_id}, *_metered(metered_price_id)],  # type: ignore[list-item]
        "payment_behavior": "error_if_incomplete",
        "metadata": metadata,
    }
    if card_id:
        params["default_payment_method"] = card_id
    if trial_days:
        params["trial_period_days"] = trial_days
    if trial_end:
        params["trial_end"] = int(trial_end.timestamp())
        if ends_with_trial:
            params["cancel_at"] = int(trial_end.timestamp())
    return _once(_client().v1.subscriptions.create, params, key=idempotency_key)


def _metered(price_id: str) -> list[dict[str, Any]]:
    """The item that bills usage; it has no quantity."""
    return [{"price": price_id}] if price_id else []


@dataclass(frozen=True)
class Upgrade:
    """A change of price that takes effect and is charged at once; preview and change are made of the same one.

    metered_item_id, metered_price_id: the item that bills usage and the price that it takes on (no id: a new item);
    no price: what is there stays as it is. proration_date: Unix seconds; None is Stripe's now. starts_anew: a new
    period begins now (from free to paid, or the end of a trial). undoes_end: a cancellation that was scheduled is
    taken back with it. without_credit: nothing is given for what is left of the present period; a new one begins now.
    """

    subscription_id: str
    item_id: str
    price_id: str
    proration_date: int | None
    metered_item_id: str = ""
    metered_price_id: str = ""
    ends_trial: bool = False
    starts_anew: bool = False
    undoes_end: bool = False
    without_credit: bool = False

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = [{"id": self.item_id, "price": self.price_id}]
        if self.metered_price_id:
            metered = {"price": self.metered_price_id}
            items.append(metered | ({"id": self.metered_item_id} if self.metered_item_id else {}))
        return items

    def _params(self) -> dict[str, Any]:
        params: dict[str, Any] = {"items": self.items, "proration_behavior": "always_invoice"}
        if self.without_credit:
            # https://docs.stripe.com/billing/subscriptions/billing-cycle: billed at once, and nothing prorated.
            params["proration_behavior"] = "none"
        elif self.proration_date:
            params["proration_date"] = self.proration_date
        if self.ends_trial:
            params["trial_end"] = "now"
        elif self.starts_anew or self.without_credit:
            params["billing_cycle_anchor"] = "now"
        if self.undoes_end:
            # Takes back both forms of it, the portal's cancel_at and cancel_at_period_end.
            params["cancel_at"] = ""
        return params


@_our_errors()
def preview_upgrade(upgrade: Upgrade) -> stripe.Invoice:
    """The invoice that `upgrade_subscription` would make, with the coupons of its discounts expanded. https://docs.stripe.com/api/invoices/create_preview"""
    params: InvoiceCreatePreviewParams = {
        "subscription": upgrade.subscription_id,
        "subscription_details": upgrade._params(),  # type: ignore[typeddict-item]
        "expand": ["discounts.source.coupon"],
    }
    return _client().v1.invoices.create_preview(params)


@_our_errors()
def upgrade_subscription(upgrade: Upgrade, *, metadata: dict[str, str], idempotency_key: str) -> stripe.Subscription:
    """Charge the difference now, or change nothing. Raises PaymentFailed, AuthenticationRequired.

    https://docs.stripe.com/api/subscriptions/update
    """
    params = {
        **upgrade._params(),
        "payment_behavior": "error_if_incomplete",
        "metadata": metadata,
    }
    return _once(_client().v1.subscriptions.update, upgrade.subscription_id, params, key=idempotency_key)


@_our_errors()
def await_upgrade(upgrade: Upgrade, *, idempotency_key: str) -> stripe.Subscription:
    """The same, but the change waits (23 hours) for the customer to confirm the payment on the page of its invoice.

    Returns the subscription with `latest_invoice` expanded; `pending_update` is None when it was paid after all.
    https://docs.stripe.com/billing/subscriptions/pending-updates
    """
    params = {**upgrade._params(), "payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]}
    return _once(_client().v1.subscriptions.update, upgrade.subscription_id, params, key=idempotency_key)


@_our_errors()
def preview_next_invoice(subscription_id: str) -> stripe.Invoice | None:
    """The renewal that comes next, with discounts, credit and scheduled changes in it; None when none comes.

    https://docs.stripe.com/api/invoices/create_preview
    """
    try:
        return _client().v1.invoices.create_preview({"subscription": subscription_id})
    except stripe.InvalidRequestError as exc:
        if exc.code == "invoice_upcoming_none":
            return None
        raise


@_our_errors()
def preview_renewal_at(change: Upgrade) -> stripe.Invoice:
    """The next renewal if its price stood in its place by then; of another interval, the first bill of that."""
    details: dict[str, Any] = {"items": change.items, "proration_behavior": "none"}
    if change.undoes_end:
        details["cancel_at"] = ""
    params: InvoiceCreatePreviewParams = {
        "subscription": change.subscription_id,
        "subscription_details": details,  # type: ignore[typeddict-item]
    }
    return _client().v1.invoices.create_preview(params)


@_our_errors()
def preview_new_subscription(customer_id: str, price_id: str, metered_price_id: str = "") -> stripe.Invoice:
    """The first invoice of a subscription that is not there yet."""
    items: Any = [{"price": price_id}, *_metered(metered_price_id)]
    return _client().v1.invoices.create_preview({"customer": customer_id, "subscription_details": {"items": items}})


@_our_errors()
def create_schedule(subscription_id: str) -> stripe.SubscriptionSchedule:
    """A schedule that holds the subscription as it is. https://docs.stripe.com/api/subscription_schedules/create

    Without a key of ours: a subscription has one schedule at most, and one whose answer was lost is released by the
    next look (sync); a key would then answer with what is gone.
    """
    return _client().v1.subscription_schedules.create({"from_subscription": subscription_id})


@_our_errors()
def schedule_next_price(
    schedule: stripe.SubscriptionSchedule,
    *,
    price_id: str,
    metered_price_id: str,
    interval: str,
    interval_count: int,
) -> stripe.SubscriptionSchedule:
    """Another price from the end of the schedule's present phase on, and what bills usage beside it ("": nothing does).
    Repeating it changes nothing.

    https://docs.stripe.com/api/subscription_schedules/update: the present phase has to be named again, with its start.
    """
    present = schedule["phases"][-1]
    params: Any = {
        "end_behavior": "release",
        "proration_behavior": "none",
        "phases": [
            {
                "items": [_same_item(item) for item in present["items"]],
                "start_date": present["start_date"],
                "end_date": present["end_date"],
            },
            {
                "items": [{"price": price_id, "quantity": 1}, *_metered(metered_price_id)],
                "duration": {"interval": interval, "interval_count": interval_count},
            },
        ],
    }
    return _client().v1.subscription_schedules.update(schedule["id"], params)


def _same_item(item: Any) -> Any:
    """An item of a phase, to be named again. A metered one has no quantity."""
    return {"price": item["price"]} | ({"quantity": item["quantity"]} if "quantity" in item else {})


@_our_errors()
def release_schedule(schedule_id: str) -> stripe.SubscriptionSchedule:
    """The subscription goes on as it is. https://docs.stripe.com/api/subscription_schedules/release

    Raises StripeRefused for one that is not at work any more.
    """
    return _client().v1.subscription_schedules.release(schedule_id)


@_our_errors()
def cancel_at_period_end(subscription_id: str, *, comment: str = "") -> stripe.Subscription:
    """https://docs.stripe.com/api/subscriptions/update. Repeating it changes nothing."""
    params: SubscriptionUpdateParams = {"cancel_at_period_end": True}
    if comment:
        params["cancellation_details"] = {"comment": comment}
    return _client().v1.subscriptions.update(subscription_id, params)


@_our_errors()
def undo_cancellation(subscription_id: str) -> stripe.Subscription:
    """Takes back cancel_at_period_end and the portal's cancel_at alike. Repeating it changes nothing."""
    return _client().v1.subscriptions.update(subscription_id, {"cancel_at": ""})


@_our_errors()
def cancel_now(subscription_id: str, *, comment: str = "", bill_usage: bool = False) -> stripe.Subscription:
    """https://docs.stripe.com/api/subscriptions/cancel. Raises ResourceMissing when it has ended already.

    bill_usage: a last invoice asks for what was used and not billed yet.
    """
    params: SubscriptionCancelParams = {"cancellation_details": {"comment": comment}} if comment else {}
    if bill_usage:
        params["invoice_now"] = True
    return _client().v1.subscriptions.cancel(subscription_id, params)


# --- invoices ---------------------------------------------------------------------------------------------------------


@_our_errors()
def list_invoices(
    customer_id: str, *, limit: int, after: str | None = None, before: str | None = None
) -> stripe.ListObject[stripe.Invoice]:
    """A page of a customer's invoices, newest first, with `payments` expanded. https://docs.stripe.com/api/invoices/list

    after, before: the id of an invoice; those older or newer than it. Raises ResourceMissing for an unknown one.
    """
    params: dict[str, Any] = {"customer": customer_id, "limit": limit, "expand": ["data.payments"]}
    if after:
        params["starting_after"] = after
    if before:
        params["ending_before"] = before
    return _client().v1.invoices.list(params)  # type: ignore[arg-type]


@_our_errors()
def invoices_since(customer_id: str, since: datetime) -> list[stripe.Invoice]:
    """Those of a customer that were made since then, newest first. https://docs.stripe.com/api/invoices/list"""
    page = _client().v1.invoices.list(
        {"customer": customer_id, "created": {"gte": int(since.timestamp())}, "limit": 100}
    )
    return list(page.auto_paging_iter())


@_our_errors()
def paid_invoices(customer_id: str) -> list[stripe.Invoice]:
    """The customer's last 30 that are paid, newest first. https://docs.stripe.com/api/invoices/list"""
    return _client().v1.invoices.list({"customer": customer_id, "status": "paid", "limit": 30}).data


@dataclass(frozen=True)
class Cause:
    """Why an invoice is not paid. words: for its customer; "" when no card was asked. wants_the_customer: the bank
    does, to confirm the payment."""

    words: str
    wants_the_customer: bool


@_our_errors()
def why_unpaid(invoice_id: str) -> Cause:
    """What came of the last try to collect it. https://docs.stripe.com/api/invoice-payment/list"""
    found = _client().v1.invoice_payments.list(
        {"invoice": invoice_id, "limit": 10, "expand": ["data.payment.payment_intent"]}
    )
    for payment in found.data:
        intent = payment["payment"]["payment_intent"] if payment["payment"]["type"] == "payment_intent" else None
        if not intent:
            continue
        error = intent["last_payment_error"]
        if intent["status"] == "requires_action" or (error and _reasons(error) & _ASKS_FOR_THE_CUSTOMER):
            return Cause("Your bank wants you to confirm the payment.", wants_the_customer=True)
        if error:
            words = next(
                (DECLINE_REASONS[reason] for reason in sorted(_reasons(error)) if reason in DECLINE_REASONS), DECLINED
            )
            return Cause(words, wants_the_customer=False)
    return Cause("", wants_the_customer=False)


@_our_errors()
def open_invoices(subscription_id: str) -> list[stripe.Invoice]:
    """Those that wait to be paid, newest first. https://docs.stripe.com/api/invoices/list"""
    return _client().v1.invoices.list({"subscription": subscription_id, "status": "open", "limit": 100}).data


@_our_errors()
def open_invoices_of(customer_id: str) -> list[stripe.Invoice]:
    """All that a customer was asked to pay and has not. https://docs.stripe.com/api/invoices/list"""
    page = _client().v1.invoices.list({"customer": customer_id, "status": "open", "limit": 100})
    return list(page.auto_paging_iter())


@_our_errors()
def void_invoice(invoice_id: str) -> stripe.Invoice:
    """Nobody owes it any more. https://docs.stripe.com/api/invoices/void"""
    return _client().v1.invoices.void_invoice(invoice_id)


@_our_errors()
def bill_usage_of(invoice_id: str, *, customer_id: str, cents: int, description: str) -> stripe.Invoice:
    """An invoice of its own over what another one asked for usage, open and collected by Stripe. Repeating it makes
    no second one. https://docs.stripe.com/api/invoices/create, https://docs.stripe.com/api/invoiceitems/create"""
    draft: dict[str, Any] = {
        "customer": customer_id,
        "auto_advance": True,
        "description": description,
        "metadata": {"usage_of": invoice_id},
        "pending_invoice_items_behavior": "exclude",
    }
    made = _once(_client().v1.invoices.create, draft, key=f"usage-of-{invoice_id}")
    invoice = _client().v1.invoices.retrieve(made["id"])
    if invoice["status"] == "draft":
        line: dict[str, Any] = {
            "customer": customer_id,
            "invoice": invoice["id"],
            "amount": cents,
            "currency": "usd",
            "description": description,
        }
        _once(_client().v1.invoice_items.create, line, key=f"usage-line-of-{invoice_id}")
        invoice = _client().v1.invoices.finalize_invoice(invoice["id"])
    return invoice


@_our_errors()
def list_charges(customer_id: str) -> list[stripe.Charge]:
    """The customer's last 100 charges, newest first: what was paid, refunded, disputed.

    https://docs.stripe.com/api/charges/list
    """
    return _client().v1.charges.list({"customer": customer_id, "limit": 100}).data


@_our_errors()
def customer_of_charge(charge_id: str) -> str | None:
    """https://docs.stripe.com/api/charges/retrieve"""
    return _client().v1.charges.retrieve(charge_id)["customer"]


@_our_errors()
def subscription_paid_by(payment_intent_id: str) -> str | None:
    """The id of the subscription whose invoice a payment settled; None when it was for something else.

    https://docs.stripe.com/api/invoice-payment/list
    """
    found = _client().v1.invoice_payments.list(
        {
            "payment": {"type": "payment_intent", "payment_intent": payment_intent_id},
            "limit": 1,
            "expand": ["data.invoice"],
        }
    )
    parent = found.data[0]["invoice"]["parent"] if found.data else None
    return parent["subscription_details"]["subscription"] if parent else None


@_our_errors()
def list_disputes(payment_intent_id: str) -> list[stripe.Dispute]:
    """https://docs.stripe.com/api/disputes/list"""
    return _client().v1.disputes.list({"payment_intent": payment_intent_id, "limit": 100}).data


# --- a customer's balance ---------------------------------------------------------------------------------------------


@_our_errors()
def balance_of(customer_id: str) -> int:
    """Cents; negative is credit. https://docs.stripe.com/api/customers/object#customer_object-balance"""
    return _client().v1.customers.retrieve(customer_id)["balance"]


@_our_errors()
def balance_transactions_of(customer_id: str) -> list[stripe.CustomerBalanceTransaction]:
    """The last 100. https://docs.stripe.com/api/customer_balance_transactions/list"""
    return _client().v1.customers.balance_transactions.list(customer_id, {"limit": 100}).data


@_our_errors()
def adjust_balance(
    customer_id: str, cents: int, *, description: str, metadata: dict[str, str], idempotency_key: str
) -> stripe.CustomerBalanceTransaction:
    """cents > 0 takes credit away, < 0 gives it. https://docs.stripe.com/api/customer_balance_transactions/create"""
    params: dict[str, Any] = {"amount": cents, "currency": "usd", "description": description, "metadata": metadata}
    return _once(_client().v1.customers.balance_transactions.create, customer_id, params, key=idempotency_key)


# --- the customer portal ----------------------------------------------------------------------------------------------


@_our_errors()
def create_portal_session(
    *, customer_id: str, return_url: str, configuration_id: str | None
) -> stripe.billing_portal.Session:
    """Stripe's own page for cards, address and invoices. https://docs.stripe.com/api/customer_portal/sessions/create"""
    params: dict[str, Any] = {"customer": customer_id, "return_url": return_url}
    if configuration_id:
        params["configuration"] = configuration_id
    return _client().v1.billing_portal.sessions.create(params)  # type: ignore[arg-type]


# --- money that was paid ----------------------------------------------------------------------------------------------


@_our_errors()
def paid_invoices_of(subscription_id: str) -> list[stripe.Invoice]:
    """A subscription's last 100 that are paid, newest first, with `payments`. https://docs.stripe.com/api/invoices/list"""
    params: dict[str, Any] = {"subscription": subscription_id, "status": "paid", "limit": 100}
    params["expand"] = ["data.payments"]
    return _client().v1.invoices.list(params).data  # type: ignore[arg-type]


@_our_errors()
def refund(
    payment_intent_id: str, amount_cents: int, *, metadata: dict[str, str], idempotency_key: str
) -> stripe.Refund:
    """https://docs.stripe.com/api/refunds/create"""
    params: dict[str, Any] = {"payment_intent": payment_intent_id, "amount": amount_cents, "metadata": metadata}
    return _once(_client().v1.refunds.create, params, key=idempotency_key)


@_our_errors()
def refunds_of(charge_id: str) -> list[stripe.Refund]:
    """https://docs.stripe.com/api/refunds/list"""
    return _client().v1.refunds.list({"charge": charge_id, "limit": 100}).data
