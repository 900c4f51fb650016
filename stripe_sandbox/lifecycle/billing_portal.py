"""What a customer does in the Customer Portal: one function for each of its buttons (sequence 11).

https://docs.stripe.com/customer-management. Each obeys the session's configuration and raises 400 for what that
does not allow; the caller's transaction leaves nothing behind then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import StripeError, card_error, invalid
from ..store import Document
from . import (
    collection,
    customers,
    payment_methods,
    setup_intents,
    subscription_changes,
    subscription_schedules,
    subscriptions,
    usage_billing,
)
from .invoicing import Bill, DraftLine, licensed_amount

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# https://docs.stripe.com/api/customer_portal: unused for 5 minutes or idle for an hour, a session is over.
UNUSED_SECONDS, IDLE_SECONDS = 300, 3600
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


def page_of(session: Document) -> str:
    """The path of the session's page."""
    return f"/p/session/{session['_token']}"


def _leads_back_to(session: Document) -> dict[str, Any]:
    """What an intent remembers: where its challenge leads back to, and on from there when that is elsewhere."""
    redirect = session["flow"] and session["flow"]["after_completion"]["redirect"]
    return {"_page": page_of(session), "_leads_on_to": redirect and redirect["return_url"]}


def configuration_of(sandbox: Sandbox, session: Document) -> Document:
    return sandbox.get("billing_portal.configuration", session["configuration"])


def features_of(sandbox: Sandbox, session: Document) -> dict[str, Any]:
    return configuration_of(sandbox, session)["features"]


def customer_of(sandbox: Sandbox, session: Document) -> Document:
    return sandbox.get("customer", session["customer"])


def subscriptions_of(sandbox: Sandbox, session: Document) -> list[Document]:
    """The subscriptions that have not ended, newest first."""
    found = sandbox.store.find("subscription", {"customer": session["customer"]}, oldest_first=False)
    return [subscription for subscription in found if subscription["status"] not in subscriptions.ENDED]


def subscription_at(sandbox: Sandbox, session: Document, subscription_id: str) -> Document:
    """The customer's living subscription with this id. Raises 400 for any other."""
    subscription = sandbox.get("subscription", subscription_id)
    if subscription["customer"] != session["customer"] or subscription["status"] in subscriptions.ENDED:
        raise invalid("This subscription has ended or is not yours.", "subscription")
    return subscription


def _check_enabled(sandbox: Sandbox, session: Document, feature: str) -> dict[str, Any]:
    found = features_of(sandbox, session)[feature]
    if not found["enabled"]:
        raise invalid("This cannot be done here.", feature)
    return found


# ------------------------------------------------------------------------------ change of plan
def why_not_changeable(sandbox: Sandbox, configuration: Document, subscription: Document) -> str | None:
    """Why the portal offers no other plan, in words; None when it does.

    https://docs.stripe.com/customer-management/configure-portal: one licensed price only, no schedule of others.
    """
    if not configuration["features"]["subscription_update"]["enabled"]:
        return "changes of plan are not enabled."
    items = subscriptions.items_of(sandbox, subscription)
    if len(items) != 1 or usage_billing.is_metered(sandbox.get("price", items[0]["price"])):
        return "it has several products or is billed by usage."
    if subscription["schedule"] and not _scheduled_here(sandbox, subscription):
        return "it is managed by a schedule."
    if subscription["cancel_at"] is not None:
        return "it is set to be canceled."
    if subscription["status"] not in ("active", "trialing"):
        return f"its status is {subscription['status'].replace('_', ' ')}."
    if subscription["pause_collection"]:
        return "its collection is paused."
    return None


def _scheduled_here(sandbox: Sandbox, subscription: Document) -> bool:
    return bool(sandbox.get("subscription_schedule", subscription["schedule"]).get("_made_in_portal"))


def scheduled_change(sandbox: Sandbox, subscription: Document) -> tuple[Document, int] | None:
    """(price, moment) of the change of plan that the subscription's schedule will bring, None without one."""
    if not subscription["schedule"]:
        return None
    schedule = sandbox.get("subscription_schedule", subscription["schedule"])
    if schedule["status"] != "active":
        return None
    held = {item["price"] for item in subscriptions.items_of(sandbox, subscription)}
    for phase in schedule["phases"]:
        if phase["start_date"] > schedule["current_phase"]["start_date"]:
            fresh = [item["price"] for item in phase["items"] if item["price"] not in held]
            if fresh:
                return sandbox.get("price", fresh[0]), phase["start_date"]
    return None


