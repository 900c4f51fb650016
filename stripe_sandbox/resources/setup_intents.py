"""https://docs.stripe.com/api/setup_intents: made by Checkout to save a card when nothing is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, filters, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/setup_intents/{intent}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], intent: str) -> Document:
    return sandbox.get("setup_intent", intent, "intent", in_path=True)


@operation("get", "/v1/setup_intents", PAGING + " created customer payment_method")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "payment_method")
    return page(sandbox, "setup_intent", params, "/v1/setup_intents", equal)
