"""Giving money back. https://docs.stripe.com/refunds (sequence 12)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ids
from ..cards import BY_NUMBER
from ..due_work import due
from ..errors import invalid
from ..store import Document
from .payments import new_balance_transaction

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# How long the bank takes: then it has a reference for the refund, or has sent the money back.
SETTLES_AFTER_SECONDS = 60


def create(
    sandbox: Sandbox, charge: Document, amount: int | None, reason: str | None, metadata: dict[str, str]
) -> Document:
    """Give back a charge, wholly or in part. Raises 400 when less is left to give."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} has not succeeded and cannot be refunded.", "charge")
    if not charge["captured"]:
        raise invalid(
            f"Charge {charge['id']} is not captured: cancel its PaymentIntent instead.",
            "charge",
            "charge_not_refundable",
        )
    disputes = sandbox.store.find("dispute", {"charge": charge["id"]})
    if any(dispute["status"] != "won" for dispute in disputes):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = left if amount is None else amount
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}).",
            "amount",
            "amount_too_large",
        )
    method = sandbox.store.get(charge["payment_method"])
    card = BY_NUMBER[method["_number"]] if method else None
    pending = card is not None and card.refund == "pending"
    refund = sandbox.new(
        "refund",
        {
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "currency": charge["currency"],
            "customer": charge["customer"],
            "customer_account": None,
            "destination_details": {
                "type": "card",
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
            },
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending" if pending else "succeeded",
            "transfer_reversal": None,
        },
    )
    transaction = new_balance_transaction(sandbox, refund, "refund", -amount)
    sandbox.change(refund, changes={"balance_transaction": transaction["id"]})
    sandbox.events.emit("refund.created", refund)
    _set_refunded(sandbox, charge, charge["amount_refunded"] + amount, "charge.refunded")
    kind = "refund.fails" if card is not None and card.refund == "fails" else "refund.settles"
    sandbox.due_work.add(sandbox.clock.now() + SETTLES_AFTER_SECONDS, kind, refund["id"])
    return refund


def _set_refunded(sandbox: Sandbox, charge: Document, refunded: int, event: str) -> None:
    sandbox.change(charge, event, {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]})


@due("refund.settles")
def _settle(sandbox: Sandbox, refund_id: str) -> None:
    """The bank has booked it: a pending refund succeeds, and every refund gets the bank's reference."""
    refund = sandbox.store.get(refund_id)
    if refund is None or refund["status"] not in ("pending", "succeeded"):
        return
    details = refund["destination_details"]
    card = {
        **details["card"],
        "reference": "".join(c for c in ids.token(200) if c.isdigit())[:23].rjust(23, "7"),
        "reference_status": "available",
    }
    _change(
        sandbox,
        refund,
        {"status": "succeeded", "destination_details": {**details, "card": card}},
        failed=False,
    )


@due("refund.fails")
def _fail(sandbox: Sandbox, refund_id: str) -> None:
    """The bank sends the money back: it is the merchant's again, and the charge counts as not refunded."""
    refund = sandbox.store.get(refund_id)
    if refund is None or refund["status"] not in ("pending", "succeeded"):
        return
    transaction = new_balance_transaction(sandbox, refund, "refund_failure", refund["amount"])
    changes = {
        "status": "failed",
        "failure_reason": "unknown",
        "failure_balance_transaction": transaction["id"],
    }
    _change(sandbox, refund, changes, failed=True)
    charge = sandbox.get("charge", refund["charge"])
    _set_refunded(sandbox, charge, charge["amount_refunded"] - refund["amount"], "charge.updated")


def _change(sandbox: Sandbox, refund: Document, changes: dict[str, object], *, failed: bool) -> None:
    before = {key: refund.get(key) for key in changes}
    sandbox.change(refund, changes=dict(changes))
    sandbox.events.emit("refund.updated", refund, before)
    if failed:
        sandbox.events.emit("refund.failed", refund)
    sandbox.events.emit("charge.refund.updated", refund, before)


def release(sandbox: Sandbox, charge: Document) -> None:
    """Give back what was authorized and will not be captured: nothing moves in the balance."""
    sandbox.change(charge, "charge.refunded", {"amount_refunded": charge["amount"], "refunded": True})
