"""https://docs.stripe.com/api/invoices (those of subscriptions)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..lifecycle import invoicing, payment_methods
from ..lifecycle import subscriptions as subscription_life
from ..lists import PAGING, Page, embedded, filters, page, slice_of
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_EMBEDDED_LINES = 10  # Stripe embeds the first ten; the rest is at /lines


@operation("get", "/v1/invoices/{invoice}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    return sandbox.get("invoice", invoice, in_path=True)


@operation("post", "/v1/invoices/{invoice}", "metadata")
def update(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    document = sandbox.get("invoice", invoice, in_path=True)
    return sandbox.change(document, "invoice.updated", {"metadata": merged(params, document["metadata"])})


@operation("post", "/v1/invoices/{invoice}/pay", "off_session payment_method")
def pay(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    """Raises 402 when the payment fails; the attempt stays on record."""
    document = sandbox.get("invoice", invoice, in_path=True)
    if document["status"] == "paid":
        raise invalid("Invoice is already paid")
    if document["status"] != "open":
        raise invalid(
            f"This invoice cannot be paid: its status is {document['status']}.", code="invoice_not_editable"
        )
    customer = sandbox.get("customer", document["customer"])
    method: Document | None
    if "payment_method" in params:
        method = payment_methods.attached_to(sandbox, params["payment_method"], customer, "payment_method")
    else:
        subscription_id = invoicing.subscription_of(document)
        subscription = sandbox.store.get(subscription_id) if subscription_id else None
        method = subscription_life.chosen_payment_method(sandbox, customer, subscription)
        if method is None:
            raise subscription_life.no_payment_method()
    attempt = subscription_life.pay_invoice(sandbox, document, method)
    if not attempt.paid:
        raise attempt.error(sandbox)
    return document


@operation("get", "/v1/invoices", PAGING + " collection_method created customer status subscription")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "collection_method", "customer", "status")
    if "subscription" in params:
        equal["parent.subscription_details.subscription"] = params["subscription"]
    return page(sandbox, "invoice", params, "/v1/invoices", equal)


@operation("get", "/v1/invoices/{invoice}/lines", PAGING)
def list_lines(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Page:
    sandbox.get("invoice", invoice, in_path=True)
    lines = sandbox.store.find("line_item", {"invoice": invoice})
    return slice_of(lines, params, f"/v1/invoices/{invoice}/lines", "line_item")


def compose(sandbox: Sandbox, document: Document, shown: dict[str, Any]) -> None:
    lines = sandbox.store.find("line_item", {"invoice": document["id"]}, limit=_EMBEDDED_LINES + 1)
    shown["lines"] = embedded(
        [sandbox.render(line) for line in lines[:_EMBEDDED_LINES]],
        f"/v1/invoices/{document['id']}/lines",
        len(lines) > _EMBEDDED_LINES,
    )


def payments_of(sandbox: Sandbox, invoice: Document) -> dict[str, Any]:
    payments = sandbox.store.find("invoice_payment", {"invoice": invoice["id"]}, oldest_first=False)
    return embedded(
        [sandbox.render(payment) for payment in payments], f"/v1/invoice_payments?invoice={invoice['id']}"
    )


def confirmation_secret_of(sandbox: Sandbox, invoice: Document) -> dict[str, Any] | None:
    """The secret with which a browser would confirm the payment; None when nothing waits for payment."""
    payment = invoicing.default_payment(sandbox, invoice)
    if payment is None:
        return None
    intent = sandbox.get("payment_intent", payment["payment"]["payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}
