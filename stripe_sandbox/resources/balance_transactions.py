"""https://docs.stripe.com/api/balance_transactions"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, filters, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/balance_transactions/{id}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], transaction: str) -> Document:
    return sandbox.get("balance_transaction", transaction, in_path=True)


@operation("get", "/v1/balance_transactions", PAGING + " created currency source type")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "currency", "source", "type")
    return page(sandbox, "balance_transaction", params, "/v1/balance_transactions", equal)
