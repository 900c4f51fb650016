"""Charging a payment method. https://docs.stripe.com/payments/paymentintents/lifecycle

These functions change objects and make no events, because the order of events differs by what the payment is
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ids
from ..cards import AUTHENTICATION_REQUIRED, BY_NUMBER, Decline
from ..errors import StripeError, card_error
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# Stripe's standard price in the USA: 2.9 % and 30 cents.
_FEE_PER_MILLE, _FEE_FIXED = 29, 30

# https://docs.stripe.com/error-codes#invoice-payment-intent-requires-action: POST /v1/invoices/{id}/pay
INVOICE_NEEDS_ACTION = Decline(
    "invoice_payment_intent_requires_action",
    None,
    "This payment requires additional user action before it can be completed successfully. Payment can be completed "
    "using the PaymentIntent associated with the invoice.",
)

AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)


def new_intent(
    sandbox: Sandbox,
    *,
    amount: int,
    currency: str,
    customer: str | None,
    description: str | None = None,
    **values: Any,
) -> Document:
    """A PaymentIntent that waits for a payment method; amounts in the currency's smallest unit."""
    intent_id = ids.new("payment_intent")
    return sandbox.new(
        "payment_intent",
        {
            "allowed_payment_method_types": None,
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": ids.client_secret(intent_id),
            "confirmation_method": "automatic",
            "currency": currency,
            "customer": customer,
            "customer_account": None,
            "description": description,
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "managed_payments": None,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {
                "card": {
                    "installments": None,
                    "mandate_options": None,
                    "network": None,
                    "request_three_d_secure": "automatic",
                }
            },
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": "off_session",
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_group": None,
            **values,
        },
        intent_id,
    )


def next_action(sandbox: Sandbox, intent: Document, return_url: str | None) -> dict[str, Any]:
    """Where the customer answers the bank (3D Secure): a redirect when it is known whereto they return.

    Without a return_url Stripe.js would open the page in a frame; its address stands in the same place.
    """
    url = f"{sandbox.settings.public_url}/c/authenticate/{intent['id']}"
    if return_url:
        return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
    sdk = {"type": "three_d_secure_redirect", "stripe_js": url}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}


@dataclass
class Attempt:
    """What came of charging: paid, declined, or waiting for the customer's bank (3D Secure)."""

    intent: Document
    charge: Document | None
    decline: Decline | None

    @property
    def paid(self) -> bool:
        return self.charge is not None and self.decline is None

    @property
    def charged(self) -> Document:
        """The charge of an attempt that came as far as the bank."""
        assert self.charge is not None
        return self.charge

    @property
    def requires_action(self) -> bool:
        return self.intent["status"] == "requires_action"

    def error(self, sandbox: Sandbox, waiting: Decline = AUTHENTICATION_REQUIRED) -> StripeError:
        """The 402 for an attempt that did not pay. What was written stays: a decline is on record.

        `waiting` are the words for one that waits for the customer's bank.
        """
        decline = self.decline or waiting
        return card_error(
            decline.message,
            decline.code,
            decline_code=decline.decline_code,
            advice_code=decline.advice_code if self.charge else None,
            charge=self.charge["id"] if self.charge else None,
            payment_intent=sandbox.render(self.intent),
            payment_method=(self.intent["last_payment_error"] or {}).get("payment_method"),
        )


def attempt(
    sandbox: Sandbox,
    intent: Document,
    payment_method: Document,
    *,
    authenticated: bool = False,
    off_session: bool = True,
    can_ask: bool = True,
    return_url: str | None = None,
) -> Attempt:
    """Charge the intent's amount to the payment method.

    `authenticated` tells that the customer has just passed the 3D Secure challenge; `off_session` that they
    are not there, which spares a card that was set up before the question. With `can_ask` False a card that
    would have to be asked about is declined (authentication_required) instead of waiting for the customer.
    """
    card = BY_NUMBER[payment_method["_number"]]
    passed_before = card.authentication == "once" and payment_method.get("_authenticated") and off_session
    decline = card.decline
    if card.authentication and not authenticated and not passed_before:
        if can_ask:
            sandbox.change(
                intent,
                changes={
                    "status": "requires_action",
                    "payment_method": payment_method["id"],
                    "last_payment_error": None,
                    "next_action": next_action(sandbox, intent, return_url),
                },
            )
            return Attempt(intent, None, None)
        decline = AUTHENTICATION_REQUIRED
    if authenticated:
        sandbox.change(payment_method, changes={"_authenticated": True})
    charge = _new_charge(sandbox, intent, payment_method, decline, authenticated)
    if decline:
        _fail_intent(sandbox, intent, payment_method, decline, charge)
        return Attempt(intent, charge, decline)
    manual = intent["capture_method"] == "manual"
    sandbox.change(
        intent,
        changes={
            "status": "requires_capture" if manual else "succeeded",
            "amount_capturable": intent["amount"] if manual else 0,
            "amount_received": 0 if manual else intent["amount"],
            "payment_method": payment_method["id"],
            "latest_charge": charge["id"],
            "last_payment_error": None,
            "next_action": None,
        },
    )
    if card.dispute:
        # Stripe's test cards are disputed right after the charge.
        later = sandbox.clock.now() + sandbox.settings.follow_up_seconds
        sandbox.due_work.add(later, "charge.is_disputed", charge["id"])
    return Attempt(intent, charge, None)


