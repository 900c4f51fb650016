"""https://docs.stripe.com/api/invoice-payment"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, filters, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/invoice_payments/{invoice_payment}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], payment: str) -> Document:
    return sandbox.get("invoice_payment", payment, "invoice_payment", in_path=True)


@operation("get", "/v1/invoice_payments", PAGING + " created invoice payment.type payment.payment_intent status")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "invoice", "status")
    for key, value in params.get("payment", {}).items():
        equal[f"payment.{key}"] = value
    return page(sandbox, "invoice_payment", params, "/v1/invoice_payments", equal)
