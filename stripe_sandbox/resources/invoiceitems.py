"""https://docs.stripe.com/api/invoiceitems: what waits for the customer's next invoice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing
from ..lifecycle import invoicing
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_ID = "/v1/invoiceitems/{invoiceitem}"
_HONOURED = "amount description discountable metadata period pricing.price quantity "


@operation("post", "/v1/invoiceitems", _HONOURED + "customer currency invoice subscription")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    subscription = None
    if "subscription" in params:
        subscription = sandbox.get("subscription", params["subscription"], "subscription")
    invoice = sandbox.get("invoice", params["invoice"], "invoice") if "invoice" in params else None
    if invoice:
        _check_draft(invoice)
    price, amount = _cost(sandbox, params)
    currency = (price or {}).get("currency") or params.get("currency") or customer["currency"]
    if currency is None:
        raise missing("currency")
    now = sandbox.clock.now()
    period = params.get("period") or {"start": now, "end": now}
    description = params.get("description")
    if description is None and price:
        description = invoicing.product_name(sandbox, price)
    line = invoicing.DraftLine(
        amount=amount,
        currency=currency.lower(),
        description=description,
        start=period["start"],
        end=period["end"],
        quantity=params.get("quantity", 1),
        price=price,
        subscription=subscription["id"] if subscription else None,
        discountable=params.get("discountable", amount > 0),
        metadata=merged(params),
    )
    item = invoicing.new_item(sandbox, customer, line)
    sandbox.events.emit("invoiceitem.created", item)
    if invoice:
        invoicing.add_item(sandbox, invoice, item)
    return item


def _cost(sandbox: Sandbox, params: dict[str, Any]) -> tuple[Document | None, int]:
    price_id = params.get("pricing", {}).get("price")
    if price_id and "amount" in params:
        raise exclusive("amount", "pricing[price]")
    if price_id:
        price = sandbox.get("price", price_id, "pricing[price]")
        if price["type"] != "one_time":
            raise invalid(
                "The price specified is set to `type=recurring` but this field only accepts prices with "
                "`type=one_time`.",
                "pricing[price]",
            )
        return price, invoicing.licensed_amount(price, params.get("quantity", 1))
    if "amount" not in params:
        raise missing("amount")
    if "quantity" in params:
        raise exclusive("amount", "quantity")
    return None, params["amount"]


def _check_draft(invoice: Document) -> None:
    if invoice["status"] != "draft":
        raise invalid(
            "The invoice item cannot be changed: its invoice is no longer a draft.",
            code="invoice_not_editable",
        )


@operation("get", _ID)
def retrieve(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    return sandbox.get("invoiceitem", item, in_path=True)


@operation("post", _ID, "amount description metadata discountable")
def update(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    """Only while it waits: on an invoice its line is what counts."""
    document = sandbox.get("invoiceitem", item, in_path=True)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    if set(params) - {"metadata"} and document["invoice"]:
        raise invalid("This invoice item is already on an invoice.", code="invoice_not_editable")
    if "amount" in params:
        changes |= {"amount": params["amount"], "net_amount": params["amount"], "pricing": None}
    if "description" in params:
        changes["description"] = params["description"] or None
    if "discountable" in params:
        changes["discountable"] = params["discountable"]
    return sandbox.change(document, changes=changes)


@operation("delete", _ID)
def delete(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    document = sandbox.get("invoiceitem", item, in_path=True)
    if document["invoice"]:
        invoice = sandbox.get("invoice", document["invoice"])
        _check_draft(invoice)
        invoicing.remove_item(sandbox, invoice, document)
    sandbox.events.emit("invoiceitem.deleted", document)
    return sandbox.store.save({"id": document["id"], "object": "invoiceitem", "deleted": True})


@operation("get", "/v1/invoiceitems", PAGING + " created customer invoice pending")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "invoice")
    if params.get("pending"):
        equal["invoice"] = None
    return page(sandbox, "invoiceitem", params, "/v1/invoiceitems", equal)
