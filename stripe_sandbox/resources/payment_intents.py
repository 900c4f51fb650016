"""https://docs.stripe.com/api/payment_intents (cards)"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..billing_cycle import money
from ..errors import StripeError, invalid
from ..lifecycle import payment_intents as life
from ..lifecycle import payment_methods, payments
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document
from .checkout_sessions import check_url

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/payment_intents/{intent}"
_DETAILS = (
    "customer description metadata payment_method payment_method_types=card receipt_email "
    "setup_future_usage shipping statement_descriptor statement_descriptor_suffix "
    "payment_method_options.card.request_three_d_secure=automatic"
)
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_LEAST = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "chf": 50, "cad": 50, "aud": 50}
_MOST = 99_999_999


@operation(
    "post",
    "/v1/payment_intents",
    _DETAILS + " amount currency automatic_payment_methods capture_method confirm "
    "confirmation_method=automatic error_on_requires_action off_session return_url use_stripe_sdk=false",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if not params.get("confirm"):
        for key in ("off_session", "return_url", "error_on_requires_action"):
            if key in params:
                raise invalid(f"{key} can only be used together with confirm=true.", key)
    currency = params["currency"].lower()
    if not re.fullmatch(r"[a-z]{3}", currency):
        raise invalid(f"Invalid currency: {params['currency'][:20]}", "currency")
    _check_amount(params["amount"], currency)
    customer = sandbox.get("customer", params["customer"], "customer") if "customer" in params else None
    automatic = params.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in params:
        automatic = {"enabled": True}  # the default since 2023-08-16
    intent = payments.new_intent(
        sandbox,
        amount=params["amount"],
        currency=currency,
        customer=customer["id"] if customer else None,
        automatic_payment_methods={
            "allow_redirects": automatic.get("allow_redirects", "always"),
            "enabled": True,
        }
        if automatic and automatic["enabled"]
        else None,
        capture_method=params.get("capture_method", "automatic_async"),
        setup_future_usage=None,
    )
    sandbox.change(intent, changes=_details(sandbox, params, intent))
    if params.get("payment_method"):
        method = _method(sandbox, params["payment_method"], intent)
        sandbox.change(intent, changes={"payment_method": method["id"], "status": "requires_confirmation"})
    sandbox.events.emit("payment_intent.created", intent)
    return _confirm(sandbox, intent, params) if params.get("confirm") else intent


def _check_amount(amount: int, currency: str) -> None:
    least = _LEAST.get(currency, 1)
    if amount < least:
        code = "amount_too_small" if amount > 0 else "parameter_invalid_integer"
        raise invalid(f"Amount must be at least {money(least, currency)} {currency}", "amount", code)
    if amount > _MOST:
        raise invalid(f"Amount must be no more than {money(_MOST, currency)}", "amount", "amount_too_large")


def _details(sandbox: Sandbox, params: dict[str, Any], intent: Document) -> dict[str, Any]:
    changes: dict[str, Any] = {"metadata": merged(params, intent["metadata"])}
    for key in ("description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix"):
        if key in params:
            changes[key] = params[key] or None
    if "setup_future_usage" in params:
        changes["setup_future_usage"] = params["setup_future_usage"] or None
    if "shipping" in params:
        changes["shipping"] = params["shipping"] or None
    return changes


def _method(sandbox: Sandbox, method_id: str, intent: Document) -> Document:
    """The card to charge: the customer's own, or nobody's. Raises 400 for another's."""
    method = payment_methods.resolve(sandbox, method_id, "payment_method")
    if method["customer"] not in (None, intent["customer"]):
        raise invalid(
            f"The provided PaymentMethod ({method['id']}) is attached to another customer. Please include "
            "the Customer in the `customer` parameter on the PaymentIntent.",
            "payment_method",
        )
    if method["customer"] is None and (method.get("_detached") or method.get("_spent")):
        raise payment_methods.used_up(method)
    return method


