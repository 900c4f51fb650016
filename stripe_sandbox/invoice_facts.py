"""What an invoice tells its reader, in words: the same on its hosted page and in its PDF."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import hosted_pages
from .billing_cycle import money
from .lifecycle import discounts
from .sandbox import Sandbox
from .store import Document

_STATUS = {
    "paid": "Paid",
    "open": "Open: not paid yet",
    "void": "Void: not to be paid",
    "uncollectible": "Uncollectible: not paid",
}


@dataclass
class Facts:
    number: str
    status: str  # "Paid on 3 March 2026"
    business: str
    issued_at: int
    customer: list[str]  # name, address and email, a line each
    lines: list[dict[str, Any]]  # {description, period, quantity, each, amount}, the last three as text
    totals: list[tuple[str, str]]  # from the subtotal down to what is still due
    notes: list[str]


def facts(sandbox: Sandbox, invoice: Document) -> Facts:
    """The facts of a finalized invoice."""

    def amount(cents: int) -> str:
        return money(cents, invoice["currency"])

    status = _STATUS[invoice["status"]]
    if invoice["status"] == "paid":
        status = f"Paid on {hosted_pages.day(invoice['status_transitions']['paid_at'])}"
    totals = [("Subtotal", amount(invoice["subtotal"]))]
    for taken in invoice["total_discount_amounts"]:
        totals.append((_discount(sandbox, taken["discount"]), amount(-taken["amount"])))
    totals.append(("Total", amount(invoice["total"])))
    from_balance = invoice["amount_due"] - invoice["total"]
    if from_balance:
        totals.append(("To your balance" if from_balance > 0 else "From your balance", amount(from_balance)))
    totals.append(("Amount paid", amount(invoice["amount_paid"])))
    totals.append(("Amount due", amount(invoice["amount_remaining"])))
    return Facts(
        number=invoice["number"],
        status=status,
        business=hosted_pages.business(sandbox),
        issued_at=invoice["effective_at"] or invoice["created"],
        customer=_customer(invoice),
        lines=[_line(line) for line in sandbox.store.find("line_item", {"invoice": invoice["id"]})],
        totals=totals,
        notes=[note for note in (invoice["description"], invoice["footer"]) if note],
    )


def _discount(sandbox: Sandbox, discount_id: str) -> str:
    discount = sandbox.store.get(discount_id) or {}
    coupon = sandbox.store.get((discount.get("source") or {}).get("coupon") or "")
    return f"Discount: {coupon['name'] or discounts.description(coupon)}" if coupon else "Discount"


def _customer(invoice: Document) -> list[str]:
    address = invoice["customer_address"] or {}
    place = " ".join(address[part] for part in ("postal_code", "city", "state") if address.get(part))
    country = address.get("country")
    lines = [
        invoice["customer_name"],
        address.get("line1"),
        address.get("line2"),
        place,
        hosted_pages.COUNTRIES.get(country, country) if country else None,
        invoice["customer_email"],
    ]
    return [line for line in lines if line] or [invoice["customer"]]


def _line(line: Document) -> dict[str, Any]:
    each = (line["pricing"] or {}).get("unit_amount_decimal")
    start, end = hosted_pages.day(line["period"]["start"]), hosted_pages.day(line["period"]["end"])
    proration = (line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"])["proration"]
    return {
        "description": line["description"] or "",
        "period": start if start == end else f"{start} – {end}",
        "quantity": line["quantity_decimal"] or "",
        "each": _each(each, line["currency"]) if each is not None and not proration else "",
        "amount": money(line["amount"], line["currency"]),
    }


def _each(unit_amount_decimal: str, currency: str) -> str:
    """$29.00; a fraction of a cent as it is: $0.0015"""
    cents = Decimal(unit_amount_decimal)
    if cents == cents.to_integral_value():
        return money(int(cents), currency)
    whole = money(0, currency)
    return f"{whole.replace('0.00', '')}{(cents / 100 if '.' in whole else cents).normalize():f}"
