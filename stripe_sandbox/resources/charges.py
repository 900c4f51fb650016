"""https://docs.stripe.com/api/charges"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, embedded, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/charges/{charge}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], charge: str) -> Document:
    return sandbox.get("charge", charge, "charge", in_path=True)


@operation("post", "/v1/charges/{charge}", "description metadata receipt_email shipping fraud_details")
def update(sandbox: Sandbox, params: dict[str, Any], charge: str) -> Document:
    document = sandbox.get("charge", charge, "charge", in_path=True)
    changes: dict[str, Any] = {"metadata": merged(params, document["metadata"])}
    for key in ("description", "receipt_email"):
        if key in params:
            changes[key] = params[key] or None
    if "shipping" in params:
        changes["shipping"] = params["shipping"]
    if "fraud_details" in params:
        report = params["fraud_details"]["user_report"]
        changes["fraud_details"] = {"user_report": report} if report else {}
    return sandbox.change(document, "charge.updated", changes)


@operation("get", "/v1/charges", PAGING + " created customer payment_intent")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "payment_intent")
    return page(sandbox, "charge", params, "/v1/charges", equal)


def refunds_of(sandbox: Sandbox, charge: Document) -> dict[str, Any]:
    found = sandbox.store.find("refund", {"charge": charge["id"]}, oldest_first=False)
    url = f"/v1/charges/{charge['id']}/refunds"
    return embedded([sandbox.render(refund) for refund in found[:10]], url, len(found) > 10)
