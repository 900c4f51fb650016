"""The hosted invoice page and its PDF: here an open invoice is paid, also one that waits for the bank (3D Secure)."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import authentication_page, hosted_pages
from .errors import StripeError
from .hosted_pages import Form, not_found, page, without_cvc
from .invoice_facts import facts
from .invoice_pdf import invoice_pdf
from .lifecycle import collection, invoicing
from .lifecycle import hosted_invoices as life
from .sandbox import Sandbox
from .store import Document

_UNKNOWN = "This invoice link is not valid."


def routes(sandbox: Sandbox) -> list[Route]:
    return [
        hosted_pages.route(sandbox, "GET", "/i/{invoice}", _show),
        hosted_pages.route(sandbox, "POST", "/i/{invoice}", _pay),
        hosted_pages.route(sandbox, "GET", "/i/{invoice}/pdf", _download),
    ]


def _invoice_at(sandbox: Sandbox, request: Request) -> Document | None:
    invoice = sandbox.store.get(request.path_params["invoice"])
    valid = invoice and invoice["object"] == "invoice" and not invoice.get("deleted") and invoice["status"] != "draft"
    return invoice if valid else None


def _invoice_page(
    sandbox: Sandbox,
    invoice: Document,
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    payable = invoice["status"] in invoicing.PAYABLE
    intent = life.intent_of(sandbox, invoice) if payable else None
    waits = intent if intent and intent["status"] == "requires_action" else None
    failed = (intent["last_payment_error"] or {}).get("message") if intent else None
    values = values or {}
    return page(
        "invoice.html",
        status,
        business=hosted_pages.business(sandbox),
        invoice=invoice,
        told=facts(sandbox, invoice),
        payable=payable,
        challenge=authentication_page.path_of(waits) if waits else None,
        failed=failed,
        card_on_file=collection.method_for(sandbox, invoice) if payable else None,
        values={field: values.get(field, "") for field in hosted_pages.CARD_FIELDS},
        keep=bool(values.get("keep")) if errors and "number" in values else True,
        another=bool(values),
        errors=errors or {},
    )


def _show(sandbox: Sandbox, request: Request, form: Form) -> Response:
    invoice = _invoice_at(sandbox, request)
    if invoice is None:
        return not_found(sandbox, _UNKNOWN)
    return _invoice_page(sandbox, invoice, hosted_pages.chosen_test_card(sandbox, request))


def _pay(sandbox: Sandbox, request: Request, form: Form) -> Response:
    invoice = _invoice_at(sandbox, request)
    if invoice is None:
        return not_found(sandbox, _UNKNOWN)
    here = f"/i/{invoice['id']}"
    if invoice["status"] not in invoicing.PAYABLE:  # sent twice: the first one counted
        return RedirectResponse(here, 303)
    if form is None:
        return _invoice_page(sandbox, invoice, errors={"form": "The form could not be read."}, status=400)
    on_file = form.get("with") == "card_on_file"
    card, errors = ({}, {}) if on_file else hosted_pages.typed_card(form)
    if errors:
        return _invoice_page(sandbox, invoice, without_cvc(form), errors, 400)
    try:
        with sandbox.transaction(), sandbox.in_time_of(invoice):
            invoice = sandbox.get("invoice", invoice["id"])
            if on_file:
                attempt = life.pay_with_card_on_file(sandbox, invoice)
            else:
                details = {"name": form["name"], "address": hosted_pages.typed_address(form)}
                attempt = life.pay_with_card(sandbox, invoice, card, details, keep=bool(form.get("keep")))
            if not attempt.paid and not attempt.requires_action:
                raise attempt.error(sandbox)
    except StripeError as error:
        field = "form" if on_file else hosted_pages.FIELD_OF_CODE.get(error.body.get("code", ""), "form")
        invoice = sandbox.get("invoice", invoice["id"])
        return _invoice_page(sandbox, invoice, without_cvc(form), {field: str(error)}, error.status)
    return RedirectResponse(authentication_page.path_of(attempt.intent) if attempt.requires_action else here, 303)


def _download(sandbox: Sandbox, request: Request, form: Form) -> Response:
    invoice = _invoice_at(sandbox, request)
    if invoice is None:
        return not_found(sandbox, _UNKNOWN)
    name = re.sub(r"[^A-Za-z0-9-]", "", invoice["number"])
    headers = {
        "Content-Disposition": f'attachment; filename="Invoice-{name}.pdf"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(invoice_pdf(sandbox, invoice), 200, headers, media_type="application/pdf")
