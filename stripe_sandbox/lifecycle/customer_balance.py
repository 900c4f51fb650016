"""A customer's credit balance. https://docs.stripe.com/billing/customer/balance

Negative: the customer has credit, which the next invoice uses up. Positive: the customer owes it, and the
next invoice asks for it too. Every change is a customer_balance_transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts: what is less waits on the balance.
_SMALLEST_CHARGE = {"gbp": 30, "cad": 50, "aud": 50, "chf": 50, "nzd": 50, "eur": 50, "usd": 50, "jpy": 50}


def settle(total: int, balance: int, currency: str) -> tuple[int, int]:
    """(amount due, balance afterwards) of an invoice over `total` for a customer with this balance."""
    owed = total + balance
    if owed <= 0 or owed < _SMALLEST_CHARGE.get(currency, 1):
        return 0, owed
    return owed, 0


def change(
    sandbox: Sandbox,
    customer: Document,
    amount: int,
    kind: str,
    *,
    invoice: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    credit_note: str | None = None,
    emit: bool = True,
) -> Document:
    """Add `amount` to the balance (negative: give credit) and record why: customer.updated."""
    ending = customer["balance"] + amount
    transaction = sandbox.new(
        "customer_balance_transaction",
        {
            "amount": amount,
            "checkout_session": None,
            "credit_note": credit_note,
            "currency": customer["currency"] or "usd",
            "customer": customer["id"],
            "customer_account": None,
            "description": description,
            "ending_balance": ending,
            "invoice": invoice,
            "metadata": metadata or {},
            "type": kind,
        },
    )
    sandbox.change(customer, "customer.updated" if emit else None, {"balance": ending})
    return transaction


def note_invoice(sandbox: Sandbox, customer: Document, invoice: Document, ending: int) -> None:
    """The invoice is finalized: what it took from the balance, or left on it."""
    amount = ending - customer["balance"]
    if amount:
        kind = "invoice_too_small" if ending > 0 else "applied_to_invoice"
        sandbox.change(customer, changes={"currency": customer["currency"] or invoice["currency"]})
        change(sandbox, customer, amount, kind, invoice=invoice["id"])


def take_back(sandbox: Sandbox, invoice: Document) -> None:
    """The invoice is void: undo `note_invoice`."""
    made: dict[str, Any] = {"customer": invoice["customer"], "invoice": invoice["id"]}
    amount = sum(one["amount"] for one in sandbox.store.find("customer_balance_transaction", made))
    if amount:
        customer = sandbox.get("customer", invoice["customer"])
        change(sandbox, customer, -amount, "unapplied_from_invoice", invoice=invoice["id"])
