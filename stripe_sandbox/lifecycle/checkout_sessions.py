"""A Checkout Session's life: open, complete or expired. https://docs.stripe.com/payments/checkout

Since 2025-03-31.basil the subscription is made after the payment: while the card is refused there is no
subscription and no invoice, and the customer tries again in the same session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ids
from ..due_work import due
from ..errors import StripeError, invalid
from ..store import Document
from . import customers, invoicing, payment_methods, payments, setup_intents, subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox, Snapshot

EXPIRES_AFTER_SECONDS = 24 * 3600


class ChallengeRequired(Exception):
    """The bank wants the customer to authenticate (3D Secure) before the payment goes on."""

    keeps_changes = True  # the intent now waits for that; see Sandbox.transaction


@dataclass
class Payer:
    """What the customer typed into the page besides the card."""

    email: str | None = None
    name: str | None = None
    country: str | None = None
    postal_code: str | None = None


def lines_of(sandbox: Sandbox, session: Document) -> list[subscriptions.Line]:
    return [
        subscriptions.Line(sandbox.get("price", item["price"]), item["quantity"], item["metadata"])
        for item in session["_line_items"]
    ]


def needs_card(session: Document) -> bool:
    """Not when nothing is due and the session collects a card only `if_required`."""
    return session["amount_total"] > 0 or session["payment_method_collection"] != "if_required"


def check_open(session: Document) -> None:
    """Raises 400 for a session that was completed or has expired."""
    if session["status"] != "open":
        raise invalid(
            f"This Checkout Session is {session['status']}: it can no longer be paid.",
            "session",
            "resource_missing",
        )


def pay_with_card(sandbox: Sandbox, session: Document, card: dict[str, Any], payer: Payer) -> Document:
    """What the page's Pay button does.

    `card` holds number, exp_month, exp_year, cvc. Returns the completed session. Raises ChallengeRequired
    when the bank asks first (then `answer_challenge`), and the 402 of a refused card, after which the session
    is still open.
    """
    check_open(session)
    if not needs_card(session):
        return start_without_card(sandbox, session, payer)
    method = payment_methods.new_card(
        sandbox,
        card,
        {
            "address": {
                "city": None,
                "country": payer.country,
                "line1": None,
                "line2": None,
                "postal_code": payer.postal_code,
                "state": None,
            },
            "email": payer.email or _known_email(sandbox, session),
            "name": payer.name,
            "phone": None,
            "tax_id": None,
        },
    )
    sandbox.change(session, changes={"_payer": vars(payer), "_payment_method": method["id"]})
    if session["amount_total"] == 0:
        return _save_card_and_start(sandbox, session, method, authenticated=False)
    return _pay(sandbox, session, method, authenticated=False)


def start_without_card(sandbox: Sandbox, session: Document, payer: Payer) -> Document:
    """Complete a session over nothing that asks for no card."""
    check_open(session)
    sandbox.change(session, changes={"_payer": vars(payer)})
    return _complete(sandbox, session, None, None, None)


def answer_challenge(sandbox: Sandbox, session: Document, succeed: bool) -> Document:
    """The customer passed the bank's challenge, or failed it (then 402, and the session is still open)."""
    check_open(session)
    method_id = session.get("_challenged_payment_method")
    if not method_id:
        raise invalid("This Checkout Session waits for no authentication.", "session")
    sandbox.change(session, changes={"_challenged_payment_method": None})
    method = sandbox.get("payment_method", method_id)
    if session["amount_total"] == 0:
        if succeed:
            return _save_card_and_start(sandbox, session, method, authenticated=True)
        intent = setup_intents.refuse_authentication(
            sandbox, sandbox.get("setup_intent", session["_setup_intent"]), method
        )
        raise setup_intents.error(sandbox, intent)
    if succeed:
        return _pay(sandbox, session, method, authenticated=True)
    intent = sandbox.get("payment_intent", session["_payment_intent"])
    attempt = payments.refuse_authentication(sandbox, intent, method)
    sandbox.events.emit("payment_intent.payment_failed", intent)
    raise attempt.error(sandbox)


def _pay(sandbox: Sandbox, session: Document, method: Document, *, authenticated: bool) -> Document:
    announced = session.get("_payment_intent")
    if announced:
        intent = sandbox.get("payment_intent", announced)
    else:
        intent = payments.new_intent(
            sandbox,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=session["customer"],
            description="Subscription creation",
        )
        sandbox.change(session, changes={"_payment_intent": intent["id"]})
    intent_created = None if announced else sandbox.render(intent)
    attempt = payments.attempt(sandbox, intent, method, authenticated=authenticated)
    if attempt.paid:
        return _complete(sandbox, session, method, attempt, intent_created)
    if intent_created:
        sandbox.events.emit("payment_intent.created", intent_created)
    if attempt.requires_action:
        sandbox.change(session, changes={"_challenged_payment_method": method["id"]})
        sandbox.events.emit("payment_intent.requires_action", intent)
        raise ChallengeRequired
    sandbox.events.emit("charge.failed", attempt.charged)
    sandbox.events.emit("payment_intent.payment_failed", intent)
    raise attempt.error(sandbox)


