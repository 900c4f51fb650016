"""A Checkout Session's life: open, complete or expired. https://docs.stripe.com/payments/checkout

mode=subscription: since 2025-03-31.basil the subscription is made after the payment; while the card is
refused there is no subscription and no invoice, and the customer tries again in the same session.
mode=payment charges once, mode=setup only saves a card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ids
from ..due_work import due
from ..errors import StripeError, invalid
from ..store import Document
from . import customers, discounts, invoicing, payment_methods, payments, setup_intents, subscriptions

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
    keep_card: bool = False  # "save my card for later purchases"


def lines_of(sandbox: Sandbox, session: Document) -> list[subscriptions.Line]:
    return [
        subscriptions.Line(sandbox.get("price", item["price"]), item["quantity"], item["metadata"])
        for item in session["_line_items"]
    ]


def needs_card(session: Document) -> bool:
    """Not for a purchase of nothing, nor for a subscription over nothing that wants a card `if_required`."""
    if session["amount_total"]:
        return True
    return session["mode"] == "setup" or (
        session["mode"] == "subscription" and session["payment_method_collection"] != "if_required"
    )


def check_open(session: Document) -> None:
    """Raises 400 for a session that was completed or has expired."""
    if session["status"] != "open":
        raise invalid(
            f"This Checkout Session is {session['status']}: it can no longer be paid.",
            "session",
            "resource_missing",
        )


# ------------------------------------------------------------------------------ what is due
def work_out(sandbox: Sandbox, session: Document) -> Document:
    """Write the amounts that are due today into the session and its items, after discounts and trials."""
    lines: list[dict[str, Any]] = []
    trial = trial_end_of(session, sandbox.clock.now()) is not None
    for item in session["_line_items"]:
        line = subscriptions.Line(sandbox.get("price", item["price"]), item["quantity"], {})
        amount = 0 if trial else subscriptions.total_of([line])
        pricing = {"price_details": {"price": line.price["id"], "product": line.price["product"]}}
        lines.append({"amount": amount, "discountable": True, "discounts": [], "pricing": pricing})
    held = session.get("_discount")
    discounts.apply(sandbox, lines, [held] if held else [])
    off = [sum(one["amount"] for one in line["discount_amounts"]) for line in lines]
    items = [
        {**item, "amount": line["amount"], "discount": less}
        for item, line, less in zip(session["_line_items"], lines, off, strict=True)
    ]
    subtotal = sum(line["amount"] for line in lines)
    details: dict[str, Any] = {"amount_discount": sum(off), "amount_shipping": 0, "amount_tax": 0}
    if held:
        taken = {"amount": sum(off), "discount": sandbox.render(held)}
        details["breakdown"] = {"discounts": [taken], "taxes": []}
    return sandbox.change(
        session,
        changes={
            "_line_items": items,
            "amount_subtotal": subtotal,
            "amount_total": subtotal - sum(off),
            "total_details": details,
        },
    )


def trial_end_of(session: Document, now: int) -> int | None:
    data = session.get("_subscription_data") or {}
    if data.get("trial_period_days"):
        return now + data["trial_period_days"] * 86400
    return data.get("trial_end")


def put_discount(sandbox: Sandbox, session: Document, coupon: Document, code: Document | None) -> Document:
    """Take this coupon off the price; it is redeemed when the session completes."""
    shown = {"coupon": None if code else coupon["id"], "promotion_code": code["id"] if code else None}
    held = discounts.proposed(sandbox, coupon, code)
    sandbox.change(session, changes={"discounts": [shown], "_discount": held})
    return work_out(sandbox, session)


def enter_code(sandbox: Sandbox, session: Document, text: str) -> Document:
    """What the page's promotion code field does. Raises 400 for a code that does not apply."""
    check_open(session)
    if not session["allow_promotion_codes"]:
        raise invalid("This Checkout Session takes no promotion codes.", "promotion_code")
    code = discounts.code_called(sandbox, text, session["customer"])
    if code is None:
        raise invalid("This code is invalid.", "promotion_code")
    coupon, code = _redeemable(sandbox, session, {"promotion_code": code["id"]})
    return put_discount(sandbox, session, coupon, code)


def remove_code(sandbox: Sandbox, session: Document) -> Document:
    check_open(session)
    if session["allow_promotion_codes"]:
        sandbox.change(session, changes={"discounts": [], "_discount": None})
        work_out(sandbox, session)
    return session


def _redeemable(sandbox: Sandbox, session: Document, one: dict[str, Any]) -> tuple[Document, Document | None]:
    customer = sandbox.store.get(session["customer"]) if session["customer"] else None
    return discounts.redeemable(
        sandbox,
        one,
        "discounts[0]",
        customer=customer,
        currency=session["currency"],
        subtotal=session["amount_subtotal"],
    )


