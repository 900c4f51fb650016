"""The Customer Portal's pages: plan, cards, billing details, invoices. Its acts are those of
lifecycle/billing_portal.py.

A session's address is its secret: five minutes unused or an hour idle and it is over. A session with a flow leads
straight to that one page, and after it whereto the flow says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import authentication_page, hosted_pages
from .errors import StripeError
from .hosted_pages import Form, not_found, page, without_cvc
from .lifecycle import billing_portal as life
from .lifecycle import previews
from .lifecycle import subscriptions as subscription_life
from .lifecycle.invoicing import PAYABLE, product_name
from .sandbox import Sandbox
from .store import Document

_PATH = "/p/session/{token}"
_INVOICES_SHOWN = 12
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")
# What the home page says after an act.
_DONE = {
    "card_added": "Your card was saved and pays your next bills.",
    "card_kept": "Your card was saved.",
    "card_default": "This card pays your next bills.",
    "card_removed": "The card was removed.",
    "plan_changed": "Your plan was changed.",
    "plan_scheduled": "Your plan changes at the end of the period.",
    "plan_kept": "Your plan stays as it is.",
    "canceled": "Your plan was canceled.",
    "cancel_scheduled": "Your plan ends at the end of the period.",
    "kept": "Your plan goes on as before.",
    "details": "Your billing information was saved.",
}
_FLOW_OF = {
    "card_added": ("payment_method_update",),
    "card_kept": ("payment_method_update",),
    "plan_changed": ("subscription_update", "subscription_update_confirm"),
    "plan_scheduled": ("subscription_update", "subscription_update_confirm"),
    "canceled": ("subscription_cancel",),
    "cancel_scheduled": ("subscription_cancel",),
    "details": ("customer_update",),
}
REASONS = {
    "too_expensive": "It is too expensive",
    "missing_features": "Features are missing",
    "switched_service": "I found another service",
    "unused": "I do not use it enough",
    "customer_service": "Customer service was less than expected",
    "too_complex": "It is too complicated",
    "low_quality": "Quality was less than expected",
    "other": "Another reason",
}

_Visit = Callable[[Sandbox, Request, Document, dict[str, str]], Response]


def routes(sandbox: Sandbox) -> list[Route]:
    def at(method: str, path: str, visit: _Visit) -> Route:
        return hosted_pages.route(sandbox, method, _PATH + path, _with_session(visit))

    return [
        at("GET", "", _home),
        at("GET", "/done", _show_done),
        at("GET", "/payment-methods/add", _show_add_card),
        at("POST", "/payment-methods/add", _add_card),
        at("POST", "/payment-methods/{method}/default", _make_default),
        at("POST", "/payment-methods/{method}/remove", _remove_card),
        at("GET", "/subscriptions/{subscription}/update", _show_update),
        at("POST", "/subscriptions/{subscription}/update", _update),
        at("POST", "/subscriptions/{subscription}/keep-plan", _keep_plan),
        at("GET", "/subscriptions/{subscription}/cancel", _show_cancel),
        at("POST", "/subscriptions/{subscription}/cancel", _cancel),
        at("POST", "/subscriptions/{subscription}/renew", _keep),
        at("GET", "/details", _show_details),
        at("POST", "/details", _change_details),
    ]


# --------------------------------------------------------------------------------- the session
def _with_session(visit: _Visit) -> hosted_pages.Handler:
    def handler(sandbox: Sandbox, request: Request, form: Form) -> Response:
        found = sandbox.store.find("billing_portal.session", {"_token": request.path_params["token"]}, limit=1)
        if not found:
            return not_found(sandbox, "This link to your billing is not valid.")
        session = found[0]
        try:
            with sandbox.in_time_of(life.customer_of(sandbox, session)):
                if not _still_valid(sandbox, session):
                    way_back = session["return_url"]
                    business = hosted_pages.business(sandbox)
                    return page("portal_expired.html", 410, business=business, way_back=way_back)
                if form is None:
                    return _portal_home(sandbox, session, {"form": "The form could not be read."}, 400)
                return visit(sandbox, request, session, form)
        except StripeError as error:
            if error.body.get("code") == "resource_missing":
                return not_found(sandbox, "This is no longer there.")
            return _portal_home(sandbox, session, {"form": str(error)}, error.status)

    return handler


def _still_valid(sandbox: Sandbox, session: Document) -> bool:
    now = sandbox.clock.now()
    if now > session["_expires_at"]:
        return False
    if now + life.IDLE_SECONDS > session["_expires_at"] + 60:
        with sandbox.transaction():
            sandbox.change(session, changes={"_expires_at": now + life.IDLE_SECONDS})
    return True


def _flow(session: Document) -> dict[str, Any] | None:
    """What the customer is led to, None without a flow and after it."""
    return None if session.get("_flow_completed") else session["flow"]


def _portal_page(sandbox: Sandbox, session: Document, template: str, status: int = 200, **values: Any) -> Response:
    flow = _flow(session)
    redirect = flow and flow["after_completion"]["redirect"]
    configuration = life.configuration_of(sandbox, session)
    return page(
        template,
        status,
        form_target=redirect["return_url"] if redirect else None,
        business=hosted_pages.business(sandbox),
        profile=configuration["business_profile"],
        features=configuration["features"],
        here=life.page_of(session),
        way_back=session["return_url"],
        # Out of a flow there is only the way back to the shop.
        cancel_url=session["return_url"] if flow else life.page_of(session),
        **{"errors": {}, "notice": None, **values},
    )


def _done(sandbox: Sandbox, session: Document, what: str) -> Response:
    """After an act: home, or whereto the flow of the session says."""
    flow = _flow(session)
    if flow and flow["type"] in _FLOW_OF.get(what, ()):
        with sandbox.transaction():
            sandbox.change(session, changes={"_flow_completed": True})
        after = flow["after_completion"]
        if after["type"] == "redirect":
            return RedirectResponse(after["redirect"]["return_url"], 303)
        if after["type"] == "hosted_confirmation":
            return RedirectResponse(f"{life.page_of(session)}/done?{urlencode({'done': what})}", 303)
    return RedirectResponse(f"{life.page_of(session)}?{urlencode({'done': what})}", 303)


def _show_done(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    after = (session["flow"] or {}).get("after_completion") or {}
    if after.get("type") != "hosted_confirmation" or not session.get("_flow_completed"):
        return RedirectResponse(life.page_of(session), 303)
    message = after["hosted_confirmation"]["custom_message"] or _DONE.get(request.query_params.get("done", ""))
    return _portal_page(sandbox, session, "portal_done.html", message=message or "It is done.")


# -------------------------------------------------------------------------------------- home
def _home(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    intent = sandbox.store.get(request.query_params.get("intent", ""))
    if intent and intent.get("customer") == session["customer"] and intent.get("_page") == life.page_of(session):
        return _back_from_bank(sandbox, session, intent)
    flow = _flow(session)
    if flow:
        return RedirectResponse(life.page_of(session) + _page_of_flow(flow), 303)
    notice = _DONE.get(request.query_params.get("done", ""))
    return _portal_home(sandbox, session, notice=notice, all_invoices="invoices" in request.query_params)


def _page_of_flow(flow: dict[str, Any]) -> str:
    kind = flow["type"]
    if kind == "payment_method_update":
        return "/payment-methods/add"
    if kind == "customer_update":
        return "/details"
    subscription = f"/subscriptions/{flow[kind]['subscription']}"
    if kind == "subscription_cancel":
        return f"{subscription}/cancel"
    if kind == "subscription_update":
        return f"{subscription}/update"
    return f"{subscription}/update?{urlencode({'price': flow[kind]['items'][0]['price']})}"


def _back_from_bank(sandbox: Sandbox, session: Document, intent: Document) -> Response:
    """The customer comes back from the 3D Secure challenge of a card or of a change of plan."""
    saves_card = intent["object"] == "setup_intent"
    if intent["status"] == "succeeded":
        kept = "card_added" if intent.get("_takes_over") else "card_kept"
        return _done(sandbox, session, kept if saves_card else "plan_changed")
    if intent["status"] == "requires_action":
        return _portal_home(sandbox, session, {"form": "Your bank was not asked: nothing has changed."})
    error = intent["last_setup_error" if saves_card else "last_payment_error"] or {}
    errors = {"form": error.get("message", "It was not confirmed.")}
    if saves_card:
        return _add_card_page(sandbox, session, {}, errors, 402)
    return _portal_home(sandbox, session, errors, 402)


def _portal_home(
    sandbox: Sandbox,
    session: Document,
    errors: dict[str, str] | None = None,
    status: int = 200,
    notice: str | None = None,
    all_invoices: bool = False,
) -> Response:
    invoices = [
        invoice
        for invoice in sandbox.store.find("invoice", {"customer": session["customer"]}, oldest_first=False)
        if invoice["status"] != "draft"
    ]
    subscriptions = life.subscriptions_of(sandbox, session)
    return _portal_page(
        sandbox,
        session,
        "portal.html",
        status,
        errors=errors or {},
        notice=notice,
        customer=life.customer_of(sandbox, session),
        plans=[_plan(sandbox, session, subscription) for subscription in subscriptions],
        cards=life.cards_of(sandbox, session),
        paying=life.paying_cards(sandbox, session),
        unpaid=[invoice for invoice in invoices if invoice["status"] == "open"],
        invoices=invoices if all_invoices else invoices[:_INVOICES_SHOWN],
        more_invoices=not all_invoices and len(invoices) > _INVOICES_SHOWN,
        payable=PAYABLE,
    )


def _plan(sandbox: Sandbox, session: Document, subscription: Document) -> dict[str, Any]:
    """What the page tells about a subscription."""
    items = []
    for item in subscription_life.items_of(sandbox, subscription):
        price = sandbox.get("price", item["price"])
        items.append({"name": product_name(sandbox, price), "price": price, "quantity": item.get("quantity")})
    try:
        upcoming = previews.of_subscription(sandbox, subscription, {}).invoice
    except StripeError:  # it does not renew
        upcoming = None
    change = life.scheduled_change(sandbox, subscription)
    configuration = life.configuration_of(sandbox, session)
    return {
        "subscription": subscription,
        "items": items,
        "upcoming": upcoming,
        "ends_at": subscription["cancel_at"],
        "change": change and {"name": product_name(sandbox, change[0]), "price": change[0], "at": change[1]},
        "can_undo_change": life.can_undo_scheduled_change(sandbox, subscription),
        "can_change": life.why_not_changeable(sandbox, configuration, subscription) is None
        and bool(life.offers(sandbox, configuration, subscription)),
        "waiting": subscription["pending_update"] and subscription["latest_invoice"],
    }


# -------------------------------------------------------------------------------------- cards
def _add_card_page(
    sandbox: Sandbox,
    session: Document,
    values: dict[str, str],
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    return _portal_page(
        sandbox,
        session,
        "portal_card.html",
        status,
        values={field: values.get(field, "") for field in hosted_pages.CARD_FIELDS},
        pays=bool(values.get("pays")) if errors and "number" in values else True,
        errors=errors or {},
    )


def _show_add_card(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    return _add_card_page(sandbox, session, hosted_pages.chosen_test_card(sandbox, request))


def _add_card(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    card, errors = hosted_pages.typed_card(form)
    if errors:
        return _add_card_page(sandbox, session, without_cvc(form), errors, 400)
    details = {"name": form["name"], "address": hosted_pages.typed_address(form)}
    try:
        with sandbox.transaction():
            intent = life.add_card(sandbox, session, card, details, pays=bool(form.get("pays")))
    except StripeError as error:
        field = hosted_pages.FIELD_OF_CODE.get(error.body.get("code", ""), "form")
        return _add_card_page(sandbox, session, without_cvc(form), {field: str(error)}, error.status)
    if intent["status"] == "requires_action":
        return RedirectResponse(authentication_page.path_of(intent), 303)
    return _done(sandbox, session, "card_added" if form.get("pays") else "card_kept")


def _make_default(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    with sandbox.transaction():
        life.make_default(sandbox, session, life.card_at(sandbox, session, request.path_params["method"]))
    return _done(sandbox, session, "card_default")


def _remove_card(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    with sandbox.transaction():
        life.remove_card(sandbox, session, life.card_at(sandbox, session, request.path_params["method"]))
    return _done(sandbox, session, "card_removed")


# ---------------------------------------------------------------------------- change of plan
def _subscription_at(sandbox: Sandbox, request: Request, session: Document) -> Document:
    return life.subscription_at(sandbox, session, request.path_params["subscription"])


def _show_update(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    subscription = _subscription_at(sandbox, request, session)
    price = request.query_params.get("price")
    if price:
        return _confirm_page(sandbox, session, subscription, price)
    configuration = life.configuration_of(sandbox, session)
    offered = [
        {
            "price": one,
            "name": product_name(sandbox, one),
            "waits": life.waits_for_period_end(sandbox, configuration, subscription, one),
        }
        for one in life.offers(sandbox, configuration, subscription)
    ]
    plan = _plan(sandbox, session, subscription)
    return _portal_page(sandbox, session, "portal_plans.html", offers=offered, plan=plan)


def _confirm_page(
    sandbox: Sandbox,
    session: Document,
    subscription: Document,
    price: str,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    quote = life.quote(sandbox, session, subscription, price)
    return _portal_page(
        sandbox,
        session,
        "portal_confirm.html",
        status,
        quote=quote,
        name=product_name(sandbox, quote.price),
        plan=_plan(sandbox, session, subscription),
        errors=errors or {},
    )


def _update(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    subscription = _subscription_at(sandbox, request, session)
    price, at = form.get("price", ""), form.get("at", "")
    moment = int(at) if at.isascii() and at.isdigit() and len(at) < 12 else None
    try:
        with sandbox.transaction():
            intent = life.change_plan(sandbox, session, _subscription_at(sandbox, request, session), price, moment)
    except StripeError as error:
        if error.status != 402 and error.body.get("param") != "payment_method":
            raise
        return _confirm_page(sandbox, session, subscription, price, {"form": str(error)}, error.status)
    if intent:
        return RedirectResponse(authentication_page.path_of(intent), 303)
    changed = any(item["price"] == price for item in subscription_life.items_of(sandbox, subscription))
    return _done(sandbox, session, "plan_changed" if changed else "plan_scheduled")


def _keep_plan(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    with sandbox.transaction():
        life.keep_plan(sandbox, session, _subscription_at(sandbox, request, session))
    return _done(sandbox, session, "plan_kept")


# ------------------------------------------------------------------------------------ ending
def _show_cancel(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    subscription = _subscription_at(sandbox, request, session)
    settings = life.features_of(sandbox, session)["subscription_cancel"]
    reason = settings["cancellation_reason"]
    return _portal_page(
        sandbox,
        session,
        "portal_cancel.html",
        plan=_plan(sandbox, session, subscription),
        ends_at=subscription_life.period_end(sandbox, subscription, max)
        if settings["mode"] == "at_period_end"
        else None,
        reasons={key: REASONS[key] for key in reason["options"]} if reason["enabled"] else {},
    )


def _cancel(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    with sandbox.transaction():
        subscription = life.cancel(
            sandbox,
            session,
            _subscription_at(sandbox, request, session),
            form.get("feedback") or None,
            form.get("comment") or None,
        )
    return _done(sandbox, session, "cancel_scheduled" if subscription["ended_at"] is None else "canceled")


def _keep(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    with sandbox.transaction():
        life.keep(sandbox, session, _subscription_at(sandbox, request, session))
    return _done(sandbox, session, "kept")


# ------------------------------------------------------------------------------- the customer
def _details_page(
    sandbox: Sandbox,
    session: Document,
    values: dict[str, str],
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    allowed = life.features_of(sandbox, session)["customer_update"]["allowed_updates"]
    return _portal_page(
        sandbox, session, "portal_details.html", status, values=values, allowed=allowed, errors=errors or {}
    )


def _show_details(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    customer = life.customer_of(sandbox, session)
    values = {name: customer[name] or "" for name in ("name", "email", "phone")}
    values |= {part: (customer["address"] or {}).get(part) or "" for part in _ADDRESS}
    return _details_page(sandbox, session, values)


def _change_details(sandbox: Sandbox, request: Request, session: Document, form: dict[str, str]) -> Response:
    allowed = life.features_of(sandbox, session)["customer_update"]["allowed_updates"]
    details: dict[str, Any] = {
        name: form[name] for name in ("name", "email", "phone") if name in allowed and name in form
    }
    if "address" in allowed and "line1" in form:
        address = {part: form.get(part) or None for part in _ADDRESS} | {"country": hosted_pages.typed_country(form)}
        details["address"] = address if any(address.values()) else None
    try:
        with sandbox.transaction():
            life.change_details(sandbox, session, details)
    except StripeError as error:
        values = {name: form.get(name, "") for name in ("name", "email", "phone", *_ADDRESS)}
        return _details_page(sandbox, session, values, {error.body.get("param", "form"): str(error)}, error.status)
    return _done(sandbox, session, "details")
