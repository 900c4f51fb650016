"""A cardholder asks the bank for the money back. https://docs.stripe.com/disputes (sequence 12)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cards import BY_NUMBER
from ..due_work import due
from ..errors import invalid
from ..store import Document
from .payments import new_balance_transaction

if TYPE_CHECKING:
    from ..sandbox import Sandbox

FEE = 1500  # https://stripe.com/pricing: 15 dollars for each dispute, kept also when it is won
_DAYS_TO_RESPOND = 9
_NETWORK_REASONS = {"fraudulent": "10.4", "product_not_received": "13.1"}
# https://docs.stripe.com/testing#evidence: the text that decides the test bank
_DECIDED_BY = {"winning_evidence": "dispute.is_won", "losing_evidence": "dispute.is_lost"}
CLOSED = ("won", "lost")

EVIDENCE = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
]


@due("charge.is_disputed")
def _open(sandbox: Sandbox, charge_id: str) -> None:
    """The holder of a dispute card disputes what was charged: the money is taken back at once."""
    charge = sandbox.store.get(charge_id)
    if charge is None or not charge["captured"] or charge["disputed"] or charge["refunded"]:
        return
    method = sandbox.store.get(charge["payment_method"]) or {}
    card = BY_NUMBER[method["_number"]]
    reason = card.dispute or "general"
    amount = charge["amount_captured"] - charge["amount_refunded"]
    now = sandbox.clock.now()
    customer = sandbox.store.get(charge["customer"]) if charge["customer"] else None
    dispute = sandbox.new(
        "dispute",
        {
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {
                **dict.fromkeys(EVIDENCE),
                "customer_email_address": (customer or {}).get("email"),
                "customer_name": charge["billing_details"]["name"],
                "enhanced_evidence": {},
            },
            "evidence_details": {
                "due_by": now + _DAYS_TO_RESPOND * 86400,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "card": {
                    "brand": card.brand,
                    "case_type": "chargeback",
                    "network": card.brand,
                    "network_reason_code": _NETWORK_REASONS.get(reason),
                },
                "type": "card",
            },
            "reason": reason,
            "status": "needs_response",
        },
    )
    sandbox.change(charge, changes={"disputed": True})
    sandbox.events.emit("charge.dispute.created", dispute)
    _move_money(sandbox, dispute, -amount, FEE, "dispute")
    sandbox.events.emit("charge.dispute.funds_withdrawn", dispute)


def _move_money(sandbox: Sandbox, dispute: Document, amount: int, fee: int, category: str) -> None:
    transaction = new_balance_transaction(sandbox, dispute, "adjustment", amount, fee, category)
    shown = [*dispute["balance_transactions"], sandbox.render(transaction)]
    sandbox.change(dispute, changes={"balance_transactions": shown})


def update_evidence(
    sandbox: Sandbox, dispute: Document, evidence: dict[str, Any], submit: bool, metadata: dict[str, str]
) -> Document:
    """Keep what the merchant says, and send it to the bank unless `submit` is False."""
    changes: dict[str, Any] = {"metadata": metadata}
    if evidence or submit:
        if dispute["status"] in CLOSED:
            raise invalid("This dispute is already closed.", "evidence")
        if dispute["status"] == "under_review":
            raise invalid("Evidence has already been submitted for this dispute.", "evidence")
        given = {key: value or None for key, value in evidence.items()}
        changes["evidence"] = {**dispute["evidence"], **given}
        details = {**dispute["evidence_details"], "has_evidence": True}
        if submit:
            details["submission_count"] += 1
            changes["status"] = "under_review"
        changes["evidence_details"] = details
    sandbox.change(dispute, "charge.dispute.updated", changes)
    decided = _DECIDED_BY.get(dispute["evidence"]["uncategorized_text"] or "")
    if submit and decided:
        later = sandbox.clock.now() + sandbox.settings.follow_up_seconds
        sandbox.due_work.add(later, decided, dispute["id"])
    return dispute


def close(sandbox: Sandbox, dispute: Document, status: str) -> Document:
    """The bank decides: `won` brings the money back, `lost` does not. Raises 400 when it has decided before."""
    if dispute["status"] in CLOSED:
        raise invalid("This dispute is already closed.", "dispute")
    won = status == "won"
    sandbox.change(dispute, "charge.dispute.updated", {"status": status, "is_charge_refundable": won})
    if won:
        _move_money(sandbox, dispute, dispute["amount"], 0, "dispute_reversal")
    sandbox.events.emit("charge.dispute.closed", dispute)
    if won:
        sandbox.events.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


@due("dispute.is_won")
def _win(sandbox: Sandbox, dispute_id: str) -> None:
    _decide(sandbox, dispute_id, "won")


@due("dispute.is_lost")
def _lose(sandbox: Sandbox, dispute_id: str) -> None:
    _decide(sandbox, dispute_id, "lost")


def _decide(sandbox: Sandbox, dispute_id: str, status: str) -> None:
    dispute = sandbox.store.get(dispute_id)
    if dispute and dispute["status"] not in CLOSED:
        close(sandbox, dispute, status)