def can_undo_scheduled_change(sandbox: Sandbox, subscription: Document) -> bool:
    return bool(subscription["schedule"]) and _scheduled_here(sandbox, subscription)


def offers(sandbox: Sandbox, configuration: Document, subscription: Document) -> list[Document]:
    """The prices to which the customer may change, without their own."""
    own = {item["price"] for item in subscriptions.items_of(sandbox, subscription)}
    found = []
    for product in configuration["features"]["subscription_update"]["products"] or []:
        for price_id in product["prices"]:
            price = sandbox.store.get(price_id)
            usable = price and price["active"] and price["currency"] == subscription["currency"]
            if price and usable and price_id not in own:
                found.append(price)
    return found


def check_offered(sandbox: Sandbox, configuration: Document, subscription: Document, price_id: str) -> Document:
    for price in offers(sandbox, configuration, subscription):
        if price["id"] == price_id:
            return price
    raise invalid(f"The price `{price_id[:80]}` is not one that the portal configuration offers.", "price")


def waits_for_period_end(sandbox: Sandbox, configuration: Document, subscription: Document, price: Document) -> bool:
    """Whether the configuration's schedule_at_period_end applies to this change."""
    [item] = subscriptions.items_of(sandbox, subscription)
    before = sandbox.get("price", item["price"])
    for condition in configuration["features"]["subscription_update"]["schedule_at_period_end"]["conditions"]:
        if condition["type"] == "decreasing_item_amount":
            if licensed_amount(price, item["quantity"]) < licensed_amount(before, item["quantity"]):
                return True
        elif _length(price) < _length(before):
            return True
    return False


def _length(price: Document) -> int:
    return _DAYS[price["recurring"]["interval"]] * price["recurring"]["interval_count"]


@dataclass
class Quote:
    """What a change of plan will cost, before it is confirmed."""

    price: Document
    quantity: int
    at: int  # the moment to which it is prorated: confirming sends it back
    begins_at: int | None  # None for now
    bill: Bill | None = None  # what is charged now
    later: list[DraftLine] = field(default_factory=list)  # prorations that wait for the next bill
    renews_at: int = 0

    @property
    def renewal_amount(self) -> int:
        return licensed_amount(self.price, self.quantity)


def _wish(configuration: Document, subscription: Document, item: Document, price: Document, at: int) -> dict[str, Any]:
    """The change as an update of the subscription by API would say it."""
    settings = configuration["features"]["subscription_update"]
    wish: dict[str, Any] = {
        "items": [{"id": item["id"], "price": price["id"]}],
        "proration_behavior": settings["proration_behavior"],
    }
    if subscription["status"] == "trialing":
        if settings["trial_update_behavior"] == "end_trial":
            wish["trial_end"] = "now"
        return wish
    if settings["proration_behavior"] != "none":
        wish["proration_date"] = at
    if settings["billing_cycle_anchor"] == "now":
        wish["billing_cycle_anchor"] = "now"
    return wish


def _proration_moment(sandbox: Sandbox, item: Document, at: int | None) -> int:
    """The moment that was quoted, unless that is too long ago."""
    now = sandbox.clock.now()
    return at if at is not None and max(item["current_period_start"], now - IDLE_SECONDS) <= at <= now else now


def quote(sandbox: Sandbox, session: Document, subscription: Document, price_id: str) -> Quote:
    """What confirming this change would bring about. Changes nothing. Raises 400."""
    configuration = configuration_of(sandbox, session)
    price, item = _checked_change(sandbox, configuration, subscription, price_id)
    now = sandbox.clock.now()
    if waits_for_period_end(sandbox, configuration, subscription, price):
        end = item["current_period_end"]
        return Quote(price, item["quantity"], now, end, renews_at=end)
    made = subscription_changes.plan(
        sandbox, subscription, _wish(configuration, subscription, item, price, _proration_moment(sandbox, item, now))
    )
    bill = made.bill(sandbox, subscription, preview=True)
    return Quote(
        price,
        item["quantity"],
        now,
        None,
        bill,
        [] if bill else made.prorations,
        min(one["current_period_end"] for one in made.items),
    )


def _checked_change(
    sandbox: Sandbox, configuration: Document, subscription: Document, price_id: str
) -> tuple[Document, Document]:
    reason = why_not_changeable(sandbox, configuration, subscription)
    if reason:
        raise invalid(f"This plan cannot be changed here: {reason}", "subscription")
    [item] = subscriptions.items_of(sandbox, subscription)
    return check_offered(sandbox, configuration, subscription, price_id), item