def refuse_authentication(sandbox: Sandbox, intent: Document, payment_method: Document) -> Attempt:
    """The customer failed or left the 3D Secure challenge: no charge was tried."""
    _fail_intent(sandbox, intent, payment_method, AUTHENTICATION_FAILED, None)
    return Attempt(intent, None, AUTHENTICATION_FAILED)


def _fail_intent(
    sandbox: Sandbox, intent: Document, payment_method: Document, decline: Decline, charge: Document | None
) -> None:
    error: dict[str, Any] = {
        "type": "card_error" if charge else "invalid_request_error",
        "code": decline.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": sandbox.render(payment_method),
    }
    if charge:
        error["charge"] = charge["id"]
        error["advice_code"] = decline.advice_code
        if decline.decline_code:
            error["decline_code"] = decline.decline_code
    sandbox.change(
        intent,
        changes={
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge["id"] if charge else intent["latest_charge"],
            "last_payment_error": error,
            "next_action": None,
        },
    )


def _new_charge(
    sandbox: Sandbox, intent: Document, payment_method: Document, decline: Decline | None, authenticated: bool
) -> Document:
    card = payment_method["card"]
    paid = decline is None
    captured = paid and intent["capture_method"] != "manual"
    charge = sandbox.new(
        "charge",
        {
            "amount": intent["amount"],
            "amount_captured": intent["amount"] if captured else 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": None,
            "billing_details": payment_method["billing_details"],
            "calculated_statement_descriptor": "LOCAL STRIPE",
            "captured": captured,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": decline.code if decline else None,
            "failure_message": decline.message if decline else None,
            "fraud_details": {},
            # As at Stripe: what the intent knows of itself when it charges goes to the charge.
            "metadata": dict(intent["metadata"]),
            "on_behalf_of": None,
            "outcome": {
                "advice_code": decline.advice_code if decline else None,
                "network_advice_code": None,
                "network_decline_code": None,
                "network_status": "approved_by_network" if paid else "declined_by_network",
                "reason": (decline.decline_code or decline.code) if decline else None,
                "risk_level": "normal",
                "risk_score": 20,
                "seller_message": "Payment complete."
                if paid
                else "The bank did not return any further details with this decline.",
                "type": "authorized" if paid else "issuer_declined",
            },
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": payment_method["id"],
            "payment_method_details": {
                "type": "card",
                "card": {
                    "amount_authorized": intent["amount"] if paid else None,
                    "authorization_code": None,
                    "brand": card["brand"],
                    "checks": card["checks"],
                    "country": card["country"],
                    "exp_month": card["exp_month"],
                    "exp_year": card["exp_year"],
                    "fingerprint": card["fingerprint"],
                    "funding": card["funding"],
                    "installments": None,
                    "last4": card["last4"],
                    "mandate": None,
                    "network": card["brand"],
                    "network_token": {"used": False},
                    "network_transaction_id": None,
                    "regulated_status": "unregulated",
                    "three_d_secure": three_d_secure() if authenticated else None,
                    "transaction_link_id": None,
                    "wallet": None,
                },
            },
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": intent["shipping"],
            "source": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "succeeded" if paid else "failed",
            "transfer_data": None,
            "transfer_group": None,
        },
    )
    if captured:
        book_charge(sandbox, charge)
    return charge


def book_charge(sandbox: Sandbox, charge: Document) -> None:
    """The captured money comes to the balance, less Stripe's fee."""
    fee = (charge["amount_captured"] * _FEE_PER_MILLE + 500) // 1000 + _FEE_FIXED
    transaction = new_balance_transaction(sandbox, charge, "charge", charge["amount_captured"], fee)
    sandbox.change(charge, changes={"balance_transaction": transaction["id"]})


def three_d_secure() -> dict[str, Any]:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": ids.token(36),
        "version": "2.2.0",
    }


def new_balance_transaction(
    sandbox: Sandbox, source: Document, kind: str, amount: int, fee: int = 0, category: str | None = None
) -> Document:
    """One movement of the account's balance, caused by `source`; money that leaves is negative."""
    return sandbox.new(
        "balance_transaction",
        {
            "amount": amount,
            "available_on": sandbox.clock.now() + 2 * 86400,
            "balance_type": "payments",
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [
                {
                    "amount": fee,
                    "application": None,
                    "currency": source["currency"],
                    "description": "Stripe processing fees",
                    "type": "stripe_fee",
                }
            ]
            if fee
            else [],
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source["id"],
            "status": "pending",
            "type": kind,
        },
    )
