"""https://docs.stripe.com/api/payment_intents: made for invoices and by Checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, filters, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/payment_intents/{intent}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    return sandbox.get("payment_intent", intent, "intent", in_path=True)


@operation("get", "/v1/payment_intents", PAGING + " created customer")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer")
    return page(sandbox, "payment_intent", params, "/v1/payment_intents", equal)
