"""Collecting an open invoice: by itself when it is finalized, by POST /v1/invoices/{id}/pay, by a retry.

Who is charged: the invoice's own default payment method, else the subscription's, else the customer's. A
payment that fails plans the next try after `Settings.dunning_days`; dunning.py makes it.
https://docs.stripe.com/billing/revenue-recovery/smart-retries
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import StripeError, invalid
from ..store import Document
from . import invoicing, payments

if TYPE_CHECKING:
    from ..sandbox import Sandbox

DAY = 86400
BEHIND = ("incomplete", "past_due", "unpaid")


def chosen_payment_method(
    sandbox: Sandbox, customer: Document, subscription: Document | None = None
) -> Document | None:
    """The subscription's default, else the customer's default for invoices. None when there is neither."""
    for holder in (subscription, customer["invoice_settings"]):
        if holder and holder["default_payment_method"]:
            return sandbox.store.get(holder["default_payment_method"])
    return None


def method_for(sandbox: Sandbox, invoice: Document) -> Document | None:
    """The card that an invoice is charged to, None when there is none."""
    if invoice["default_payment_method"]:
        return sandbox.store.get(invoice["default_payment_method"])
    customer = sandbox.get("customer", invoice["customer"])
    return chosen_payment_method(sandbox, customer, subscription_to(sandbox, invoice))


def subscription_to(sandbox: Sandbox, invoice: Document) -> Document | None:
    """The subscription that an invoice bills."""
    subscription_id = invoicing.subscription_of(invoice)
    return sandbox.store.get(subscription_id) if subscription_id else None


def no_payment_method() -> StripeError:
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a "
        "default payment method. For more information, visit "
        "https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.",
        code="resource_missing",
    )


def intent_of(sandbox: Sandbox, invoice: Document) -> Document:
    """The payment intent of an open invoice, made (payment_intent.created) when there is none yet."""
    payment = invoicing.default_payment(sandbox, invoice)
    if payment:
        return sandbox.get("payment_intent", payment["payment"]["payment_intent"])
    intent = invoicing.request_payment(sandbox, invoice)
    sandbox.events.emit("payment_intent.created", intent)
    return intent


def pay_invoice(
    sandbox: Sandbox, invoice: Document, payment_method: Document, *, authenticated: bool = False
) -> payments.Attempt:
    """Someone asks for the payment of an open invoice (the API, the hosted page, a passed challenge).

    A success brings the subscription that waited for it to life; a failure leaves the planned retries.
    """
    intent = intent_of(sandbox, invoice)
    attempt = payments.attempt(sandbox, intent, payment_method, authenticated=authenticated)
    if not attempt.paid:
        note_hard_decline(sandbox, invoice, attempt, payment_method)
        invoicing.note_failed_attempt(sandbox, invoice, attempt, invoice["next_payment_attempt"])
        return attempt
    invoicing.mark_paid(sandbox, invoice)
    sandbox.events.emit("charge.succeeded", attempt.charged)
    sandbox.events.emit("payment_intent.succeeded", intent)
    invoicing.emit_paid(sandbox, invoice)
    after_payment(sandbox, invoice)
    return attempt


def pay_nothing(sandbox: Sandbox, invoice: Document, *, out_of_band: bool = False) -> None:
    """An open invoice that needs no charge is paid: nothing is due, or the money came another way."""
    invoicing.mark_paid(sandbox, invoice, attempted=False, out_of_band=out_of_band)
    invoicing.emit_paid(sandbox, invoice)
    after_payment(sandbox, invoice)


def collect(sandbox: Sandbox, invoice: Document) -> None:
    """Stripe tries by itself to collect an open invoice (the second half of sequences 4 and 5)."""
    before = sandbox.render(invoice)
    if invoice["amount_remaining"] == 0:
        invoicing.mark_paid(sandbox, invoice, attempted=False)
        sandbox.announce(invoice, "invoice.updated", before)
        invoicing.emit_paid(sandbox, invoice)
        after_payment(sandbox, invoice)
        return
    intent = intent_of(sandbox, invoice)
    method = method_for(sandbox, invoice)
    attempt = payments.attempt(sandbox, intent, method) if method else None
    if attempt and attempt.paid:
        sandbox.events.emit("charge.succeeded", attempt.charged)
        sandbox.events.emit("payment_intent.succeeded", intent)
        invoicing.mark_paid(sandbox, invoice)
        sandbox.announce(invoice, "invoice.updated", before)
        invoicing.emit_paid(sandbox, invoice)
        after_payment(sandbox, invoice)
        return
    if attempt and method:
        note_hard_decline(sandbox, invoice, attempt, method)
    invoicing.note_failed_attempt(sandbox, invoice, attempt, plan_retry(sandbox, invoice))
    fall_behind(sandbox, invoice)


def note_hard_decline(sandbox: Sandbox, invoice: Document, attempt: payments.Attempt, method: Document) -> None:
    """A stolen or lost card is not asked again: retries wait for another one."""
    hard = attempt.decline is not None and attempt.decline.advice_code == "do_not_try_again"
    sandbox.change(invoice, changes={"_hard_declined": method["id"] if hard else None})


def plan_retry(sandbox: Sandbox, invoice: Document) -> int | None:
    """Plan the next automatic try; return its moment, None after the last."""
    days = sandbox.settings.dunning_days
    first = invoice.get("_first_failed_at") or sandbox.clock.now()
    tried = invoice.get("_retries", -1) + 1
    sandbox.change(invoice, changes={"_first_failed_at": first, "_retries": tried})
    if tried >= len(days):
        return None
    moment = first + days[tried] * DAY
    sandbox.due_work.add(moment, "invoice.retry", invoice["id"])
    return moment


def fall_behind(sandbox: Sandbox, invoice: Document) -> None:
    """The subscription's payment is late: active -> past_due."""
    sandbox.change(sandbox.get("customer", invoice["customer"]), changes={"delinquent": True})
    subscription = subscription_to(sandbox, invoice)
    if subscription and subscription["status"] in ("active", "trialing"):
        sandbox.change(subscription, "customer.subscription.updated", {"status": "past_due"})


def after_payment(sandbox: Sandbox, invoice: Document) -> None:
    """What an invoice's payment brings about: a subscription that was behind is active again."""
    from . import subscription_changes, subscriptions  # both are built on this module

    customer = sandbox.get("customer", invoice["customer"])
    if customer["delinquent"] and not _late_invoices(sandbox, {"customer": customer["id"]}):
        sandbox.change(customer, changes={"delinquent": False})
    subscription = subscription_to(sandbox, invoice)
    if subscription is None:
        return
    if subscription.get("_pending_invoice") == invoice["id"]:
        subscription_changes.apply_pending_update(sandbox, subscription)
    elif subscription["status"] == "paused" and subscription.get("_resume_invoice") == invoice["id"]:
        subscriptions.complete_resumption(sandbox, subscription)
    elif subscription["status"] in BEHIND:
        is_latest = subscription["latest_invoice"] == invoice["id"]
        equal = {"parent.subscription_details.subscription": subscription["id"]}
        if is_latest or not _late_invoices(sandbox, equal):
            sandbox.change(subscription, "customer.subscription.updated", {"status": "active"})


def _late_invoices(sandbox: Sandbox, equal: dict[str, str]) -> list[Document]:
    return sandbox.store.find("invoice", {**equal, "status": "open", "attempted": True})
