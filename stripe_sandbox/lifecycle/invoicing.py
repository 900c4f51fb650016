"""An invoice's life: draft, open, paid, void, uncollectible. https://docs.stripe.com/invoicing/overview

An invoice begins as a `Bill`: the invoice and its lines, worked out and not yet written. What becomes of it is
the caller's choice: `create_preview` shows it, a renewal or a change of plan writes it. That is why a preview
equals the invoice that follows: there is one calculation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import interval_text, money
from ..due_work import due
from ..lists import embedded
from ..store import Document
from . import customer_balance, discounts, payments, usage_billing

if TYPE_CHECKING:
    from ..sandbox import Sandbox, Snapshot

PAYABLE = ("open", "uncollectible")
EMBEDDED_LINES = 10  # Stripe embeds the first ten; the rest is at /lines


@dataclass
class DraftLine:
    """What a line of an invoice is made of."""

    amount: int
    currency: str
    description: str | None
    start: int
    end: int
    quantity: int | None = 1
    quantity_decimal: str | None = None
    price: Document | None = None
    unit_amount_decimal: str | None = None
    subscription: str | None = None
    item: str | None = None  # the subscription item
    invoice_item: str | None = None
    proration: bool = False
    credited: dict[str, Any] | None = None  # {invoice, invoice_line_items} of the debit that is given back
    discountable: bool = True
    discounts: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Bill:
    """An invoice and its lines, computed and not (yet) written."""

    invoice: Document
    lines: list[Document]

    def shown(self) -> Snapshot:
        """As create_preview and invoice.upcoming show it."""
        from ..sandbox import Snapshot  # it imports the resources, which import this

        lines = embedded(
            self.lines[:EMBEDDED_LINES],
            f"/v1/invoices/{self.invoice['id']}/lines",
            len(self.lines) > EMBEDDED_LINES,
        )
        visible = {key: value for key, value in self.invoice.items() if not key.startswith("_")}
        return Snapshot({**visible, "lines": lines})

    def net_of(self, line: Document) -> int:
        """What the line really costs: its amount after discounts."""
        return line["amount"] - sum(taken["amount"] for taken in line["discount_amounts"])


def round_cents(amount: Decimal) -> int:
    """Whole cents, halves away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def licensed_amount(price: Document, quantity: int) -> int:
    """What this many of a price cost for one whole period."""
    if price["billing_scheme"] == "per_unit" and not price["transform_quantity"]:
        return round_cents(Decimal(price["unit_amount_decimal"]) * quantity)
    return sum(line.amount for line in usage_billing.lines_for(price, Decimal(quantity), ""))


def each(price: Document) -> str:
    """'$29.00 / month', as Stripe words a price in the description of a line."""
    interval = interval_text(price["recurring"]) if price["recurring"] else None
    if price["unit_amount"] is None:
        return f"tiered / {interval}"
    amount = money(price["unit_amount"], price["currency"])
    return f"{amount} / {interval}" if interval else amount


def product_name(sandbox: Sandbox, price: Document) -> str:
    return (sandbox.store.get(price["product"]) or {}).get("name", "Deleted product")


def compose(
    sandbox: Sandbox,
    customer: Document,
    lines: Iterable[DraftLine],
    *,
    billing_reason: str,
    currency: str,
    subscription: Document | None = None,
    period: tuple[int, int] | None = None,
    preview: bool = False,
    **values: Any,
) -> Bill:
    """Work out an invoice: lines, discounts, totals, and what the customer's balance does to it.

    Changes and writes nothing. `values` replace properties of the invoice.
    """
    now = sandbox.clock.now()
    invoice_id = "upcoming_" * preview + ids.new("invoice")
    start, end = period or (now, now)
    documents = [_line_document(invoice_id, line, preview) for line in lines]
    given = [discount for one in values.get("discounts", ()) if (discount := sandbox.store.get(one)) is not None]
    held = given or discounts.of_invoice(sandbox, customer, subscription)
    taken = discounts.apply(sandbox, documents, held)
    subtotal = sum(line["amount"] for line in documents)
    total = subtotal - sum(one["amount"] for one in taken)
    amount_due, ending_balance = customer_balance.settle(total, customer["balance"], currency)
    account = sandbox.store.all_of("account")[0]
    invoice = {
        "id": invoice_id,
        "object": "invoice",
        "created": now,
        "livemode": False,
        "account_country": account["country"],
        "account_name": account["business_profile"]["name"],
        "account_tax_ids": None,
        "amount_due": amount_due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": amount_due,
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
        "currency": currency,
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
        "description": subscription["description"] if subscription else None,
        "discounts": [discount["id"] for discount in held],
        "due_date": None,
        "effective_at": None,
        "ending_balance": ending_balance if preview else None,
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
        "parent": _parent(subscription),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": end,
        "period_start": start,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": customer["balance"],
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "test_clock": customer["test_clock"],
        "total": total,
        "total_discount_amounts": taken,
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": discounts.pretax_credits(taken),
        "total_taxes": [],
        "webhooks_delivered_at": None,
        **values,
    }
    return Bill(invoice, documents)


