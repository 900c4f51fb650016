"""A subscription's life. https://docs.stripe.com/billing/subscriptions/overview#subscription-lifecycle"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import boundary
from ..due_work import due
from ..errors import StripeError, invalid, not_emulated
from ..store import Document
from . import invoicing, payments

if TYPE_CHECKING:
    from ..sandbox import Sandbox, Snapshot

INCOMPLETE_HOURS = 23  # https://docs.stripe.com/billing/subscriptions/overview: then incomplete_expired
ENDED = ("canceled", "incomplete_expired")


@dataclass
class Line:
    """What is subscribed to: a recurring price and how many of it."""

    price: Document
    quantity: int
    metadata: dict[str, str]


def checked_line(
    sandbox: Sandbox, price_id: str, quantity: int | None, metadata: dict[str, str] | None, param: str
) -> Line:
    """Raises 400 for a price that is unknown, inactive, not recurring, or of a kind that is not emulated."""
    price = sandbox.get("price", price_id, f"{param}[price]")
    if not price["active"]:
        raise invalid(
            "The price specified is inactive. This field only accepts active prices.", f"{param}[price]"
        )
    if price["type"] != "recurring":
        raise not_emulated("A one-time price in a subscription", f"{param}[price]")
    quantity = 1 if quantity is None else quantity
    if quantity < 0:
        raise invalid(
            "This value must be greater than or equal to 0.",
            f"{param}[quantity]",
            "parameter_invalid_integer",
        )
    return Line(price, quantity, metadata or {})


def check_lines(lines: list[Line]) -> None:
    """One currency, as at Stripe; one interval, because mixed intervals are not emulated; no price twice."""
    if len({line.price["currency"] for line in lines}) > 1:
        raise invalid("All prices on a subscription must have the same `currency`.", "items")
    if (
        len(
            {
                (line.price["recurring"]["interval"], line.price["recurring"]["interval_count"])
                for line in lines
            }
        )
        > 1
    ):
        raise not_emulated("A subscription with prices of different intervals", "items")
    if len({line.price["id"] for line in lines}) < len(lines):
        raise invalid(
            "Cannot add multiple subscription items with the same price. Use the `quantity` parameter "
            "instead.",
            "items",
        )


def check_asked_currency(lines: list[Line], asked: str | None) -> None:
    if asked is not None and asked.lower() != lines[0].price["currency"]:
        raise not_emulated("A currency other than the prices' own", "currency")


def check_currency(customer: Document, currency: str) -> None:
    """A customer's first subscription fixes the currency of all others."""
    if customer["currency"] not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription, "
            f"subscription schedule, discount, quote, or invoice item with currency {customer['currency']}"
        )


def total_of(lines: list[Line]) -> int:
    return sum(line.price["unit_amount"] * line.quantity for line in lines)


def create(
    sandbox: Sandbox,
    customer: Document,
    lines: list[Line],
    *,
    status: str,
    default_payment_method: str | None,
    metadata: dict[str, str],
    description: str | None = None,
) -> Document:
    """Write a subscription and its items, first period from now. Makes no events."""
    check_lines(lines)
    currency = lines[0].price["currency"]
    check_currency(customer, currency)
    now = sandbox.clock.now()
    subscription = sandbox.new(
        "subscription",
        {
            "application": None,
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": now,
            "billing_cycle_anchor_config": None,
            "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
            "billing_schedules": [],
            "billing_thresholds": None,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {
                "comment": None,
                "feedback": None,
                "feedback_option": None,
                "reason": None,
            },
            "collection_method": "charge_automatically",
            "currency": currency,
            "customer": customer["id"],
            "customer_account": None,
            "days_until_due": None,
            "default_payment_method": default_payment_method,
            "default_source": None,
            "default_tax_rates": [],
            "description": description,
            "discounts": [],
            "ended_at": None,
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "latest_invoice": None,
            "managed_payments": None,
            "metadata": metadata,
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": now,
            "status": status,
            "test_clock": None,
            "transfer_data": None,
            "trial_end": None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": None,
        },
    )
    for line in lines:
        sandbox.store.insert(
            {
                "id": ids.new("subscription_item"),
                "object": "subscription_item",
                "billing_thresholds": None,
                "created": now,
                "current_period_end": boundary(now, line.price["recurring"], 1),
                "current_period_start": now,
                "discounts": [],
                "metadata": line.metadata,
                "price": line.price["id"],
                "quantity": line.quantity,
                "subscription": subscription["id"],
                "tax_rates": [],
            }
        )
    return subscription