def _confirm(sandbox: Sandbox, intent: Document, params: dict[str, Any]) -> Document:
    """Raises 402 when the card is declined; the intent then waits for another one."""
    off_session = bool(params.get("off_session"))
    return_url = params.get("return_url")
    check_url(return_url, "return_url")
    if not intent["payment_method"]:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either "
            "update the PaymentIntent with a payment method and then confirm it again, or confirm it again "
            "directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not return_url and not off_session:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because "
            "some of these payment methods might redirect your customer off of your page, you must provide a "
            "`return_url`. If you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment "
            "Intents.",
            "return_url",
        )
    method = sandbox.get("payment_method", intent["payment_method"])
    can_ask = not off_session and not params.get("error_on_requires_action")
    attempt = life.confirm(sandbox, intent, method, off_session=off_session, can_ask=can_ask, return_url=return_url)
    if method["customer"] is None:
        # A card that was used without being kept cannot be used again.
        sandbox.change(method, changes={"_spent": attempt.paid})
    if not attempt.paid and not attempt.requires_action:
        raise attempt.error(sandbox)
    return intent


@operation("get", _PATH, "client_secret")
def retrieve(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("payment_intent", intent, "intent", in_path=True)
    check_secret(document, params)
    return document


def check_secret(document: Document, params: dict[str, Any]) -> None:
    if params.get("client_secret", document["client_secret"]) != document["client_secret"]:
        raise StripeError(400, "The client_secret provided does not match this object.", param="client_secret")


@operation("post", _PATH, _DETAILS + " amount currency")
def update(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("payment_intent", intent, "intent", in_path=True)
    changes: dict[str, Any] = {}
    material = {"amount", "currency", "customer", "payment_method"} & set(params)
    if material and document["status"] not in life.CONFIRMABLE:
        raise life.unexpected_state(document, "update")
    if {"amount", "currency", "customer"} & set(params) and life.invoice_of(sandbox, document):
        raise invalid(
            "The amount, currency and customer of a PaymentIntent created by an invoice cannot be changed.",
            sorted(material)[0],
        )
    if "amount" in params or "currency" in params:
        changes["currency"] = (params.get("currency") or document["currency"]).lower()
        changes["amount"] = params.get("amount", document["amount"])
        _check_amount(changes["amount"], changes["currency"])
    if "customer" in params:
        changes["customer"] = sandbox.get("customer", params["customer"], "customer")["id"]
    changes |= _details(sandbox, params, document)
    if params.get("payment_method"):
        method = _method(sandbox, params["payment_method"], {**document, **changes})
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    return sandbox.change(document, changes=changes)


@operation(
    "post",
    _PATH + "/confirm",
    "error_on_requires_action off_session payment_method payment_method_types=card receipt_email return_url "
    "setup_future_usage shipping use_stripe_sdk=false capture_method",
)
def confirm(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("payment_intent", intent, "intent", in_path=True)
    if document["status"] not in life.CONFIRMABLE:
        if document["status"] == "succeeded":
            raise invalid(
                "You cannot confirm this PaymentIntent because it has already succeeded after being "
                "previously confirmed.",
                code="payment_intent_unexpected_state",
            )
        raise life.unexpected_state(document, "confirm")
    changes = _details(sandbox, params, document)
    if "capture_method" in params:
        changes["capture_method"] = params["capture_method"]
    if params.get("payment_method"):
        changes["payment_method"] = _method(sandbox, params["payment_method"], document)["id"]
    sandbox.change(document, changes=changes)
    return _confirm(sandbox, document, params)


@operation("post", _PATH + "/capture", "amount_to_capture metadata final_capture=true")
def capture(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("payment_intent", intent, "intent", in_path=True)
    if "metadata" in params:
        sandbox.change(document, changes={"metadata": merged(params, document["metadata"])})
    return life.capture(sandbox, document, params.get("amount_to_capture"))


@operation("post", _PATH + "/cancel", "cancellation_reason")
def cancel(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("payment_intent", intent, "intent", in_path=True)
    return life.cancel(sandbox, document, params.get("cancellation_reason"))


@operation("get", "/v1/payment_intents", PAGING + " created customer")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer")
    return page(sandbox, "payment_intent", params, "/v1/payment_intents", equal)
