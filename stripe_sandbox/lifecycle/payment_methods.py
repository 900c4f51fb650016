"""A card's life: made, attached to a customer, let go. https://docs.stripe.com/payments/payment-methods"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import cards
from ..errors import StripeError, card_error, invalid
from ..store import Document
from . import subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox

BILLING_DETAILS: dict[str, Any] = {
    "address": None,
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def new_card(
    sandbox: Sandbox,
    card: dict[str, Any],
    billing_details: dict[str, Any],
    metadata: dict[str, str] | None = None,
    allow_redisplay: str = "unspecified",
) -> Document:
    """Insert a payment method for a card {number, exp_month, exp_year, cvc}. Raises 402 if it cannot be."""
    today = datetime.fromtimestamp(sandbox.clock.now(), UTC)
    month, year, cvc = card["exp_month"], card["exp_year"], card.get("cvc")
    test_card = cards.check_details(card["number"], month, year, cvc, (today.year, today.month))
    return sandbox.new(
        "payment_method",
        {
            "allow_redisplay": allow_redisplay,
            "billing_details": {**BILLING_DETAILS, **billing_details},
            "card": {
                "brand": test_card.brand,
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "unchecked" if cvc else None,
                },
                "country": "US",
                "display_brand": test_card.brand,
                "exp_month": month,
                "exp_year": year + 2000 if year < 100 else year,
                "fingerprint": hashlib.sha256(test_card.number.encode()).hexdigest()[:16],
                "funding": "credit",
                "generated_from": None,
                "last4": test_card.last4,
                "networks": {"available": [test_card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "customer": None,
            "customer_account": None,
            "metadata": metadata or {},
            "type": "card",
            "_number": test_card.number,
        },
    )


def resolve(sandbox: Sandbox, method_id: str, param: str, in_path: bool = False) -> Document:
    """The payment method with this id; a pm_card_* name makes a fresh one, as in Stripe's test mode."""
    if method_id in cards.MAGIC_IDS and method_id.startswith("pm_"):
        return from_name(sandbox, method_id)
    return sandbox.get("payment_method", method_id, param, in_path)


def from_name(sandbox: Sandbox, name: str, **details: Any) -> Document:
    year = datetime.fromtimestamp(sandbox.clock.now(), UTC).year + 1
    card = {"number": cards.MAGIC_IDS[name], "exp_month": 12, "exp_year": year, "cvc": "123"}
    return new_card(sandbox, card, details.pop("billing_details", {}), **details)


def attach(
    sandbox: Sandbox, method: Document, customer: Document, *, check: bool = True, emit: bool = True
) -> Document:
    """Give a card to a customer. `check` asks the bank first: 402 for those declined at attaching."""
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        raise invalid("The payment method you provided has already been attached to a customer.")
    if method.get("_detached") or method.get("_spent"):
        raise used_up(method)
    decline = cards.BY_NUMBER[method["_number"]].decline
    if check and decline and cards.BY_NUMBER[method["_number"]].declines_at_attach:
        error = card_error(decline.message, decline.code, decline_code=decline.decline_code)
        error.keeps_changes = False
        raise error
    checks = {**method["card"]["checks"]}
    if checks["cvc_check"]:
        checks["cvc_check"] = "pass"
    sandbox.change(method, changes={"customer": customer["id"], "card": {**method["card"], "checks": checks}})
    if emit:
        sandbox.events.emit("payment_method.attached", method)
    return method


def used_up(method: Document) -> StripeError:
    return invalid(
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
        "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
        "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first."
    )


def let_go(sandbox: Sandbox, method: Document) -> None:
    """Take a card from its customer and from everything that would be charged to it."""
    customer = sandbox.get("customer", method["customer"])
    sandbox.change(method, changes={"customer": None, "_detached": True})
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        settings = {**customer["invoice_settings"], "default_payment_method": None}
        sandbox.change(customer, "customer.updated", {"invoice_settings": settings})
    for subscription in sandbox.store.find(
        "subscription", {"customer": customer["id"], "default_payment_method": method["id"]}
    ):
        sandbox.change(subscription, "customer.subscription.updated", {"default_payment_method": None})


def detach(sandbox: Sandbox, method: Document) -> None:
    """Let it go, and tell it."""
    customer_id = method["customer"]
    let_go(sandbox, method)
    sandbox.events.emit("payment_method.detached", method, {"customer": customer_id})


def make_default(sandbox: Sandbox, method: Document, holder: Document) -> None:
    """From now on this card is charged: for all of a customer's invoices, or for one subscription."""
    if holder["object"] == "subscription":
        sandbox.change(holder, "customer.subscription.updated", {"default_payment_method": method["id"]})
    else:
        settings = {**holder["invoice_settings"], "default_payment_method": method["id"]}
        sandbox.change(holder, "customer.updated", {"invoice_settings": settings})


def take_over(sandbox: Sandbox, method: Document, customer: Document) -> None:
    """From now on this card pays: it becomes the default wherever another one is.

    That is the customer's default for invoices and the default of every living subscription; where there is
    none anywhere it becomes the customer's. A default of the customer alone would not reach a subscription
    that Checkout began, because such a one has a card of its own.
    """
    paying = [
        subscription
        for subscription in sandbox.store.find("subscription", {"customer": customer["id"]})
        if subscription["default_payment_method"] and subscription["status"] not in subscriptions.ENDED
    ]
    if customer["invoice_settings"]["default_payment_method"] or not paying:
        make_default(sandbox, method, customer)
    for subscription in paying:
        make_default(sandbox, method, subscription)


def attached_to(sandbox: Sandbox, method_id: str, customer: Document, param: str) -> Document:
    """The customer's payment method with this id. Raises 400 when it is another's, or nobody's."""
    method = resolve(sandbox, method_id, param)
    if method_id in cards.MAGIC_IDS:
        return attach(sandbox, method, customer)
    if method["customer"] != customer["id"]:
        raise invalid(
            f"The customer does not have a payment method with the ID {method_id[:80]}. The payment method "
            "must be attached to the customer.",
            param,
            "resource_missing",
        )
    return method
