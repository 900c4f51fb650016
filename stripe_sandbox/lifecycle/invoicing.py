"""An invoice's life: draft, open, paid, void. https://docs.stripe.com/invoicing/overview"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import interval_text, money
from ..due_work import due
from ..store import Document
from . import payments

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def draft_for_subscription(sandbox: Sandbox, subscription: Document, billing_reason: str) -> Document:
    """The invoice for the present period of every item of the subscription."""
    customer = sandbox.get("customer", subscription["customer"])
    account = sandbox.store.find("account")[0]
    now = sandbox.clock.now()
    invoice = sandbox.new(
        "invoice",
        {
            "account_country": account["country"],
            "account_name": account["business_profile"]["name"],
            "account_tax_ids": None,
            "amount_due": 0,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": 0,
            "amount_shipping": 0,
            "application": None,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": billing_reason,
            "collection_method": "charge_automatically",
            "currency": subscription["currency"],
            "custom_fields": None,
            "customer": customer["id"],
            "customer_account": None,
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_shipping": customer["shipping"],
            "customer_tax_exempt": customer["tax_exempt"],
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": subscription["description"],
            "discounts": [],
            "due_date": None,
            "effective_at": None,
            "ending_balance": None,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "metadata": {},
            "next_payment_attempt": None,
            "number": None,
            "on_behalf_of": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {
                    "metadata": subscription["metadata"],
                    "subscription": subscription["id"],
                },
                "type": "subscription_details",
            },
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "rendering": None,
            "shipping_cost": None,
            "shipping_details": None,
            "starting_balance": 0,
            "statement_descriptor": None,
            "status": "draft",
            "status_transitions": {
                "finalized_at": None,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": 0,
            "subtotal_excluding_tax": 0,
            "test_clock": None,
            "total": 0,
            "total_discount_amounts": [],
            "total_excluding_tax": 0,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": None,
        },
    )
    total = 0
    for item in sandbox.store.find("subscription_item", {"subscription": subscription["id"]}):
        total += _new_line(sandbox, invoice, subscription, item)["amount"]
    return sandbox.change(
        invoice,
        changes={
            "amount_due": total,
            "amount_remaining": total,
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "total": total,
            "total_excluding_tax": total,
        },
    )


def _new_line(sandbox: Sandbox, invoice: Document, subscription: Document, item: Document) -> Document:
    price = sandbox.store.get(item["price"]) or {}
    product = sandbox.store.get(price["product"]) or {}
    amount = price["unit_amount"] * item["quantity"]
    each = f"{money(price['unit_amount'], price['currency'])} / {interval_text(price['recurring'])}"
    return sandbox.store.insert(
        {
            "id": ids.new("line_item"),
            "object": "line_item",
            "amount": amount,
            "currency": price["currency"],
            "description": f"{item['quantity']} × {product.get('name', 'Deleted product')} (at {each})",
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": invoice["id"],
            "livemode": False,
            "metadata": subscription["metadata"],
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": {
                    "invoice_item": None,
                    "proration": False,
                    "proration_details": {"credited_items": None},
                    "subscription": subscription["id"],
                    "subscription_item": item["id"],
                },
                "type": "subscription_item_details",
            },
            "period": {"end": item["current_period_end"], "start": item["current_period_start"]},
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]},
                "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
            "quantity": item["quantity"],
            "quantity_decimal": str(item["quantity"]),
            "subscription": subscription["id"],
            "subtotal": amount,
            "taxes": [],
        }
    )


def finalize(sandbox: Sandbox, invoice: Document) -> Document:
    """draft -> open: give it its number and its page. One over nothing still has to be `mark_paid`."""
    customer = sandbox.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    sandbox.change(customer, changes={"next_invoice_sequence": number + 1})
    now = sandbox.clock.now()
    return sandbox.change(
        invoice,
        changes={
            "number": f"{customer['invoice_prefix']}-{number:04d}",
            "status": "open",
            "effective_at": now,
            "ending_balance": 0,
            "hosted_invoice_url": f"{sandbox.settings.public_url}/i/{invoice['id']}",
            "status_transitions": {**invoice["status_transitions"], "finalized_at": now},
        },
    )


def request_payment(sandbox: Sandbox, invoice: Document, intent: Document | None = None) -> Document:
    """Tie the payment intent that shall pay the invoice to it, as its InvoicePayment; return the intent."""
    if intent is None:
        intent = payments.new_intent(
            sandbox,
            amount=invoice["amount_remaining"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            description=description_of(invoice),
        )
    sandbox.new(
        "invoice_payment",
        {
            "amount_paid": None,
            "amount_requested": intent["amount"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        },
    )
    return intent


def description_of(invoice: Document) -> str:
    """What Stripe writes on payments for a subscription's invoice."""
    reasons = {"subscription_create": "Subscription creation", "subscription_update": "Subscription update"}
    return reasons.get(invoice["billing_reason"], "Payment for Invoice")


