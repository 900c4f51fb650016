"""Saving a card when nothing is due. https://docs.stripe.com/payments/setupintents/lifecycle"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ids
from ..cards import BY_NUMBER, Decline
from ..errors import StripeError, card_error
from ..store import Document
from .payments import AUTHENTICATION_FAILED

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def new(sandbox: Sandbox, customer: str | None) -> Document:
    intent_id = ids.new("setup_intent")
    return sandbox.new(
        "setup_intent",
        {
            "allowed_payment_method_types": None,
            "application": None,
            "automatic_payment_methods": None,
            "cancellation_reason": None,
            "client_secret": ids.client_secret(intent_id),
            "customer": customer,
            "customer_account": None,
            "description": None,
            "excluded_payment_method_types": None,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "mandate": None,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {
                "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
            },
            "payment_method_types": ["card"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": "off_session",
        },
        intent_id,
    )


def confirm(sandbox: Sandbox, intent: Document, method: Document, *, authenticated: bool) -> bool:
    """Ask the bank whether the card may be kept. Returns True when it wants 3D Secure first."""
    card = BY_NUMBER[method["_number"]]
    if card.authentication and not authenticated:
        next_action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        sandbox.change(
            intent,
            changes={"status": "requires_action", "payment_method": method["id"], "next_action": next_action},
        )
        sandbox.events.emit("setup_intent.requires_action", intent)
        return True
    if card.decline and card.declines_at_attach:
        _fail(sandbox, intent, method, card.decline)
        return False
    if authenticated:
        sandbox.change(method, changes={"_authenticated": True})
    sandbox.change(
        intent,
        changes={
            "status": "succeeded",
            "payment_method": method["id"],
            "next_action": None,
            "last_setup_error": None,
        },
    )
    sandbox.events.emit("setup_intent.succeeded", intent)
    return False


def refuse_authentication(sandbox: Sandbox, intent: Document, method: Document) -> Document:
    failed = Decline("setup_intent_authentication_failure", None, AUTHENTICATION_FAILED.message)
    _fail(sandbox, intent, method, failed)
    return intent


def _fail(sandbox: Sandbox, intent: Document, method: Document, decline: Decline) -> None:
    error: dict[str, Any] = {
        "type": "card_error",
        "code": decline.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": sandbox.render(method),
    }
    if decline.decline_code:
        error["decline_code"] = decline.decline_code
    sandbox.change(
        intent,
        changes={
            "status": "requires_payment_method",
            "payment_method": None,
            "next_action": None,
            "last_setup_error": error,
        },
    )
    sandbox.events.emit("setup_intent.setup_failed", intent)


def error(sandbox: Sandbox, intent: Document) -> StripeError:
    """The 402 for a card that the bank would not let be saved."""
    failed = intent["last_setup_error"]
    return card_error(
        failed["message"],
        failed["code"],
        decline_code=failed.get("decline_code"),
        setup_intent=sandbox.render(intent),
    )
