"""https://docs.stripe.com/api/invoices"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing, not_emulated
from ..lifecycle import collection, discounts, invoicing, payment_methods, payments, previews, subscription_changes
from ..lifecycle import subscriptions as subscription_life
from ..lifecycle.invoicing import Bill
from ..lists import PAGING, Page, embedded, filters, page, slice_of
from ..metadata import merged
from ..operations import operation
from ..store import Document
from . import subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_ID = "/v1/invoices/{invoice}"


@operation(
    "post",
    "/v1/invoices",
    "customer subscription description metadata auto_advance footer currency default_payment_method "
    "pending_invoice_items_behavior collection_method=charge_automatically discounts "
    "automatic_tax.enabled=false",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    """A draft, with the pending invoice items where they are asked for."""
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    subscription = None
    if "subscription" in params:
        subscription = sandbox.get("subscription", params["subscription"], "subscription")
        if subscription["customer"] != customer["id"]:
            raise invalid(f"Customer {customer['id']} does not have that subscription.", "subscription")
    currency = params.get("currency") or (subscription or customer)["currency"] or "usd"
    # Stripe: an invoice of a subscription takes in what is pending, others start empty unless asked.
    takes = params.get("pending_invoice_items_behavior", "include" if subscription else "exclude")
    lines = []
    if takes == "include":
        lines = invoicing.pending_items(sandbox, customer, subscription, currency.lower())
        if subscription and not lines:
            raise invalid("Nothing to invoice for subscription", code="invoice_no_subscription_line_items")
    values: dict[str, Any] = {"auto_advance": params.get("auto_advance", False), "metadata": merged(params)}
    for key in ("description", "footer"):
        if key in params:
            values[key] = params[key] or None
    if params.get("default_payment_method"):
        values["default_payment_method"] = payment_methods.attached_to(
            sandbox, params["default_payment_method"], customer, "default_payment_method"
        )["id"]
    if params.get("discounts"):
        values["discounts"] = discounts.from_params(
            sandbox, params["discounts"], "discounts", customer=customer, currency=currency.lower()
        )
    bill = invoicing.compose(
        sandbox,
        customer,
        lines,
        billing_reason="subscription_update" if subscription else "manual",
        currency=currency.lower(),
        subscription=subscription,
        **values,
    )
    invoice = invoicing.write(sandbox, bill)
    if invoice["auto_advance"]:
        _advance_later(sandbox, invoice)
    sandbox.events.emit("invoice.created", invoice)
    return invoice


def _advance_later(sandbox: Sandbox, invoice: Document) -> None:
    at = sandbox.clock.now() + sandbox.settings.finalize_after_seconds
    sandbox.change(invoice, changes={"automatically_finalizes_at": at})
    sandbox.due_work.add(at, "invoice.finalizes", invoice["id"])


@operation(
    "post",
    "/v1/invoices/create_preview",
    "customer subscription currency discounts.coupon discounts.promotion_code discounts.discount preview_mode=next "
    "subscription_details.items.id "
    "subscription_details.items.price subscription_details.items.quantity subscription_details.items.metadata "
    "subscription_details.items.deleted subscription_details.proration_behavior "
    "subscription_details.proration_date subscription_details.billing_cycle_anchor "
    "subscription_details.cancel_at subscription_details.cancel_at_period_end "
    "subscription_details.cancel_now subscription_details.trial_end "
    "subscription_details.billing_mode.type=flexible "
    "schedule schedule_details.phases.items.price schedule_details.phases.items.quantity "
    "schedule_details.phases.items.metadata schedule_details.phases.start_date schedule_details.phases.end_date "
    "schedule_details.phases.duration schedule_details.phases.metadata "
    "schedule_details.phases.proration_behavior schedule_details.end_behavior "
    "schedule_details.proration_behavior schedule_details.billing_mode.type=flexible",
)
def create_preview(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    """What the next invoice will be, or the one that a change would make: see lifecycle/previews.py."""
    details = params.get("subscription_details") or {}
    if "schedule" in params or "schedule_details" in params:
        if "discounts" in params:
            raise not_emulated("A preview of a schedule with other discounts", "discounts")
        return _preview_schedule(sandbox, params).shown()
    if "subscription" in params:
        subscription = sandbox.get("subscription", params["subscription"], "subscription")
        if params.get("customer", subscription["customer"]) != subscription["customer"]:
            raise invalid("The subscription does not belong to that customer.", "subscription")
        return _preview_subscription(sandbox, subscription, params).shown()
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    if details.get("items"):
        lines = subscriptions.lines_of(sandbox, details["items"])
        values = subscriptions.beginning(sandbox, lines, details)
        if isinstance(details.get("cancel_at"), int):
            values["cancel_at"] = details["cancel_at"]
        held = discounts.preview(
            sandbox,
            params.get("discounts"),
            "discounts",
            customer=customer,
            currency=lines[0].price["currency"],
            subtotal=subscription_life.total_of(lines),
        )
        return previews.of_new_subscription(sandbox, customer, lines, values, held).shown()
    held = sandbox.store.find("subscription", {"customer": customer["id"]}, oldest_first=False)
    running = [one for one in held if one["status"] not in subscription_life.ENDED]
    if len(running) > 1:
        raise not_emulated("A preview of a customer with several subscriptions (pass subscription)")
    if running:
        return _preview_subscription(sandbox, running[0], params).shown()
    if "discounts" in params:
        raise not_emulated("A preview of invoice items with discounts", "discounts")
    return previews.of_pending_items(sandbox, customer).shown()


def _preview_subscription(sandbox: Sandbox, subscription: Document, params: dict[str, Any]) -> Bill:
    held = None
    if "discounts" in params:
        held = discounts.preview(
            sandbox,
            params["discounts"],
            "discounts",
            customer=sandbox.get("customer", subscription["customer"]),
            currency=subscription["currency"],
            existing=subscription["discounts"],
        )
    return previews.of_subscription(sandbox, subscription, params.get("subscription_details") or {}, held)


def _preview_schedule(sandbox: Sandbox, params: dict[str, Any]) -> Bill:
    for name in ("subscription", "subscription_details"):
        if name in params:
            raise exclusive(name, "schedule" if "schedule" in params else "schedule_details")
    details = params.get("schedule_details") or {}
    if "schedule" not in params:
        raise not_emulated("A preview of a schedule that is not there yet (pass schedule)", "schedule_details")
    schedule = sandbox.get("subscription_schedule", params["schedule"], "schedule")
    return previews.of_schedule(sandbox, schedule, details)


@operation("get", _ID)
def retrieve(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    return sandbox.get("invoice", invoice, in_path=True)


@operation(
    "post",
    _ID,
    "metadata description footer auto_advance default_payment_method discounts",
)
def update(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    """Everything of a draft, only metadata and the card of one that is finalized."""
    document = sandbox.get("invoice", invoice, in_path=True)
    before = sandbox.render(document)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    of_draft = [name for name in ("description", "footer", "discounts") if name in params]
    if of_draft and document["status"] != "draft":
        raise invalid("Finalized invoices can't be updated in this way", of_draft[0], code="invoice_not_editable")
    for key in ("description", "footer"):
        if key in params:
            changes[key] = params[key] or None
    customer = sandbox.get("customer", document["customer"])
    if "default_payment_method" in params:
        method_id = params["default_payment_method"] or None
        if method_id:
            method = payment_methods.attached_to(sandbox, method_id, customer, "default_payment_method")
            method_id = method["id"]
        changes["default_payment_method"] = method_id
    if "auto_advance" in params:
        changes["auto_advance"] = params["auto_advance"]
    if "discounts" in params:
        changes["discounts"] = discounts.from_params(
            sandbox,
            params["discounts"],
            "discounts",
            customer=customer,
            currency=document["currency"],
            existing=document["discounts"],
            invoice=document["id"],
        )
    sandbox.change(document, changes=changes)
    if "discounts" in params:
        invoicing.recompute(sandbox, document)
    if params.get("auto_advance") and document["status"] == "draft":
        _advance_later(sandbox, document)
    sandbox.announce(document, "invoice.updated", before)
    return document


@operation("delete", _ID)
def delete(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    document = sandbox.get("invoice", invoice, in_path=True)
    if document["status"] != "draft" or document["parent"]:
        raise invalid("You can only delete draft invoices that are not of a subscription.", code="invoice_not_editable")
    return invoicing.delete(sandbox, document)


@operation("post", _ID + "/finalize", "auto_advance")
def finalize(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    """draft -> open; with auto_advance it is collected a while later, one over nothing is paid at once."""
    document = sandbox.get("invoice", invoice, in_path=True)
    if document["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    if "auto_advance" in params:
        sandbox.change(document, changes={"auto_advance": params["auto_advance"]})
    invoicing.finalize(sandbox, document)
    sandbox.events.emit("invoice.finalized", document)
    if document["amount_due"] == 0:
        collection.pay_nothing(sandbox, document)
        return document
    collection.intent_of(sandbox, document)
    if document["auto_advance"]:
        at = sandbox.clock.now() + sandbox.settings.finalize_after_seconds
        sandbox.change(document, changes={"next_payment_attempt": at})
        sandbox.due_work.add(at, "invoice.retry", document["id"])
    return document


@operation("post", _ID + "/pay", "off_session payment_method paid_out_of_band")
def pay(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    """Raises 402 when the payment fails; the attempt stays on record."""
    document = sandbox.get("invoice", invoice, in_path=True)
    if params.get("paid_out_of_band") and "payment_method" in params:
        raise exclusive("paid_out_of_band", "payment_method")
    if document["status"] == "paid":
        raise invalid("Invoice is already paid")
    if document["status"] == "draft":
        invoicing.finalize(sandbox, document)
        sandbox.events.emit("invoice.finalized", document)
    if document["status"] not in invoicing.PAYABLE:
        raise invalid(f"This invoice cannot be paid: its status is {document['status']}.", code="invoice_not_editable")
    if params.get("paid_out_of_band") or document["amount_remaining"] == 0:
        collection.pay_nothing(sandbox, document, out_of_band=bool(params.get("paid_out_of_band")))
        return document
    customer = sandbox.get("customer", document["customer"])
    method: Document | None
    if "payment_method" in params:
        method = payment_methods.attached_to(sandbox, params["payment_method"], customer, "payment_method")
    else:
        method = collection.method_for(sandbox, document)
        if method is None:
            raise collection.no_payment_method()
    attempt = collection.pay_invoice(sandbox, document, method)
    if not attempt.paid:
        raise attempt.error(sandbox, waiting=payments.INVOICE_NEEDS_ACTION)
    return document


@operation("post", _ID + "/void")
def void(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    document = sandbox.get("invoice", invoice, in_path=True)
    _check_status(document, invoicing.PAYABLE, "void")
    invoicing.void(sandbox, document)
    subscription_changes.withdraw_pending_update_of(sandbox, document)
    return document


@operation("post", _ID + "/mark_uncollectible")
def mark_uncollectible(sandbox: Sandbox, params: dict[str, Any], invoice: str) -> Document:
    document = sandbox.get("invoice", invoice, in_path=True)
    _check_status(document, ("open",), "mark as uncollectible")
    invoicing.mark_uncollectible(sandbox, document)
    return document


def _check_status(document: Document, allowed: tuple[str, ...], verb: str) -> None:
    if document["status"] not in allowed:
        raise invalid(
            f"You can only {verb} an invoice that is {' or '.join(allowed)}. This one is {document['status']}.",
            code="status_transition_invalid",
        )


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
    lines = sandbox.store.find("line_item", {"invoice": document["id"]}, limit=invoicing.EMBEDDED_LINES + 1)
    shown["lines"] = embedded(
        [sandbox.render(line) for line in lines[: invoicing.EMBEDDED_LINES]],
        f"/v1/invoices/{document['id']}/lines",
        len(lines) > invoicing.EMBEDDED_LINES,
    )


def payments_of(sandbox: Sandbox, invoice: Document) -> dict[str, Any]:
    payments = sandbox.store.find("invoice_payment", {"invoice": invoice["id"]}, oldest_first=False)
    return embedded([sandbox.render(payment) for payment in payments], f"/v1/invoice_payments?invoice={invoice['id']}")


def confirmation_secret_of(sandbox: Sandbox, invoice: Document) -> dict[str, Any] | None:
    """The secret with which a browser would confirm the payment; None when nothing waits for payment."""
    payment = invoicing.default_payment(sandbox, invoice)
    if payment is None:
        return None
    intent = sandbox.get("payment_intent", payment["payment"]["payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}
