"""The Checkout page and its 3D Secure challenge. Its acts are those of lifecycle/checkout_sessions.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import hosted_pages
from .billing_cycle import boundary
from .errors import StripeError
from .hosted_pages import Form, page, without_cvc
from .lifecycle import checkout_sessions as session_life
from .lifecycle import discounts, subscriptions
from .sandbox import Sandbox
from .store import Document

_FIELDS = ("email", "code", *hosted_pages.CARD_FIELDS)

_Visit = Callable[[Sandbox, Request, Document, Form], Response]


def routes(sandbox: Sandbox) -> list[Route]:
    def at(method: str, path: str, visit: _Visit) -> Route:
        return hosted_pages.route(sandbox, method, "/c/pay/{session}" + path, _with_session(visit))

    return [
        at("GET", "", _show),
        at("POST", "", _pay),
        at("POST", "/code", _change_code),
        at("GET", "/challenge", _show_challenge),
        at("POST", "/challenge", _answer_challenge),
    ]


def _with_session(visit: _Visit) -> hosted_pages.Handler:
    """The session in the address, visited on its customer's timeline (a test clock's)."""

    def handler(sandbox: Sandbox, request: Request, form: Form) -> Response:
        session = sandbox.store.get(request.path_params["session"])
        if not session or session["object"] != "checkout.session":
            return hosted_pages.not_found(sandbox, "This checkout link is not valid.")
        with sandbox.in_time_of(session):
            return visit(sandbox, request, session, form)

    return handler


def success_url(session: Document) -> str:
    return session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])


def _order(sandbox: Sandbox, session: Document) -> dict[str, Any]:
    """What the page tells about the purchase."""
    items = session_life.line_items(sandbox, session)
    recurring, renews_at, renewal = None, None, 0
    now = sandbox.clock.now()
    trial_end = session_life.trial_end_of(session, now)
    if session["mode"] == "subscription":
        recurring = items[0]["price"]["recurring"]
        renews_at = trial_end or boundary(now, recurring, 1)
        renewal = subscriptions.total_of(session_life.lines_of(sandbox, session))
    return {
        "session": session,
        "business": hosted_pages.business(sandbox),
        "items": items,
        "recurring": recurring,
        "renews_at": renews_at,
        "renewal": renewal,  # what each period costs, without usage and discounts
        "by_usage": any(item["quantity"] is None for item in items),
        "trial_end": trial_end,
        "discount": _discount(sandbox, session),
        "needs_card": session_life.needs_card(session),
        "saved_cards": session_life.saved_cards(sandbox, session),
        "offers_to_keep": (session["saved_payment_method_options"] or {}).get("payment_method_save") == "enabled",
        "customer_email": (session["customer_details"] or {}).get("email"),
    }


def _discount(sandbox: Sandbox, session: Document) -> dict[str, Any] | None:
    """{name, amount} of what is taken off, None when nothing is."""
    if not session["discounts"]:
        return None
    held = session["discounts"][0]
    code = sandbox.get("promotion_code", held["promotion_code"]) if held["promotion_code"] else None
    coupon = sandbox.get("coupon", code["promotion"]["coupon"] if code else held["coupon"])
    name = code["code"] if code else coupon["name"] or coupon["id"]
    return {
        "name": name,
        "terms": discounts.description(coupon),
        "amount": session["total_details"]["amount_discount"],
        "removable": bool(session["allow_promotion_codes"]),
    }


def _checkout_page(
    sandbox: Sandbox,
    session: Document,
    values: dict[str, str],
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    if session["status"] != "open":
        return page(
            "ended.html",
            business=hosted_pages.business(sandbox),
            session=session,
            way_back=success_url(session) if session["status"] == "complete" else session["cancel_url"],
        )
    return page(
        "checkout.html",
        status,
        form_target=session["success_url"],
        values={field: values.get(field, "") for field in _FIELDS},
        chosen=values.get("payment_method"),
        errors=errors or {},
        **_order(sandbox, session),
    )


def _show(sandbox: Sandbox, request: Request, session: Document, form: Form) -> Response:
    return _checkout_page(sandbox, session, hosted_pages.chosen_test_card(sandbox, request))


def _pay(sandbox: Sandbox, request: Request, session: Document, form: Form) -> Response:
    if session["status"] == "complete":  # sent twice: the first one counted
        return RedirectResponse(success_url(session), 303)
    if form is None:
        return _checkout_page(sandbox, session, {}, {"form": "The form could not be read."}, 400)
    errors: dict[str, str] = {}
    card: dict[str, Any] = {}
    saved = form.get("payment_method")
    if session_life.needs_card(session) and not saved:
        card, errors = hosted_pages.typed_card(form)
    known = (session["customer_details"] or {}).get("email")
    if not known and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", form.get("email", "")):
        errors["email"] = "Enter an email address."
    if errors:
        return _checkout_page(sandbox, session, without_cvc(form), errors, 400)
    payer = session_life.Payer(
        email=form.get("email") or None,
        name=form.get("name") or None,
        country=hosted_pages.typed_country(form),
        postal_code=form.get("postal_code", "")[:20] or None,
        keep_card=bool(form.get("keep")),
    )
    if saved:
        return _outcome(sandbox, session, form, lambda s: session_life.pay_with_saved_card(sandbox, s, saved, payer))
    return _outcome(sandbox, session, form, lambda s: session_life.pay_with_card(sandbox, s, card, payer))


def _change_code(sandbox: Sandbox, request: Request, session: Document, form: Form) -> Response:
    """Enter a promotion code, or take it away."""
    here = f"/c/pay/{session['id']}"
    try:
        with sandbox.transaction():
            session = sandbox.get("checkout.session", session["id"])
            if form and form.get("remove"):
                session_life.remove_code(sandbox, session)
            else:
                session_life.enter_code(sandbox, session, (form or {}).get("code", ""))
    except StripeError as error:
        session = sandbox.get("checkout.session", session["id"])
        return _checkout_page(sandbox, session, {"code": (form or {}).get("code", "")}, {"code": str(error)}, 400)
    return RedirectResponse(here, 303)


def _show_challenge(sandbox: Sandbox, request: Request, session: Document, form: Form) -> Response:
    if session["status"] != "open" or not session.get("_challenged_payment_method"):
        return RedirectResponse(f"/c/pay/{session['id']}", 303)
    return page(
        "challenge.html",
        form_target=session["success_url"],
        method=sandbox.get("payment_method", session["_challenged_payment_method"]),
        business=hosted_pages.business(sandbox),
        amount=session["amount_total"],
        currency=session["currency"],
        action=f"/c/pay/{session['id']}/challenge",
        way_back=f"/c/pay/{session['id']}",
    )


def _answer_challenge(sandbox: Sandbox, request: Request, session: Document, form: Form) -> Response:
    if session["status"] == "complete":
        return RedirectResponse(success_url(session), 303)
    outcome = (form or {}).get("outcome")
    if outcome not in ("complete", "fail") or not session.get("_challenged_payment_method"):
        return RedirectResponse(f"/c/pay/{session['id']}/challenge", 303)
    return _outcome(sandbox, session, {}, lambda s: session_life.answer_challenge(sandbox, s, outcome == "complete"))


def _outcome(
    sandbox: Sandbox, session: Document, form: dict[str, str], act: Callable[[Document], Document]
) -> Response:
    """Run `act` and say what came of it: back to the shop, the bank's question, or the form again."""
    session_id = session["id"]
    try:
        with sandbox.transaction():
            session = act(sandbox.get("checkout.session", session_id))
        return RedirectResponse(success_url(session), 303)
    except session_life.ChallengeRequired:
        return RedirectResponse(f"/c/pay/{session_id}/challenge", 303)
    except StripeError as error:
        field = hosted_pages.FIELD_OF_CODE.get(error.body.get("code", ""), "form")
        session = sandbox.get("checkout.session", session_id)
        return _checkout_page(sandbox, session, without_cvc(form), {field: str(error)}, error.status)
