"""https://docs.stripe.com/api/customer_balance_transactions"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid, no_such
from ..lifecycle import customer_balance
from ..lists import PAGING, Page, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/customers/{customer}/balance_transactions"
_TYPE = "customer_balance_transaction"


@operation("post", _PATH, "amount currency description metadata")
def create(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Document:
    """Give credit (negative) or a debit by hand."""
    document = sandbox.get("customer", customer, in_path=True)
    currency = params["currency"].lower()
    if document["currency"] not in (None, currency):
        raise invalid(f"This customer's currency is {document['currency']}.", "currency")
    sandbox.change(document, changes={"currency": currency})
    return customer_balance.change(
        sandbox,
        document,
        params["amount"],
        "adjustment",
        description=params.get("description"),
        metadata=merged(params),
    )


@operation("get", _PATH, PAGING)
def list_all(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Page:
    sandbox.get("customer", customer, in_path=True)
    url = f"/v1/customers/{customer}/balance_transactions"
    return page(sandbox, _TYPE, params, url, {"customer": customer})


@operation("get", _PATH + "/{transaction}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], customer: str, transaction: str) -> Document:
    document = sandbox.get(_TYPE, transaction, "transaction", in_path=True)
    if document["customer"] != customer:
        raise no_such(_TYPE, transaction, "transaction", in_path=True)
    return document