@dataclass
class FirstInvoice:
    """The first invoice with what it looked like on its way, for the events."""

    invoice: Document
    created: Snapshot
    finalized: Snapshot


def bill_first_period(sandbox: Sandbox, subscription: Document) -> FirstInvoice:
    """Draft and finalize the first invoice. Makes no events."""
    invoice = invoicing.draft_for_subscription(sandbox, subscription, "subscription_create")
    created = sandbox.render(invoice)
    invoicing.finalize(sandbox, invoice)
    sandbox.change(subscription, changes={"latest_invoice": invoice["id"]})
    return FirstInvoice(invoice, created, sandbox.render(invoice))


def emit_first_invoice_paid(sandbox: Sandbox, first: FirstInvoice) -> None:
    sandbox.events.emit("invoice.created", first.created)
    sandbox.events.emit("invoice.finalized", first.finalized)
    invoicing.emit_paid(sandbox, first.invoice)


def remember_currency(sandbox: Sandbox, customer: Document, currency: str, **changes: Any) -> None:
    """The first subscription fixes the customer's currency: customer.updated."""
    sandbox.change(customer, "customer.updated", {"currency": currency, **changes})


def start_by_api(
    sandbox: Sandbox,
    customer: Document,
    lines: list[Line],
    *,
    payment_behavior: str,
    payment_method: Document | None,
    default_payment_method: str | None,
    metadata: dict[str, str],
    description: str | None,
    ending: Callable[[Document], dict[str, Any]],
) -> Document:
    """POST /v1/subscriptions: create, invoice, and try to pay as payment_behavior says.

    `ending` gives the changes for a subscription that is to end from the start (cancel_at_period_end=true).
    Raises 402 under error_if_incomplete when the payment fails; the caller's transaction then leaves nothing
    behind. https://docs.stripe.com/api/subscriptions/create#create_subscription-payment_behavior
    """
    owed = total_of(lines)
    subscription = create(
        sandbox,
        customer,
        lines,
        status="active" if owed == 0 else "incomplete",
        default_payment_method=default_payment_method,
        metadata=metadata,
        description=description,
    )
    sandbox.change(subscription, changes=ending(subscription))
    first = bill_first_period(sandbox, subscription)
    if owed == 0:
        invoicing.mark_paid(sandbox, first.invoice)
        remember_currency(sandbox, customer, subscription["currency"])
        sandbox.events.emit("customer.subscription.created", subscription)
        emit_first_invoice_paid(sandbox, first)
        return subscription

    intent = invoicing.request_payment(sandbox, first.invoice)
    intent_created = sandbox.render(intent)
    attempt = None
    if payment_behavior != "default_incomplete" and payment_method is not None:
        attempt = payments.attempt(sandbox, intent, payment_method)
        if not attempt.paid and payment_behavior == "error_if_incomplete":
            error = attempt.error(sandbox)
            error.keeps_changes = False
            # These would name objects that the rollback takes away again.
            for member in ("charge", "payment_intent"):
                error.body.pop(member, None)
            raise error

    if attempt and attempt.paid:
        sandbox.change(subscription, changes={"status": "active"})
        invoicing.mark_paid(sandbox, first.invoice)
        sandbox.events.emit("charge.succeeded", attempt.charged)
        remember_currency(sandbox, customer, subscription["currency"])
        sandbox.events.emit("customer.subscription.created", subscription)
        sandbox.events.emit("payment_intent.created", intent_created)
        sandbox.events.emit("payment_intent.succeeded", intent)
        emit_first_invoice_paid(sandbox, first)
        return subscription

    remember_currency(sandbox, customer, subscription["currency"])
    sandbox.events.emit("customer.subscription.created", subscription)
    sandbox.events.emit("invoice.created", first.created)
    sandbox.events.emit("invoice.finalized", first.finalized)
    sandbox.events.emit("payment_intent.created", intent_created)
    if attempt:
        invoicing.note_failed_attempt(sandbox, first.invoice, attempt)
    sandbox.due_work.add(
        subscription["created"] + INCOMPLETE_HOURS * 3600,
        "subscription.incomplete_expires",
        subscription["id"],
    )
    return subscription


