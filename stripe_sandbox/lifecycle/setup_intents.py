"""Saving a card when nothing is due. https://docs.stripe.com/payments/setupintents/lifecycle"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ids
from ..cards import BY_NUMBER, Decline
from ..errors import StripeError, card_error, invalid
from ..store import Document
from . import payment_methods
from .payments import AUTHENTICATION_FAILED, next_action, three_d_secure

if TYPE_CHECKING:
    from ..sandbox import Sandbox


CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def unexpected_state(intent: Document, verb: str) -> StripeError:
    return invalid(
        f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}.",
        code="setup_intent_unexpected_state",
    )


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


def confirm(
    sandbox: Sandbox,
    intent: Document,
    method: Document,
    *,
    authenticated: bool,
    return_url: str | None = None,
) -> bool:
    """Ask the bank whether the card may be kept. Returns True when it wants 3D Secure first."""
    card = BY_NUMBER[method["_number"]]
    if card.authentication and not authenticated:
        sandbox.change(
            intent,
            changes={
                "status": "requires_action",
                "payment_method": method["id"],
                "last_setup_error": None,
                "next_action": next_action(sandbox, intent, return_url),
                "_return_url": return_url,
            },
        )
        _note_attempt(sandbox, intent, method, "requires_action")
        sandbox.events.emit("setup_intent.requires_action", intent)
        return True
    if card.decline and card.declines_at_attach:
        _fail(sandbox, intent, method, card.decline)
        return False
    if authenticated:
        sandbox.change(method, changes={"_authenticated": True})
    _note_attempt(sandbox, intent, method, "succeeded", authenticated)
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
    _note_attempt(sandbox, intent, method, "failed", error=error)
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


def confirm_and_keep(
    sandbox: Sandbox,
    intent: Document,
    method: Document,
    *,
    authenticated: bool = False,
    return_url: str | None = None,
) -> Document:
    """Confirm it, and give the card to the intent's customer when the bank agrees.

    Checkout does that by itself, because it may have to make the customer first. An intent that was made to
    replace the card to be charged (`_takes_over`) sees to that as well.
    """
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "confirm")
    confirm(sandbox, intent, method, authenticated=authenticated, return_url=return_url)
    if intent["status"] != "succeeded" or not intent["customer"]:
        return intent
    customer = sandbox.get("customer", intent["customer"])
    payment_methods.attach(sandbox, method, customer, check=False)
    if intent.get("_takes_over"):
        payment_methods.take_over(sandbox, method, customer)
    return intent


def answer_challenge(sandbox: Sandbox, intent: Document, succeed: bool) -> Document:
    """The customer passed the bank's challenge or failed it: requires_action comes to its end."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = sandbox.get("payment_method", intent["payment_method"])
    if not succeed:
        return refuse_authentication(sandbox, intent, method)
    return confirm_and_keep(sandbox, intent, method, authenticated=True, return_url=intent.get("_return_url"))


def cancel(sandbox: Sandbox, intent: Document, reason: str | None) -> Document:
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "cancel")
    sandbox.change(intent, changes={"status": "canceled", "cancellation_reason": reason, "next_action": None})
    sandbox.events.emit("setup_intent.canceled", intent)
    return intent


def _note_attempt(
    sandbox: Sandbox,
    intent: Document,
    method: Document,
    status: str,
    authenticated: bool = False,
    error: dict[str, Any] | None = None,
) -> None:
    """Write down this try (SetupAttempt); the end of a challenge belongs to the try that began it."""
    card = method["card"]
    values: dict[str, Any] = {
        "application": None,
        "customer": intent["customer"],
        "customer_account": None,
        "flow_directions": None,
        "on_behalf_of": None,
        "payment_method": method["id"],
        "payment_method_details": {
            "card": {
                **{key: card[key] for key in ("brand", "checks", "country", "exp_month", "exp_year")},
                **{key: card[key] for key in ("fingerprint", "funding", "last4")},
                "network": card["brand"],
                "three_d_secure": three_d_secure() if authenticated else None,
                "wallet": None,
            },
            "type": "card",
        },
        "setup_error": error,
        "setup_intent": intent["id"],
        "status": status,
        "usage": intent["usage"],
    }
    latest = sandbox.store.get(intent["latest_attempt"]) if intent["latest_attempt"] else None
    if latest and latest["status"] == "requires_action" and intent["status"] == "requires_action":
        sandbox.change(latest, changes=values)
    else:
        attempt = sandbox.new("setup_attempt", values)
        sandbox.change(intent, changes={"latest_attempt": attempt["id"]})