# ----------------------------------------------------------------------------------- paying
def saved_cards(sandbox: Sandbox, session: Document) -> list[Document]:
    """The cards that the page offers to a returning customer: those that they agreed to see again.

    https://docs.stripe.com/payments/existing-customers: by default only allow_redisplay=always.
    """
    if not session["customer"]:
        return []
    shown = session["saved_payment_method_options"]["allow_redisplay_filters"]
    return [
        method
        for method in sandbox.store.find("payment_method", {"customer": session["customer"]}, oldest_first=False)
        if method["allow_redisplay"] in shown
    ]


def pay_with_card(sandbox: Sandbox, session: Document, card: dict[str, Any], payer: Payer) -> Document:
    """What the page's Pay button does.

    `card` holds number, exp_month, exp_year, cvc. Returns the completed session. Raises ChallengeRequired
    when the bank asks first (then `answer_challenge`), and the 402 of a refused card, after which the session
    is still open.
    """
    check_open(session)
    if not needs_card(session):
        return finish_without_card(sandbox, session, payer)
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
        allow_redisplay="always" if payer.keep_card else "limited",
    )
    return _go_on(sandbox, session, method, payer)


def pay_with_saved_card(sandbox: Sandbox, session: Document, method_id: str, payer: Payer) -> Document:
    """The same with a card that the customer has; outcomes as those of `pay_with_card`."""
    check_open(session)
    if not needs_card(session):
        return finish_without_card(sandbox, session, payer)
    offered = {method["id"]: method for method in saved_cards(sandbox, session)}
    if method_id not in offered:
        raise invalid("This card is no longer there. Please choose another one.", "payment_method")
    return _go_on(sandbox, session, offered[method_id], payer)


def _go_on(sandbox: Sandbox, session: Document, method: Document, payer: Payer) -> Document:
    sandbox.change(session, changes={"_payer": vars(payer), "_payment_method": method["id"]})
    if session["amount_total"]:
        return _pay(sandbox, session, method, authenticated=False)
    return _save_card(sandbox, session, method, authenticated=False)


def finish_without_card(sandbox: Sandbox, session: Document, payer: Payer) -> Document:
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
    if not session["amount_total"]:
        if succeed:
            return _save_card(sandbox, session, method, authenticated=True)
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
        # The total may be another since: a code was entered after the first try.
        sandbox.change(intent, changes={"amount": session["amount_total"]})
    else:
        intent = _new_intent(sandbox, session)
    intent_created = None if announced else sandbox.render(intent)
    attempt = payments.attempt(sandbox, intent, method, authenticated=authenticated, off_session=False)
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


def _new_intent(sandbox: Sandbox, session: Document) -> Document:
    values: dict[str, Any] = {}
    description = "Subscription creation"
    if session["mode"] == "payment":
        data = session["_payment_intent_data"]
        description = data.get("description")
        values = {
            "capture_method": data.get("capture_method", "automatic_async"),
            "metadata": data.get("metadata") or {},
            "receipt_email": data.get("receipt_email"),
            "setup_future_usage": data.get("setup_future_usage"),
        }
    intent = payments.new_intent(
        sandbox,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        description=description,
        **values,
    )
    changes = {"_payment_intent": intent["id"]}
    if session["mode"] == "payment":
        changes["payment_intent"] = intent["id"]
    sandbox.change(session, changes=changes)
    return intent


def _save_card(sandbox: Sandbox, session: Document, method: Document, *, authenticated: bool) -> Document:
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


# ------------------------------------------------------------------------------- completing
def _complete(
    sandbox: Sandbox,
    session: Document,
    method: Document | None,
    attempt: payments.Attempt | None,
    intent_created: Snapshot | None,
) -> Document:
    """Make everything first, then tell it in the order of sequence 1."""
    customer, customer_is_new = _customer_of(sandbox, session)
    customer_created = sandbox.render(customer) if customer else None
    subscription, first = None, None
    if session["mode"] == "subscription":
        assert customer is not None  # _customer_of makes one for every subscription
        subscription, first = _subscribe(sandbox, session, customer, method, attempt)
    elif session.get("_discount"):
        _redeem(sandbox, session, customer, checkout_session=session["id"])
    if customer:
        for intent_id in (session.get("_payment_intent"), session.get("_setup_intent")):
            intent = sandbox.store.get(intent_id) if intent_id else None
            if intent and not intent["customer"]:
                sandbox.change(intent, changes={"customer": customer["id"]})
        if attempt:
            sandbox.change(attempt.charged, changes={"customer": customer["id"]})
    payer = session.get("_payer") or {}
    details = _details(session, customer, payer)
    sandbox.change(
        session,
        changes={
            "customer": customer["id"] if customer else None,
            "customer_details": details,
            "invoice": first.invoice["id"] if first else None,
            "payment_status": "paid" if session["amount_total"] else "no_payment_required",
            "status": "complete",
            "subscription": subscription["id"] if subscription else None,
            "url": None,
        },
    )

    if attempt:
        sandbox.events.emit("charge.succeeded", attempt.charged)
    if method and customer and _is_kept(session, payer):
        payment_methods.attach(sandbox, method, customer, check=False)
    elif method and not method["customer"]:
        sandbox.change(method, changes={"_spent": True})
    if customer and customer_created and customer_is_new:
        sandbox.events.emit("customer.created", customer_created)
    changes: dict[str, Any] = {}
    if session["_customer_update"].get("name") == "auto" and payer.get("name"):
        changes["name"] = payer["name"]
    if session["_customer_update"].get("address") == "auto" and payer.get("country"):
        changes["address"] = details["address"]
    if customer and subscription:
        subscriptions.remember_currency(sandbox, customer, subscription["currency"], **changes)
    elif customer and changes:
        sandbox.change(customer, "customer.updated", changes)
    sandbox.events.emit("checkout.session.completed", session)
    if subscription:
        sandbox.events.emit("customer.subscription.created", subscription)
    if attempt:
        if intent_created:
            sandbox.events.emit("payment_intent.created", intent_created)
        if attempt.intent["status"] == "requires_capture":
            sandbox.events.emit("payment_intent.amount_capturable_updated", attempt.intent)
        else:
            sandbox.events.emit("payment_intent.succeeded", attempt.intent)
    if first:
        subscriptions.emit_first_invoice_paid(sandbox, first)
    return session


