"""https://docs.stripe.com/api/setup_intents (cards)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..lifecycle import payment_methods
from ..lifecycle import setup_intents as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document
from .checkout_sessions import check_url
from .payment_intents import check_secret

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/setup_intents/{intent}"
_DETAILS = (
    "customer description metadata payment_method payment_method_types=card "
    "payment_method_options.card.request_three_d_secure=automatic"
)


@operation(
    "post",
    "/v1/setup_intents",
    _DETAILS + " automatic_payment_methods confirm return_url usage use_stripe_sdk=false",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "return_url" in params and not params.get("confirm"):
        raise invalid("return_url can only be used together with confirm=true.", "return_url")
    customer = sandbox.get("customer", params["customer"], "customer") if "customer" in params else None
    automatic = params.get("automatic_payment_methods")
    if automatic is None and "payment_method_types" not in params:
        automatic = {"enabled": True}  # the default since 2023-08-16
    intent = life.new(sandbox, customer["id"] if customer else None)
    sandbox.change(
        intent,
        changes={
            "automatic_payment_methods": {
                "allow_redirects": automatic.get("allow_redirects", "always"),
                "enabled": True,
            }
            if automatic and automatic["enabled"]
            else None,
            "description": params.get("description"),
            "metadata": merged(params),
            "usage": params.get("usage", "off_session"),
        },
    )
    if params.get("payment_method"):
        method = _method(sandbox, params["payment_method"], intent)
        sandbox.change(intent, changes={"payment_method": method["id"], "status": "requires_confirmation"})
    sandbox.events.emit("setup_intent.created", intent)
    return _confirm(sandbox, intent, params) if params.get("confirm") else intent


def _method(sandbox: Sandbox, method_id: str, intent: Document) -> Document:
    method = payment_methods.resolve(sandbox, method_id, "payment_method")
    if method["customer"] not in (None, intent["customer"]):
        raise invalid(
            f"The provided PaymentMethod ({method['id']}) is attached to another customer. Please include "
            "the Customer in the `customer` parameter on the SetupIntent.",
            "payment_method",
        )
    if method["customer"] is None and (method.get("_detached") or method.get("_spent")):
        raise payment_methods.used_up(method)
    return method


def _confirm(sandbox: Sandbox, intent: Document, params: dict[str, Any]) -> Document:
    """Raises 402 when the bank refuses the card."""
    return_url = params.get("return_url")
    check_url(return_url, "return_url")
    if not intent["payment_method"]:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment method. You can either "
            "update the SetupIntent with a payment method and then confirm it again, or confirm it again "
            "directly with a payment method or ConfirmationToken.",
            code="setup_intent_unexpected_state",
        )
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not return_url:
        raise invalid(
            "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because "
            "some of these payment methods might redirect your customer off of your page, you must provide a "
            "`return_url`. If you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment "
            "Intents.",
            "return_url",
        )
    method = sandbox.get("payment_method", intent["payment_method"])
    life.confirm_and_keep(sandbox, intent, method, return_url=return_url)
    if intent["status"] == "requires_payment_method":
        raise life.error(sandbox, intent)
    return intent


@operation("get", _PATH, "client_secret")
def retrieve(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("setup_intent", intent, "intent", in_path=True)
    check_secret(document, params)
    return document


@operation("post", _PATH, _DETAILS)
def update(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("setup_intent", intent, "intent", in_path=True)
    changes: dict[str, Any] = {"metadata": merged(params, document["metadata"])}
    if {"customer", "payment_method"} & set(params) and document["status"] not in life.CONFIRMABLE:
        raise life.unexpected_state(document, "update")
    if "customer" in params:
        changes["customer"] = sandbox.get("customer", params["customer"], "customer")["id"]
    if "description" in params:
        changes["description"] = params["description"] or None
    if params.get("payment_method"):
        method = _method(sandbox, params["payment_method"], {**document, **changes})
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    return sandbox.change(document, changes=changes)


@operation("post", _PATH + "/confirm", "payment_method return_url use_stripe_sdk=false")
def confirm(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("setup_intent", intent, "intent", in_path=True)
    if document["status"] not in life.CONFIRMABLE:
        raise life.unexpected_state(document, "confirm")
    if params.get("payment_method"):
        method = _method(sandbox, params["payment_method"], document)
        sandbox.change(document, changes={"payment_method": method["id"]})
    return _confirm(sandbox, document, params)


@operation("post", _PATH + "/cancel", "cancellation_reason")
def cancel(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    document = sandbox.get("setup_intent", intent, "intent", in_path=True)
    return life.cancel(sandbox, document, params.get("cancellation_reason"))


@operation("get", "/v1/setup_intents", PAGING + " created customer payment_method")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "payment_method")
    return page(sandbox, "setup_intent", params, "/v1/setup_intents", equal)
