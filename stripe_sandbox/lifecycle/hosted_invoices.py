"""Paying an invoice on its hosted page. https://docs.stripe.com/invoicing/hosted-invoice-page

The recovery of sequence 5: charge.succeeded, payment_intent.succeeded, invoice.paid, invoice.payment_succeeded, and the
subscription that was behind is active again. A new card is attached after that, where the customer wants it kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..store import Document
from . import collection, invoicing, payment_intents, payment_methods, payments

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def check_payable(invoice: Document) -> None:
    """Raises 400 for an invoice that cannot be paid, or not any more."""
    if invoice["status"] not in invoicing.PAYABLE:
        raise invalid(f"This invoice is {invoice['status']}: it cannot be paid.", code="invoice_not_editable")


def intent_of(sandbox: Sandbox, invoice: Document) -> Document | None:
    """The payment intent that collects the invoice, None when there is none yet."""
    payment = invoicing.default_payment(sandbox, invoice)
    return sandbox.get("payment_intent", payment["payment"]["payment_intent"]) if payment else None


def pay_with_card_on_file(sandbox: Sandbox, invoice: Document) -> payments.Attempt:
    """Charge the card that the renewal would be charged to. Raises 400 when there is none."""
    check_payable(invoice)
    method = collection.method_for(sandbox, invoice)
    if method is None:
        raise collection.no_payment_method()
    return _pay(sandbox, invoice, method, keep=False)


def pay_with_card(
    sandbox: Sandbox, invoice: Document, card: dict[str, Any], details: dict[str, Any], *, keep: bool
) -> payments.Attempt:
    """Charge a card {number, exp_month, exp_year, cvc}; with `keep` it also pays all future bills.

    Tells what came of it: paid, declined (the invoice stays open), or requires_action: the bank asks first (3D
    Secure), see payment_intents.answer_challenge. Raises 402 for a number that is no card's.
    """
    check_payable(invoice)
    details = {"email": invoice["customer_email"], **details}
    method = payment_methods.new_card(sandbox, card, details, allow_redisplay="always" if keep else "limited")
    return _pay(sandbox, invoice, method, keep=keep)


def _pay(sandbox: Sandbox, invoice: Document, method: Document, *, keep: bool) -> payments.Attempt:
    intent = collection.intent_of(sandbox, invoice)
    usage = "off_session" if keep or method["customer"] else None
    sandbox.change(intent, changes={"setup_future_usage": usage, "_takes_over": keep, "_page": None})
    return payment_intents.confirm(sandbox, intent, method)