def _subscribe(
    sandbox: Sandbox,
    session: Document,
    customer: Document,
    method: Document | None,
    attempt: payments.Attempt | None,
) -> tuple[Document, subscriptions.FirstInvoice | None]:
    """Make the subscription with its first invoice, which the payment of the session has paid."""
    data = session["_subscription_data"]
    trial_end = trial_end_of(session, sandbox.clock.now())
    subscription = subscriptions.create(
        sandbox,
        customer,
        lines_of(sandbox, session),
        status="trialing" if trial_end else "active",
        default_payment_method=method["id"] if method else None,
        metadata=data.get("metadata") or {},
        description=data.get("description"),
        **_trial(data, trial_end),
    )
    if session.get("_discount"):
        discount = _redeem(sandbox, session, customer, subscription=subscription["id"], checkout_session=session["id"])
        sandbox.change(subscription, changes={"discounts": [discount["id"]]})
    first = subscriptions.bill_first_period(sandbox, subscription)
    if first is None:  # only metered prices: the first bill comes with the first usage
        return subscription, None
    if attempt:
        invoicing.request_payment(sandbox, first.invoice, attempt.intent)
    invoicing.mark_paid(sandbox, first.invoice)
    return subscription, first


def _trial(data: dict[str, Any], trial_end: int | None) -> dict[str, Any]:
    if trial_end is None:
        return {}
    values: dict[str, Any] = {"trial_end": trial_end}
    if data.get("trial_settings"):
        values["trial_settings"] = data["trial_settings"]
    return values


def _redeem(sandbox: Sandbox, session: Document, customer: Document | None, **holder: Any) -> Document:
    """The discount that the session promised becomes one. Raises 400 when it is used up meanwhile."""
    held = session["discounts"][0]
    one = {key: value for key, value in held.items() if value}
    coupon, code = discounts.redeemable(
        sandbox,
        one,
        "discounts[0]",
        customer=customer,
        currency=session["currency"],
        subtotal=session["amount_subtotal"],
    )
    return discounts.redeem(sandbox, coupon, code, customer=customer, **holder)


def _is_kept(session: Document, payer: dict[str, Any]) -> bool:
    """Whether the card stays with the customer: always but for a single purchase that did not ask for it."""
    if session["mode"] != "payment":
        return True
    return bool(session["_payment_intent_data"].get("setup_future_usage") or payer.get("keep_card"))


def _details(session: Document, customer: Document | None, payer: dict[str, Any]) -> dict[str, Any]:
    details = dict(session["customer_details"] or customers.no_details())
    details["email"] = customer["email"] if customer else session["customer_email"] or payer.get("email")
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
    return details


def _customer_of(sandbox: Sandbox, session: Document) -> tuple[Document | None, bool]:
    """(the customer, whether they are new); no one when the session makes none."""
    if session["customer"]:
        return sandbox.get("customer", session["customer"], "customer"), False
    payer = session.get("_payer") or {}
    email = session["customer_email"] or payer.get("email")
    if not email:
        raise StripeError(400, "An email address is needed.", code="email_invalid", param="email", executed=False)
    keeps = session["mode"] == "payment" and _is_kept(session, payer)
    if session["customer_creation"] == "if_required" and not keeps:
        return None, False
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
        shown.append(
            {
                "id": item["id"],
                "object": "item",
                "adjustable_quantity": None,
                "amount_discount": item["discount"],
                "amount_subtotal": item["amount"],
                "amount_tax": 0,
                "amount_total": item["amount"] - item["discount"],
                "currency": price["currency"],
                "description": product.get("name"),
                "metadata": item["metadata"],
                "price": sandbox.render(price),
                "quantity": item["quantity"],
            }
        )
    return shown


def new_line_item(price: str, quantity: int | None, metadata: dict[str, str]) -> Document:
    return {
        "id": ids.new("item"),
        "price": price,
        "quantity": quantity,
        "metadata": metadata,
        "amount": 0,
        "discount": 0,
    }