def default_payment(sandbox: Sandbox, invoice: Document) -> Document | None:
    """The InvoicePayment through which the invoice is collected, None when nothing is owed."""
    found = sandbox.store.find("invoice_payment", {"invoice": invoice["id"]})
    return found[0] if found else None


def mark_paid(sandbox: Sandbox, invoice: Document, *, attempted: bool = True) -> Document:
    """open -> paid."""
    now = sandbox.clock.now()
    sandbox.change(
        invoice,
        changes={
            "amount_paid": invoice["amount_due"],
            "amount_remaining": 0,
            "attempt_count": invoice["attempt_count"] + (1 if attempted and invoice["amount_due"] else 0),
            "attempted": True,
            "auto_advance": False,
            "next_payment_attempt": None,
            "status": "paid",
            "status_transitions": {**invoice["status_transitions"], "paid_at": now},
        },
    )
    payment = default_payment(sandbox, invoice)
    if payment:
        sandbox.change(
            payment,
            changes={
                "amount_paid": payment["amount_requested"],
                "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": now},
            },
        )
        # Stripe sends this one 10-20 s after all others.
        later = sandbox.clock.now() + sandbox.settings.follow_up_seconds
        sandbox.due_work.add(later, "invoice_payment.paid", payment["id"])
    return invoice


@due("invoice_payment.paid")
def _announce_invoice_payment(sandbox: Sandbox, payment_id: str) -> None:
    payment = sandbox.store.get(payment_id)
    if payment:
        sandbox.events.emit("invoice_payment.paid", payment)


def emit_paid(sandbox: Sandbox, invoice: Document) -> None:
    sandbox.events.emit("invoice.paid", invoice)
    sandbox.events.emit("invoice.payment_succeeded", invoice)


def note_failed_attempt(sandbox: Sandbox, invoice: Document, attempt: payments.Attempt) -> None:
    """Count the failed attempt and tell it: the invoice stays open (sequences 2 and 3)."""
    before = sandbox.render(invoice)
    sandbox.change(invoice, changes={"attempt_count": invoice["attempt_count"] + 1, "attempted": True})
    if attempt.requires_action:
        sandbox.events.emit("payment_intent.requires_action", attempt.intent)
        sandbox.events.emit("invoice.payment_action_required", invoice)
    else:
        if attempt.charge:
            sandbox.events.emit("charge.failed", attempt.charge)
        sandbox.events.emit("payment_intent.payment_failed", attempt.intent)
    sandbox.events.emit("invoice.payment_failed", invoice)
    if before["attempted"]:
        sandbox.events.emit("invoice.updated", invoice, {"attempt_count": before["attempt_count"]})


def void(sandbox: Sandbox, invoice: Document) -> None:
    """open -> void, and the intent that waited for its payment is canceled."""
    now = sandbox.clock.now()
    payment = default_payment(sandbox, invoice)
    if payment and payment["status"] == "open":
        intent = sandbox.get("payment_intent", payment["payment"]["payment_intent"])
        sandbox.change(
            intent,
            changes={
                "status": "canceled",
                "canceled_at": now,
                "cancellation_reason": "void_invoice",
                "next_action": None,
            },
        )
        sandbox.change(
            payment,
            changes={"status": "canceled", "status_transitions": {"canceled_at": now, "paid_at": None}},
        )
        sandbox.events.emit("payment_intent.canceled", intent)
    sandbox.change(
        invoice,
        changes={
            "status": "void",
            "amount_remaining": 0,
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": {**invoice["status_transitions"], "voided_at": now},
        },
    )
    sandbox.events.emit("invoice.voided", invoice)


def subscription_of(invoice: Document) -> str | None:
    parent: dict[str, Any] = invoice.get("parent") or {}
    return (parent.get("subscription_details") or {}).get("subscription")