def _save_card_and_start(
    sandbox: Sandbox, session: Document, method: Document, *, authenticated: bool
) -> Document:
    """Nothing is due today but a card is wanted: a SetupIntent instead of a payment."""
    if session.get("_setup_intent"):
        intent = sandbox.get("setup_intent", session["_setup_intent"])
    else:
        intent = setup_intents.new(sandbox, session["customer"])
        sandbox.change(session, changes={"_setup_intent": intent["id"]})
        sandbox.events.emit("setup_intent.created", intent)
    if setup_intents.confirm(sandbox, intent, method, authenticated=authenticated):
        sandbox.change(session, changes={"_challenged_payment_method": method["id"]})
        raise ChallengeRequired
    if intent["status"] != "succeeded":
        raise setup_intents.error(sandbox, intent)
    return _complete(sandbox, session, method, None, None)


def _complete(
    sandbox: Sandbox,
    session: Document,
    method: Document | None,
    attempt: payments.Attempt | None,
    intent_created: Snapshot | None,
) -> Document:
    """Make everything first, then tell it in the order of sequence 1."""
    customer, customer_is_new = _customer_of(sandbox, session)
    customer_created = sandbox.render(customer)
    data = session["_subscription_data"]
    subscription = subscriptions.create(
        sandbox,
        customer,
        lines_of(sandbox, session),
        status="active",
        default_payment_method=method["id"] if method else None,
        metadata=data.get("metadata") or {},
        description=data.get("description"),
    )
    first = subscriptions.bill_first_period(sandbox, subscription)
    if attempt:
        sandbox.change(attempt.intent, changes={"customer": customer["id"]})
        sandbox.change(attempt.charged, changes={"customer": customer["id"]})
        invoicing.request_payment(sandbox, first.invoice, attempt.intent)
    elif session.get("_setup_intent"):
        sandbox.change(
            sandbox.get("setup_intent", session["_setup_intent"]), changes={"customer": customer["id"]}
        )
    invoicing.mark_paid(sandbox, first.invoice)
    payer = session.get("_payer") or {}
    details = dict(session["customer_details"] or customers.no_details())
    details["email"] = customer["email"]
    details["name"] = payer.get("name") or details["name"]
    if payer.get("country"):
        details["address"] = {
            "city": None,
            "country": payer["country"],
            "line1": None,
            "line2": None,
            "postal_code": payer.get("postal_code"),
            "state": None,
        }
    sandbox.change(
        session,
        changes={
            "customer": customer["id"],
            "customer_details": details,
            "invoice": first.invoice["id"],
            "payment_status": "paid" if session["amount_total"] else "no_payment_required",
            "status": "complete",
            "subscription": subscription["id"],
            "url": None,
        },
    )

    if attempt:
        sandbox.events.emit("charge.succeeded", attempt.charged)
    if method:
        payment_methods.attach(sandbox, method, customer, check=False)
    if customer_is_new:
        sandbox.events.emit("customer.created", customer_created)
    changes: dict[str, Any] = {}
    if session["_customer_update"].get("name") == "auto" and payer.get("name"):
        changes["name"] = payer["name"]
    if session["_customer_update"].get("address") == "auto" and payer.get("country"):
        changes["address"] = details["address"]
    subscriptions.remember_currency(sandbox, customer, subscription["currency"], **changes)
    sandbox.events.emit("checkout.session.completed", session)
    sandbox.events.emit("customer.subscription.created", subscription)
    if attempt:
        if intent_created:
            sandbox.events.emit("payment_intent.created", intent_created)
        sandbox.events.emit("payment_intent.succeeded", attempt.intent)
    subscriptions.emit_first_invoice_paid(sandbox, first)
    return session


def _customer_of(sandbox: Sandbox, session: Document) -> tuple[Document, bool]:
    if session["customer"]:
        return sandbox.get("customer", session["customer"], "customer"), False
    payer = session.get("_payer") or {}
    email = session["customer_email"] or payer.get("email")
    if not email:
        raise StripeError(
            400, "An email address is needed.", code="email_invalid", param="email", executed=False
        )
    return customers.new(sandbox, email=email, name=payer.get("name")), True


def _known_email(sandbox: Sandbox, session: Document) -> str | None:
    if session["customer"]:
        return sandbox.get("customer", session["customer"], "customer")["email"]
    return session["customer_email"]


def expire(sandbox: Sandbox, session: Document) -> Document:
    """open -> expired: no one can pay it any more."""
    sandbox.change(session, changes={"status": "expired", "url": None, "_challenged_payment_method": None})
    sandbox.events.emit("checkout.session.expired", session)
    return session


@due("checkout.session.expires")
def _reach_expiry(sandbox: Sandbox, session_id: str) -> None:
    session = sandbox.store.get(session_id)
    if session and session["status"] == "open":
        expire(sandbox, session)


def line_items(sandbox: Sandbox, session: Document) -> list[Document]:
    """The session's line items as `item` objects with their prices."""
    shown = []
    for item in session["_line_items"]:
        price = sandbox.store.get(item["price"]) or {}
        product = sandbox.store.get(price.get("product", "")) or {}
        amount = price["unit_amount"] * item["quantity"]
        shown.append(
            {
                "id": item["id"],
                "object": "item",
                "adjustable_quantity": None,
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price["currency"],
                "description": product.get("name"),
                "metadata": item["metadata"],
                "price": sandbox.render(price),
                "quantity": item["quantity"],
            }
        )
    return shown


def new_line_item(price: str, quantity: int, metadata: dict[str, str]) -> Document:
    return {"id": ids.new("item"), "price": price, "quantity": quantity, "metadata": metadata}