def pay_invoice(
    sandbox: Sandbox, invoice: Document, payment_method: Document, *, authenticated: bool = False
) -> payments.Attempt:
    """Try to collect an open invoice; a success activates the subscription that waited for it."""
    payment = invoicing.default_payment(sandbox, invoice)
    if payment:
        intent = sandbox.get("payment_intent", payment["payment"]["payment_intent"])
    else:
        intent = invoicing.request_payment(sandbox, invoice)
        sandbox.events.emit("payment_intent.created", intent)
    attempt = payments.attempt(sandbox, intent, payment_method, authenticated=authenticated)
    if not attempt.paid:
        invoicing.note_failed_attempt(sandbox, invoice, attempt)
        return attempt
    invoicing.mark_paid(sandbox, invoice)
    sandbox.events.emit("charge.succeeded", attempt.charged)
    sandbox.events.emit("payment_intent.succeeded", intent)
    invoicing.emit_paid(sandbox, invoice)
    subscription_id = invoicing.subscription_of(invoice)
    subscription = sandbox.store.get(subscription_id) if subscription_id else None
    if subscription and subscription["status"] in ("incomplete", "past_due", "unpaid"):
        sandbox.change(subscription, "customer.subscription.updated", {"status": "active"})
    return attempt


def chosen_payment_method(
    sandbox: Sandbox, customer: Document, subscription: Document | None = None
) -> Document | None:
    """The subscription's default, else the customer's default for invoices. None when there is neither."""
    for holder in (subscription, customer["invoice_settings"]):
        if holder and holder["default_payment_method"]:
            return sandbox.store.get(holder["default_payment_method"])
    return None


def no_payment_method() -> StripeError:
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a "
        "default payment method. For more information, visit "
        "https://stripe.com/docs/billing/subscriptions/payment-methods-setting#payment-method-priority.",
        code="resource_missing",
    )


def period_end(sandbox: Sandbox, subscription: Document, pick: Any = max) -> int:
    items = sandbox.store.find("subscription_item", {"subscription": subscription["id"]})
    return pick(item["current_period_end"] for item in items)


def schedule_end(
    sandbox: Sandbox, subscription: Document, cancel_at: int, at_period_end: bool
) -> dict[str, Any]:
    """The changes that make it end at `cancel_at` (sequence 8), to be saved by the caller."""
    sandbox.due_work.add(cancel_at, "subscription.cancel_at", subscription["id"])
    return {
        "cancel_at": cancel_at,
        "cancel_at_period_end": at_period_end,
        "canceled_at": sandbox.clock.now(),
        "cancellation_details": {**subscription["cancellation_details"], "reason": "cancellation_requested"},
    }


def keep(subscription: Document) -> dict[str, Any]:
    """The changes that undo `schedule_end` (sequence 9)."""
    return {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {**subscription["cancellation_details"], "reason": None},
    }


def cancel(sandbox: Sandbox, subscription: Document, details: dict[str, Any] | None = None) -> Document:
    """End it now (sequence 10): its open invoices are no longer collected."""
    now = sandbox.clock.now()
    incomplete = subscription["status"] == "incomplete"
    for invoice in sandbox.store.find(
        "invoice",
        {"parent.subscription_details.subscription": subscription["id"], "status": ["open", "draft"]},
    ):
        if incomplete:
            invoicing.void(sandbox, invoice)
        else:
            sandbox.change(invoice, "invoice.updated", {"auto_advance": False, "next_payment_attempt": None})
    sandbox.change(
        subscription,
        changes={
            "status": "incomplete_expired" if incomplete else "canceled",
            "canceled_at": subscription["canceled_at"] or now,
            "ended_at": now,
            "cancellation_details": {
                **subscription["cancellation_details"],
                **(details or {}),
                "reason": subscription["cancellation_details"]["reason"] or "cancellation_requested",
            },
        },
    )
    sandbox.events.emit("customer.subscription.deleted", subscription)
    return subscription


@due("subscription.cancel_at")
def _reach_cancel_at(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or subscription["status"] in ENDED:
        return
    # The end may have been moved or undone since: only the moment that still stands counts.
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= sandbox.clock.now():
        cancel(sandbox, subscription)


@due("subscription.incomplete_expires")
def _expire_incomplete(sandbox: Sandbox, subscription_id: str) -> None:
    subscription = sandbox.store.get(subscription_id)
    if subscription is None or subscription["status"] != "incomplete":
        return
    sandbox.change(
        subscription,
        "customer.subscription.updated",
        {"status": "incomplete_expired", "ended_at": sandbox.clock.now()},
    )
    for invoice in sandbox.store.find(
        "invoice", {"parent.subscription_details.subscription": subscription_id, "status": "open"}
    ):
        invoicing.void(sandbox, invoice)
