"""https://docs.stripe.com/api/refunds"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid, missing
from ..lifecycle import refunds as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("post", "/v1/refunds", "amount charge metadata payment_intent reason")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    """Of a charge, or of a payment intent's charge; without an amount all that is left."""
    if "charge" in params:
        charge = sandbox.get("charge", params["charge"], "charge")
        if params.get("payment_intent", charge["payment_intent"]) != charge["payment_intent"]:
            raise invalid("The charge and the payment_intent do not belong together.", "payment_intent")
    elif "payment_intent" in params:
        intent = sandbox.get("payment_intent", params["payment_intent"], "payment_intent")
        if not intent["latest_charge"]:
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                "payment_intent",
            )
        charge = sandbox.get("charge", intent["latest_charge"], "charge")
    else:
        raise missing("charge")
    return life.create(sandbox, charge, params.get("amount"), params.get("reason"), merged(params))


@operation("get", "/v1/refunds/{refund}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], refund: str) -> Document:
    return sandbox.get("refund", refund, "refund", in_path=True)


@operation("post", "/v1/refunds/{refund}", "metadata")
def update(sandbox: Sandbox, params: dict[str, Any], refund: str) -> Document:
    document = sandbox.get("refund", refund, "refund", in_path=True)
    return sandbox.change(document, "refund.updated", {"metadata": merged(params, document["metadata"])})


@operation("post", "/v1/refunds/{refund}/cancel")
def cancel(sandbox: Sandbox, params: dict[str, Any], refund: str) -> Document:
    """Only a refund that waits for the customer (`requires_action`) can be: one to a card never does."""
    document = sandbox.get("refund", refund, "refund", in_path=True)
    raise invalid(
        f"You cannot cancel this Refund because it has a status of {document['status']}. Only a Refund with "
        "the following status may be canceled: requires_action.",
        "refund",
    )


@operation("get", "/v1/refunds", PAGING + " charge created payment_intent")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "charge", "payment_intent")
    return page(sandbox, "refund", params, "/v1/refunds", equal)
