"""End a subscription at Stripe before its time."""

import contextlib
from typing import Any

import stripe

from billing import stripe_gateway
from billing.meter_reports import has_unbilled_usage, report_usage_of
from billing.metered import usage_cents
from billing.models import UserPlan

# The comment in the subscription that had to go because a newer purchase completed too.
REPLACED = "Replaced by a newer purchase"
# https://docs.stripe.com/api/disputes/object#dispute_object-status: else the bank has the money, or may still take it.
_BANK_HAS_LET_GO = frozenset({"won", "warning_closed", "prevented"})


def end_now(subscription_id: str, *, comment: str = "") -> None:
    """End it, whatever is scheduled, and let nobody pay for a period that is not served: but AI tokens that were used,
    in a trial or while a bill was overdue too, are billed a last time. Gives nothing back."""
    serving = UserPlan.objects.filter(status__in=("active", "trialing", "past_due"))
    row = serving.filter(stripe_subscription_id=subscription_id).first()
    if row is not None and has_unbilled_usage(row):
        report_usage_of(row.user_id)
        for invoice in stripe_gateway.open_invoices(subscription_id):
            forgive(invoice)
        with contextlib.suppress(stripe_gateway.ResourceMissing):
            stripe_gateway.cancel_now(subscription_id, comment=comment, bill_usage=True)
        return
    # Missing: it ended between our look and our call, as wanted.
    with contextlib.suppress(stripe_gateway.ResourceMissing):
        stripe_gateway.cancel_now(subscription_id, comment=comment)
    for invoice in stripe_gateway.open_invoices(subscription_id):
        forgive(invoice)


def forgive(invoice: stripe.Invoice) -> None:
    """Let nobody pay what an open invoice asks for a period that is not served. What it asks for tokens is owed: they
    were used. It stays, on an invoice of its own where the rest goes."""
    usage = usage_cents(invoice)
    if _stands_for_usage(invoice) or (usage and usage >= invoice["total"]):
        return
    if usage:
        customer = invoice["customer"]
        stripe_gateway.bill_usage_of(
            invoice["id"],
            customer_id=customer if isinstance(customer, str) else customer["id"],
            cents=usage,
            description=f"AI tokens, from invoice {invoice['number'] or invoice['id']}",
        )
    # Refused: it was paid or voided this moment.
    with contextlib.suppress(stripe_gateway.StripeRefused):
        stripe_gateway.void_invoice(invoice["id"])


def unpaid_usage(customer_id: str) -> stripe.Invoice | None:
    """An open invoice for tokens of a plan that is over; None: nothing is owed."""
    owed = stripe_gateway.open_invoices_of(customer_id)
    return next((one for one in owed if _stands_for_usage(one) or usage_cents(one)), None)


def _stands_for_usage(invoice: stripe.Invoice) -> bool:
    """Is it one of stripe_gateway.bill_usage_of?"""
    return bool(invoice["metadata"] and "usage_of" in invoice["metadata"])


def end_replaced(subscription: stripe.Subscription, *, since: int, comment: str = REPLACED) -> None:
    """It should serve no longer than then (Unix seconds), as another one has come in its place: give back what was
    paid for later, and end it.

    In this order: were we to die in between, the next look finds it still live and goes on.
    """
    _give_back(subscription, since)
    end_now(subscription["id"], comment=comment)


def give_back_what_came_too_late(subscription: stripe.Subscription) -> None:
    """An ended subscription's last bill was paid after its end, on Stripe's page that was still open: give back what it
    asked for the time that is not served."""
    invoice, ended_at = subscription["latest_invoice"], subscription["ended_at"]
    paid_at = invoice["status_transitions"]["paid_at"] if invoice and invoice["status"] == "paid" else None
    if paid_at and ended_at and paid_at > ended_at and invoice["amount_paid"]:
        _give_back(subscription, ended_at)


def given_back_cents(subscription: stripe.Subscription) -> int:
    """What end_replaced has refunded of it. Looks at Stripe."""
    bills = stripe_gateway.paid_invoices_of(subscription["id"])
    return _given_back(subscription, _charges_of(subscription, bills))


def _give_back(subscription: stripe.Subscription, since: int) -> None:
    """Refund what its bills were paid for the time from `since` on, the newest payment first.

    Never more than is left of a payment: staff may have given some back by hand. What an earlier look gave back is
    known by its metadata, for Stripe forgets the idempotency key after a day.
    """
    bills = stripe_gateway.paid_invoices_of(subscription["id"])
    unused = int(sum(_cents_after(line, since) for bill in bills for line in bill["lines"]["data"]))
    if unused <= 0:
        return
    charges = _charges_of(subscription, bills)
    unused -= _given_back(subscription, charges)
    for charge in charges:
        cents = min(unused, _refundable(charge))
        if cents > 0:
            stripe_gateway.refund(
                charge["payment_intent"],
                cents,
                metadata={"replaced": subscription["id"]},
                idempotency_key=f"replaced-{subscription['id']}-{charge['id']}-{cents}",
            )
            unused -= cents


def _cents_after(line: Any, moment: int) -> float:
    """The part of a bill's line that is for the time after `moment`, discounts taken off."""
    start, end = line["period"]["start"], line["period"]["end"]
    if end <= max(start, moment):
        return 0
    cents = line["amount"] - sum(one["amount"] for one in line["discount_amounts"] or [])
    return cents * (end - max(start, moment)) / (end - start)


def _charges_of(subscription: stripe.Subscription, bills: list[stripe.Invoice]) -> list[Any]:
    """The charges that paid these bills, in their order."""
    payments = [payment["payment"] for bill in bills for payment in bill["payments"]["data"]]
    intents = [payment["payment_intent"] for payment in payments if payment["type"] == "payment_intent"]
    if not intents:
        return []
    charges = stripe_gateway.list_charges(subscription["customer"]["id"])
    paid = {charge["payment_intent"]: charge for charge in charges if charge["paid"]}
    return [paid[intent] for intent in intents if intent in paid]


def _given_back(subscription: stripe.Subscription, charges: list[Any]) -> int:
    return sum(
        refund["amount"]
        for charge in charges
        if charge["amount_refunded"]
        for refund in stripe_gateway.refunds_of(charge["id"])
        if refund["status"] != "failed"
        and refund["metadata"]
        and "replaced" in refund["metadata"]
        and refund["metadata"]["replaced"] == subscription["id"]
    )


def _refundable(charge: Any) -> int:
    if charge["disputed"]:
        disputes = stripe_gateway.list_disputes(charge["payment_intent"])
        if any(dispute["status"] not in _BANK_HAS_LET_GO for dispute in disputes):
            return 0
    return charge["amount"] - charge["amount_refunded"]