def change_plan(
    sandbox: Sandbox, session: Document, subscription: Document, price_id: str, at: int | None = None
) -> Document | None:
    """Change to another price now (sequence 6) or at the period's end (7), as the configuration has it.

    `at` is the moment of the quote, so that the charge equals it. Returns None when it is done, else the payment
    intent that waits for the customer's bank (3D Secure): the change then waits as a pending update. Raises 402
    for a declined card; nothing has changed then.
    """
    configuration = configuration_of(sandbox, session)
    price, item = _checked_change(sandbox, configuration, subscription, price_id)
    if waits_for_period_end(sandbox, configuration, subscription, price):
        _change_at_period_end(sandbox, subscription, item, price)
        return None
    if subscription["schedule"]:
        _release(sandbox, subscription)
    moment = _proration_moment(sandbox, item, at)
    made = subscription_changes.plan(sandbox, subscription, _wish(configuration, subscription, item, price, moment))
    bill = made.bill(sandbox, subscription, preview=True)
    if bill and bill.invoice["amount_due"] and not _card_of(sandbox, subscription):
        raise invalid("Add a payment method first: the change has to be paid.", "payment_method")
    subscription_changes.commit(sandbox, subscription, made, payment_behavior="pending_if_incomplete")
    if not subscription["pending_update"]:
        return None
    intent = collection.intent_of(sandbox, sandbox.get("invoice", subscription["latest_invoice"]))
    if intent["status"] == "requires_action":
        return sandbox.change(intent, changes=_leads_back_to(session))
    raise _declined(intent)


def _card_of(sandbox: Sandbox, subscription: Document) -> Document | None:
    return collection.chosen_payment_method(sandbox, sandbox.get("customer", subscription["customer"]), subscription)


def _declined(intent: Document) -> StripeError:
    failed = intent["last_payment_error"]
    error = card_error(failed["message"], failed["code"], decline_code=failed.get("decline_code"))
    error.keeps_changes = False
    return error


def _change_at_period_end(sandbox: Sandbox, subscription: Document, item: Document, price: Document) -> None:
    if subscription["schedule"]:  # the newest choice wins
        schedule = sandbox.get("subscription_schedule", subscription["schedule"])
    else:
        schedule = subscription_schedules.from_subscription(sandbox, subscription)
        sandbox.change(schedule, changes={"_made_in_portal": True})
    current = schedule["current_phase"]
    recurring = price["recurring"]
    subscription_schedules.change(
        sandbox,
        schedule,
        phases=[
            {"items": [{"price": item["price"], "quantity": item["quantity"]}], **current},
            {
                "items": [{"price": price["id"], "quantity": item["quantity"]}],
                "duration": {"interval": recurring["interval"], "interval_count": recurring["interval_count"]},
            },
        ],
        changes={"end_behavior": "release"},
        proration_behavior="none",
    )


def keep_plan(sandbox: Sandbox, session: Document, subscription: Document) -> None:
    """Undo a change of plan that waits for the period's end."""
    _check_enabled(sandbox, session, "subscription_update")
    if not can_undo_scheduled_change(sandbox, subscription):
        raise invalid("No change of plan waits here.", "subscription")
    _release(sandbox, subscription)


def _release(sandbox: Sandbox, subscription: Document) -> None:
    subscription_schedules.release(sandbox, sandbox.get("subscription_schedule", subscription["schedule"]))


# -------------------------------------------------------------------------------------- ending
def cancel(
    sandbox: Sandbox,
    session: Document,
    subscription: Document,
    feedback: str | None = None,
    comment: str | None = None,
) -> Document:
    """Cancel at the period's end (sequence 8) or at once (10), as the configuration has it.

    A flexible subscription gets only `cancel_at`: cancel_at_period_end stays false.
    https://docs.stripe.com/billing/subscriptions/billing-mode/compare
    """
    settings = _check_enabled(sandbox, session, "subscription_cancel")
    if subscription["cancel_at"] is not None:
        raise invalid("This subscription is already set to be canceled.", "subscription")
    details: dict[str, Any] = {}
    if settings["cancellation_reason"]["enabled"]:
        if feedback and feedback not in settings["cancellation_reason"]["options"]:
            raise invalid("Choose one of the reasons.", "feedback")
        details = {"feedback": feedback or None, "comment": comment or None}
    if settings["mode"] == "immediately":
        behavior = settings["proration_behavior"]
        return subscription_changes.cancel(
            sandbox,
            subscription,
            details,
            prorate=behavior != "none",
            invoice_now=behavior == "always_invoice",
        )
    if subscription["schedule"]:
        _release(sandbox, subscription)
    end = subscriptions.period_end(sandbox, subscription, max)
    changes = subscriptions.schedule_end(sandbox, subscription, end, at_period_end=False)
    changes["cancellation_details"] |= details
    made = subscription_changes.plan_end(sandbox, subscription, end, {})
    return subscription_changes.commit(sandbox, subscription, made, changes=changes)


