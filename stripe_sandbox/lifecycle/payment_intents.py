"""A PaymentIntent that is driven through the API or its 3D Secure page, and what its end brings about.

https://docs.stripe.com/payments/paymentintents/lifecycle. The intent of an invoice is collected by
subscriptions.pay_invoice, so that confirming it also pays the invoice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..store import Document
from . import invoicing, payment_methods, payments, refunds, subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def unexpected_state(intent: Document, verb: str) -> Exception:
    return invalid(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
    )


def invoice_of(sandbox: Sandbox, intent: Document) -> Document | None:
    """The invoice that the intent collects."""
    found = sandbox.store.find("invoice_payment", {"payment.payment_intent": intent["id"]}, limit=1)
    return sandbox.store.get(found[0]["invoice"]) if found else None


def confirm(
    sandbox: Sandbox,
    intent: Document,
    method: Document,
    *,
    authenticated: bool = False,
    off_session: bool = False,
    can_ask: bool = True,
    return_url: str | None = None,
) -> payments.Attempt:
    """Try to collect it with this card, and tell what came of it. See payments.attempt."""
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "confirm")
    sandbox.change(intent, changes={"_return_url": return_url})
    invoice = invoice_of(sandbox, intent)
    if invoice:
        if invoice["status"] not in invoicing.PAYABLE:
            raise invalid(f"The invoice of this PaymentIntent is {invoice['status']}.", "intent")
        attempt = subscriptions.pay_invoice(sandbox, invoice, method, authenticated=authenticated)
    else:
        attempt = payments.attempt(
            sandbox,
            intent,
            method,
            authenticated=authenticated,
            off_session=off_session,
            can_ask=can_ask,
            return_url=return_url,
        )
        _tell(sandbox, attempt)
    if attempt.requires_action and return_url:
        sandbox.change(intent, changes={"next_action": payments.next_action(sandbox, intent, return_url)})
    if attempt.paid and intent["setup_future_usage"] and intent["customer"] and not method["customer"]:
        customer = sandbox.get("customer", intent["customer"])
        payment_methods.attach(sandbox, method, customer, check=False)
        if intent.get("_takes_over"):
            payment_methods.take_over(sandbox, method, customer)
    return attempt


def _tell(sandbox: Sandbox, attempt: payments.Attempt) -> None:
    emit = sandbox.events.emit
    if attempt.paid:
        emit("charge.succeeded", attempt.charged)
        if attempt.intent["status"] == "requires_capture":
            emit("payment_intent.amount_capturable_updated", attempt.intent)
        else:
            emit("payment_intent.succeeded", attempt.intent)
    elif attempt.requires_action:
        emit("payment_intent.requires_action", attempt.intent)
    else:
        if attempt.charge:
            emit("charge.failed", attempt.charge)
        emit("payment_intent.payment_failed", attempt.intent)


def answer_challenge(sandbox: Sandbox, intent: Document, succeed: bool) -> payments.Attempt:
    """The customer passed the bank's challenge or failed it: requires_action comes to its end."""
    if intent["status"] != "requires_action":
        raise unexpected_state(intent, "authenticate")
    method = sandbox.get("payment_method", intent["payment_method"])
    if succeed:
        return confirm(sandbox, intent, method, authenticated=True, return_url=intent.get("_return_url"))
    attempt = payments.refuse_authentication(sandbox, intent, method)
    invoice = invoice_of(sandbox, intent)
    if invoice and invoice["status"] in invoicing.PAYABLE:
        invoicing.note_failed_attempt(sandbox, invoice, attempt, invoice["next_payment_attempt"])
    else:
        _tell(sandbox, attempt)
    return attempt


def capture(sandbox: Sandbox, intent: Document, amount: int | None) -> Document:
    """requires_capture -> succeeded: take what was authorized, or a part of it; the rest is released."""
    if intent["status"] != "requires_capture":
        raise invalid(
            f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
            code="payment_intent_unexpected_state",
        )
    amount = intent["amount_capturable"] if amount is None else amount
    if not 1 <= amount <= intent["amount_capturable"]:
        raise invalid(
            f"The amount to capture must be between 1 and {intent['amount_capturable']}.",
            "amount_to_capture",
            "amount_too_large" if amount > 0 else "parameter_invalid_integer",
        )
    charge = sandbox.get("charge", intent["latest_charge"])
    sandbox.change(charge, changes={"captured": True, "amount_captured": amount})
    payments.book_charge(sandbox, charge)
    sandbox.change(intent, changes={"status": "succeeded", "amount_capturable": 0, "amount_received": amount})
    sandbox.events.emit("charge.captured", charge)
    sandbox.events.emit("payment_intent.succeeded", intent)
    return intent


def cancel(sandbox: Sandbox, intent: Document, reason: str | None) -> Document:
    """It will never be paid; money that was only authorized is released."""
    if invoice_of(sandbox, intent):
        raise invalid(
            "You cannot cancel PaymentIntents created by Invoices. Please void the invoice instead.",
            code="payment_intent_unexpected_state",
        )
    if intent["status"] not in (*CONFIRMABLE, "requires_capture"):
        raise unexpected_state(intent, "cancel")
    changes: dict[str, Any] = {
        "status": "canceled",
        "canceled_at": sandbox.clock.now(),
        "cancellation_reason": reason,
        "next_action": None,
        "amount_capturable": 0,
    }
    if intent["status"] == "requires_capture":
        charge = sandbox.get("charge", intent["latest_charge"])
        refunds.release(sandbox, charge)
    sandbox.change(intent, changes=changes)
    sandbox.events.emit("payment_intent.canceled", intent)
    return intent
