"""What a customer was billed, as Stripe keeps it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from billing import stripe_gateway
from billing.errors import InvoiceNotFound
from billing.metered import words_of
from billing.models import BillingAccount

MAX_PAGE = 100


@dataclass(frozen=True)
class Invoice:
    """Cents (USD). status: Stripe's word (draft, open, paid, uncollectible, void). The links are Stripe's and need no
    log-in; empty while it is a draft. refunded_cents: what was given back of it; is_disputed: the bank holds it."""

    id: str
    number: str
    created_at: datetime
    status: str
    description: str
    total_cents: int
    paid_cents: int
    due_cents: int
    refunded_cents: int
    is_disputed: bool
    hosted_url: str
    pdf_url: str


@dataclass(frozen=True)
class InvoicePage:
    """next_cursor: goes on with the older ones. previous_cursor: for `before`, back to the newer ones."""

    invoices: list[Invoice]
    next_cursor: str | None
    previous_cursor: str | None = None


def list_invoices(
    user: AbstractBaseUser, *, limit: int = 20, cursor: str = "", before: str = "", over_nothing: bool = True
) -> InvoicePage:
    """Newest first: the newest, those older than `cursor`, or those just before `before` (one of the two at most).

    Drafts are not yet bills and stay out; so do, unless `over_nothing`, those that asked for nothing at all (a free
    plan's, a trial's, a gift's), but not what a discount made $0. Raises InvoiceNotFound for a foreign cursor.
    """
    account = BillingAccount.objects.filter(user_id=user.pk, stripe_customer_id__isnull=False).first()
    if account is None:
        if cursor or before:
            raise InvoiceNotFound()
        return InvoicePage([], None)
    assert account.stripe_customer_id
    try:
        page = stripe_gateway.list_invoices(
            account.stripe_customer_id, limit=limit, after=cursor or None, before=before or None
        )
    except stripe_gateway.ResourceMissing as exc:
        raise InvoiceNotFound() from exc
    charges = {
        charge["payment_intent"]: charge
        for charge in stripe_gateway.list_charges(account.stripe_customer_id)
        if charge["paid"]
    }
    invoices = [
        _invoice(invoice, charges)
        for invoice in page.data
        if invoice["status"] != "draft" and (over_nothing or _asks_for_something(invoice))
    ]
    # `has_more` speaks of the direction that was asked for; the other one leads back to where the caller came from.
    has_older, has_newer = (True, page.has_more) if before else (page.has_more, bool(cursor))
    return InvoicePage(
        invoices,
        page.data[-1]["id"] if has_older and page.data else None,
        page.data[0]["id"] if has_newer and page.data else None,
    )


def _invoice(invoice: Any, charges: dict[str, Any]) -> Invoice:
    intents = [payment["payment"]["payment_intent"] for payment in invoice["payments"]["data"]]
    paid_by = [charges[intent] for intent in intents if intent in charges]
    return Invoice(
        id=invoice["id"],
        number=invoice["number"] or "",
        created_at=datetime.fromtimestamp(invoice["created"], UTC),
        status=invoice["status"],
        description=_description(invoice["lines"]["data"]),
        total_cents=invoice["total"],
        paid_cents=invoice["amount_paid"],
        due_cents=invoice["amount_remaining"],
        refunded_cents=sum(charge["amount_refunded"] for charge in paid_by),
        is_disputed=any(charge["disputed"] for charge in paid_by),
        hosted_url=invoice["hosted_invoice_url"] or "",
        pdf_url=invoice["invoice_pdf"] or "",
    )


def _asks_for_something(invoice: Any) -> bool:
    return any(line["amount"] for line in invoice["lines"]["data"])


def _description(lines: list[Any]) -> str:
    """What the bill is for, in one line: that of its dearest line."""
    return words_of(max(lines, key=lambda line: line["amount"])) if lines else ""