def keep(sandbox: Sandbox, session: Document, subscription: Document) -> Document:
    """ "Don't cancel" (sequence 9)."""
    _check_enabled(sandbox, session, "subscription_cancel")
    if subscription["cancel_at"] is None:
        raise invalid("This subscription is not set to be canceled.", "subscription")
    made = subscription_changes.plan_end(sandbox, subscription, None, {})
    return subscription_changes.commit(sandbox, subscription, made, changes=subscriptions.keep(subscription))


# --------------------------------------------------------------------------------------- cards
def cards_of(sandbox: Sandbox, session: Document) -> list[Document]:
    """The customer's cards, newest first."""
    found = sandbox.store.find("payment_method", {"customer": session["customer"]}, oldest_first=False)
    return [method for method in found if method["type"] == "card"]


def card_at(sandbox: Sandbox, session: Document, method_id: str) -> Document:
    method = sandbox.get("payment_method", method_id)
    if method["customer"] != session["customer"]:
        raise invalid("This card is no longer there.", "payment_method")
    return method


def paying_cards(sandbox: Sandbox, session: Document) -> set[str]:
    """The ids of the cards that the next bills go to."""
    customer = customer_of(sandbox, session)
    holders = [*subscriptions_of(sandbox, session), None]
    found = [collection.chosen_payment_method(sandbox, customer, holder) for holder in holders]
    return {method["id"] for method in found if method}


def add_card(
    sandbox: Sandbox, session: Document, card: dict[str, Any], details: dict[str, Any], *, pays: bool = True
) -> Document:
    """Save a card {number, exp_month, exp_year, cvc}; with `pays` it takes over all future bills.

    Returns the setup intent: `succeeded`, or `requires_action` while the bank asks (3D Secure). Raises 402.
    """
    _check_enabled(sandbox, session, "payment_method_update")
    customer = customer_of(sandbox, session)
    details = {"email": customer["email"], "name": customer["name"], **details}
    method = payment_methods.new_card(sandbox, card, details, allow_redisplay="always")
    intent = setup_intents.new(sandbox, customer["id"])
    sandbox.change(intent, changes={"_takes_over": pays, **_leads_back_to(session)})
    sandbox.events.emit("setup_intent.created", intent)
    setup_intents.confirm_and_keep(sandbox, intent, method)
    if intent["status"] not in ("succeeded", "requires_action"):
        raise setup_intents.error(sandbox, intent)
    return intent


def make_default(sandbox: Sandbox, session: Document, method: Document) -> None:
    """Let this card pay all future bills."""
    _check_enabled(sandbox, session, "payment_method_update")
    payment_methods.take_over(sandbox, method, customer_of(sandbox, session))


def remove_card(sandbox: Sandbox, session: Document, method: Document) -> None:
    """Raises 400 for the card on which a subscription depends.

    https://support.stripe.com/questions/billing-customer-portal: add another one first.
    """
    _check_enabled(sandbox, session, "payment_method_update")
    if subscriptions_of(sandbox, session) and method["id"] in paying_cards(sandbox, session):
        raise invalid("This card pays your subscription. Make another card the default first.", "payment_method")
    payment_methods.detach(sandbox, method)


# --------------------------------------------------------------------------------- the customer
def change_details(sandbox: Sandbox, session: Document, details: dict[str, Any]) -> Document:
    """Change email, name, phone and address {city, country, line1, line2, postal_code, state}. Raises 400."""
    allowed = _check_enabled(sandbox, session, "customer_update")["allowed_updates"]
    for name in details:
        if name not in allowed:
            raise invalid("This cannot be changed here.", name)
    customers.check_details(details)
    customer = customer_of(sandbox, session)
    changes: dict[str, Any] = {name: value or None for name, value in details.items() if name != "address"}
    if "address" in details:
        changes["address"] = customers.address(details["address"])
    return sandbox.change(customer, "customer.updated", changes)