def _parent(subscription: Document | None) -> dict[str, Any] | None:
    if subscription is None:
        return None
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def _line_document(invoice_id: str, line: DraftLine, preview: bool) -> Document:
    proration_details = {"credited_items": line.credited}
    if line.item:
        details = {
            "invoice_item": line.invoice_item,
            "proration": line.proration,
            "proration_details": proration_details,
            "subscription": line.subscription,
            "subscription_item": line.item,
        }
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        }
    else:
        details = {
            "invoice_item": line.invoice_item,
            "proration": line.proration,
            "proration_details": proration_details,
            "subscription": line.subscription,
        }
        parent = {
            "invoice_item_details": details,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    pricing = None
    if line.price:
        pricing = {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": line.unit_amount_decimal or line.price["unit_amount_decimal"],
        }
    quantity_decimal = line.quantity_decimal
    if quantity_decimal is None and line.quantity is not None:
        quantity_decimal = str(line.quantity)
    return {
        "id": ids.new("line_item").replace("il_", "il_tmp_" if preview else "il_"),
        "object": "line_item",
        "amount": line.amount,
        "currency": line.currency,
        "description": line.description,
        "discount_amounts": [],
        "discountable": line.discountable,
        "discounts": list(line.discounts),
        "invoice": invoice_id,
        "livemode": False,
        "metadata": line.metadata,
        "parent": parent,
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [],
        "pricing": pricing,
        "quantity": line.quantity,
        "quantity_decimal": quantity_decimal,
        "subscription": line.subscription,
        "subtotal": line.amount,
        "taxes": [],
    }


def write(sandbox: Sandbox, bill: Bill) -> Document:
    """Make the bill a draft invoice: its lines are kept and the invoice items it took in are its own now."""
    invoice = sandbox.store.insert(bill.invoice)
    for line in bill.lines:
        sandbox.store.insert(line)
        taken = _invoice_item_of(line)
        if taken and (item := sandbox.store.get(taken)):
            sandbox.change(item, changes={"invoice": invoice["id"]})
    discounts.note_used(sandbox, invoice["total_discount_amounts"])
    return invoice


def _invoice_item_of(line: Document) -> str | None:
    details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
    return details["invoice_item"]


def pending_items(
    sandbox: Sandbox, customer: Document, subscription: Document | None, currency: str
) -> list[DraftLine]:
    """The invoice items that wait for the next invoice: the subscription's, and those of the customer alone."""
    mine = (None, subscription["id"] if subscription else None)
    found = sandbox.store.find("invoiceitem", {"customer": customer["id"], "invoice": None})
    return [
        line_of_item(sandbox, item)
        for item in found
        if item["currency"] == currency and subscription_of_item(item) in mine
    ]


def subscription_of_item(item: Document) -> str | None:
    return item["parent"]["subscription_details"]["subscription"] if item["parent"] else None


def line_of_item(sandbox: Sandbox, item: Document) -> DraftLine:
    details = item["parent"]["subscription_details"] if item["parent"] else {}
    pricing = item["pricing"] or {}
    price_id = pricing.get("price_details", {}).get("price")
    return DraftLine(
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        start=item["period"]["start"],
        end=item["period"]["end"],
        quantity=item["quantity"],
        price=sandbox.store.get(price_id) if price_id else None,
        unit_amount_decimal=pricing.get("unit_amount_decimal"),
        subscription=details.get("subscription"),
        item=details.get("subscription_item"),
        invoice_item=item["id"],
        proration=item["proration"],
        credited=item.get("_credited"),
        discountable=item["discountable"],
        discounts=item["discounts"],
        metadata=item["metadata"],
    )


def new_item(sandbox: Sandbox, customer: Document, line: DraftLine, item_id: str | None = None) -> Document:
    """Write an invoice item that waits for an invoice. Makes no event."""
    parent = None
    if line.subscription:
        details = {"subscription": line.subscription}
        if line.item:
            details["subscription_item"] = line.item
        parent = {"subscription_details": details, "type": "subscription_details"}
    pricing = None
    if line.price:
        pricing = {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": line.unit_amount_decimal or line.price["unit_amount_decimal"],
        }
    values = {
        "id": item_id or ids.new("invoiceitem"),
        "object": "invoiceitem",
        "amount": line.amount,
        "currency": line.currency,
        "customer": customer["id"],
        "customer_account": None,
        "date": sandbox.clock.now(),
        "description": line.description,
        "discountable": line.discountable,
        "discounts": line.discounts,
        "invoice": None,
        "livemode": False,
        "metadata": line.metadata,
        "net_amount": line.amount,
        "parent": parent,
        "period": {"end": line.end, "start": line.start},
        "pricing": pricing,
        "proration": line.proration,
        "quantity": 1 if line.quantity is None else line.quantity,
        "quantity_decimal": str(1 if line.quantity is None else line.quantity),
        "tax_rates": [],
        "test_clock": customer["test_clock"],
        "_credited": line.credited,
    }
    if line.proration and line.credited:
        credited = {"invoice_line_item_details": line.credited, "type": "invoice_line_items"}
        values["proration_details"] = {"credited_items": credited, "discount_amounts": []}
    return sandbox.store.insert(values)


def add_item(sandbox: Sandbox, invoice: Document, item: Document) -> None:
    """Put an invoice item on a draft."""
    before = sandbox.render(invoice)
    sandbox.store.insert(_line_document(invoice["id"], line_of_item(sandbox, item), False))
    sandbox.change(item, changes={"invoice": invoice["id"]})
    recompute(sandbox, invoice)
    sandbox.announce(invoice, "invoice.updated", before)


def remove_item(sandbox: Sandbox, invoice: Document, item: Document) -> None:
    """Take an invoice item from a draft."""
    before = sandbox.render(invoice)
    for line in sandbox.store.find("line_item", {"invoice": invoice["id"]}):
        if _invoice_item_of(line) == item["id"]:
            sandbox.store.save({"id": line["id"], "object": "line_item", "deleted": True})
    recompute(sandbox, invoice)
    sandbox.announce(invoice, "invoice.updated", before)


def recompute(sandbox: Sandbox, invoice: Document) -> Document:
    """A draft whose lines changed: its totals anew."""
    lines = sandbox.store.find("line_item", {"invoice": invoice["id"]})
    customer = sandbox.get("customer", invoice["customer"])
    held = [discount for one in invoice["discounts"] if (discount := sandbox.store.get(one))]
    taken = discounts.apply(sandbox, lines, held)
    for line in lines:
        sandbox.store.save(line)
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(one["amount"] for one in taken)
    amount_due, _ = customer_balance.settle(total, customer["balance"], invoice["currency"])
    return sandbox.change(
        invoice,
        changes={
            "amount_due": amount_due,
            "amount_remaining": amount_due,
            "starting_balance": customer["balance"],
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "total": total,
            "total_discount_amounts": taken,
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": discounts.pretax_credits(taken),
        },
    )


def replace_usage(sandbox: Sandbox, invoice: Document, fresh: list[DraftLine]) -> None:
    """A draft's lines of usage anew, because more of it was reported."""
    metered = {line.item for line in fresh}
    for line in sandbox.store.find("line_item", {"invoice": invoice["id"]}):
        details = line["parent"]["subscription_item_details"]
        if details and details["subscription_item"] in metered and not details["proration"]:
            sandbox.store.save({"id": line["id"], "object": "line_item", "deleted": True})
    for draft in fresh:
        sandbox.store.insert(_line_document(invoice["id"], draft, False))
    recompute(sandbox, invoice)


def finalize(sandbox: Sandbox, invoice: Document, *, apply_balance: bool = True) -> Document:
    """draft -> open: give it its number and its page, and take the customer's balance into account.

    One over nothing still has to be `mark_paid`. Makes no event but customer.updated for a changed balance.
    """
    customer = sandbox.get("customer", invoice["customer"])
    number = customer["next_invoice_sequence"]
    sandbox.change(customer, changes={"next_invoice_sequence": number + 1})
    starting, ending, amount_due = 0, 0, max(0, invoice["total"])
    if apply_balance:
        starting = customer["balance"]
        amount_due, ending = customer_balance.settle(invoice["total"], starting, invoice["currency"])
        customer_balance.note_invoice(sandbox, customer, invoice, ending)
    now = sandbox.clock.now()
    return sandbox.change(
        invoice,
        changes={
            "amount_due": amount_due,
            "amount_remaining": amount_due,
            "automatically_finalizes_at": None,
            "effective_at": now,
            "ending_balance": ending,
            "hosted_invoice_url": f"{sandbox.settings.public_url}/i/{invoice['id']}",
            "invoice_pdf": f"{sandbox.settings.public_url}/i/{invoice['id']}/pdf",
            "number": f"{customer['invoice_prefix']}-{number:04d}",
            "starting_balance": starting,
            "status": "open",
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
    reasons = {
        "subscription_create": "Subscription creation",
        "subscription_cycle": "Subscription update",
        "subscription_update": "Subscription update",
    }
    return reasons.get(invoice["billing_reason"], "Payment for Invoice")


def default_payment(sandbox: Sandbox, invoice: Document) -> Document | None:
    """The InvoicePayment through which the invoice is collected, None when nothing is owed."""
    found = sandbox.store.find("invoice_payment", {"invoice": invoice["id"]})
    return found[0] if found else None


def mark_paid(sandbox: Sandbox, invoice: Document, *, attempted: bool = True, out_of_band: bool = False) -> Document:
    """open -> paid. `out_of_band` tells that the money came another way than through Stripe."""
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
    if payment and out_of_band:
        cancel_payment(sandbox, payment, "void_invoice")
    elif payment:
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


def note_failed_attempt(
    sandbox: Sandbox,
    invoice: Document,
    attempt: payments.Attempt | None,
    next_attempt: int | None = None,
) -> None:
    """Count the failed attempt and tell it: the invoice stays open (sequences 2, 3 and 5).

    None for an attempt that found no card to charge. `next_attempt` is when it will be tried again.
    """
    before = sandbox.render(invoice)
    sandbox.change(
        invoice,
        changes={
            "attempt_count": invoice["attempt_count"] + 1,
            "attempted": True,
            "next_payment_attempt": next_attempt,
        },
    )
    if attempt and attempt.requires_action:
        sandbox.events.emit("payment_intent.requires_action", attempt.intent)
        sandbox.events.emit("invoice.payment_action_required", invoice)
    elif attempt:
        if attempt.charge:
            sandbox.events.emit("charge.failed", attempt.charge)
        sandbox.events.emit("payment_intent.payment_failed", attempt.intent)
    sandbox.events.emit("invoice.payment_failed", invoice)
    changed = ("attempt_count", "attempted", "next_payment_attempt")
    previous = {key: before[key] for key in changed if before[key] != invoice[key]}
    if before["attempted"] or next_attempt is not None:
        sandbox.events.emit("invoice.updated", invoice, previous)


def cancel_payment(sandbox: Sandbox, payment: Document, reason: str) -> None:
    """The intent that waited for an invoice's payment is no longer needed."""
    if payment["status"] != "open":
        return
    now = sandbox.clock.now()
    intent = sandbox.get("payment_intent", payment["payment"]["payment_intent"])
    sandbox.change(
        intent,
        changes={
            "status": "canceled",
            "canceled_at": now,
            "cancellation_reason": reason,
            "next_action": None,
        },
    )
    sandbox.change(
        payment,
        changes={"status": "canceled", "status_transitions": {"canceled_at": now, "paid_at": None}},
    )
    sandbox.events.emit("payment_intent.canceled", intent)


def void(sandbox: Sandbox, invoice: Document) -> None:
    """open or uncollectible -> void, and the intent that waited for its payment is canceled.

    What the invoice took from the customer's balance goes back there.
    """
    now = sandbox.clock.now()
    payment = default_payment(sandbox, invoice)
    if payment:
        cancel_payment(sandbox, payment, "void_invoice")
    customer_balance.take_back(sandbox, invoice)
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


def mark_uncollectible(sandbox: Sandbox, invoice: Document) -> None:
    """open -> uncollectible: it stays payable, but nobody expects it."""
    now = sandbox.clock.now()
    sandbox.change(
        invoice,
        changes={
            "status": "uncollectible",
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": {**invoice["status_transitions"], "marked_uncollectible_at": now},
        },
    )
    sandbox.events.emit("invoice.marked_uncollectible", invoice)


def delete(sandbox: Sandbox, invoice: Document) -> Document:
    """A draft that never was: its invoice items wait again for another invoice."""
    before = sandbox.render(invoice)
    for item in sandbox.store.find("invoiceitem", {"invoice": invoice["id"]}):
        sandbox.change(item, changes={"invoice": None})
    for line in sandbox.store.find("line_item", {"invoice": invoice["id"]}):
        sandbox.store.save({"id": line["id"], "object": "line_item", "deleted": True})
    sandbox.events.emit("invoice.deleted", before)
    return sandbox.store.save({"id": invoice["id"], "object": "invoice", "deleted": True})


def subscription_of(invoice: Document) -> str | None:
    parent: dict[str, Any] = invoice.get("parent") or {}
    return (parent.get("subscription_details") or {}).get("subscription")
