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
from .hosted_pages import Form, not_found, page, without_cvc
from .lifecycle import checkout_sessions as session_life
from .sandbox import Sandbox
from .store import Document

_FIELDS = ("email", *hosted_pages.CARD_FIELDS)
_UNKNOWN = "This checkout link is not valid."


def routes(sandbox: Sandbox) -> list[Route]:
    return [
        hosted_pages.route(sandbox, "GET", "/c/pay/{session}", _show),
        hosted_pages.route(sandbox, "POST", "/c/pay/{session}", _pay),
        hosted_pages.route(sandbox, "GET", "/c/pay/{session}/challenge", _show_challenge),
        hosted_pages.route(sandbox, "POST", "/c/pay/{session}/challenge", _answer_challenge),
    ]


def success_url(session: Document) -> str:
    return session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])


def _order(sandbox: Sandbox, session: Document) -> dict[str, Any]:
    """What the page tells about the purchase."""
    items = session_life.line_items(sandbox, session)
    recurring = items[0]["price"]["recurring"]
    now = sandbox.clock.now()
    return {
        "session": session,
        "business": hosted_pages.business(sandbox),
        "items": items,
        "recurring": recurring,
        "renews_at": boundary(now, recurring, 1),
        "needs_card": session_life.needs_card(session),
        "customer_email": (session["customer_details"] or {}).get("email"),
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
        errors=errors or {},
        **_order(sandbox, session),
    )


def _session_at(sandbox: Sandbox, request: Request) -> Document | None:
    session = sandbox.store.get(request.path_params["session"])
    return session if session and session["object"] == "checkout.session" else None


def _show(sandbox: Sandbox, request: Request, form: Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return not_found(sandbox, _UNKNOWN)
    return _checkout_page(sandbox, session, hosted_pages.chosen_test_card(sandbox, request))


def _pay(sandbox: Sandbox, request: Request, form: Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return not_found(sandbox, _UNKNOWN)
    if session["status"] == "complete":  # sent twice: the first one counted
        return RedirectResponse(success_url(session), 303)
    if form is None:
        return _checkout_page(sandbox, session, {}, {"form": "The form could not be read."}, 400)
    errors: dict[str, str] = {}
    card: dict[str, Any] = {}
    if session_life.needs_card(session):
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
    )
    return _outcome(sandbox, session, form, lambda s: session_life.pay_with_card(sandbox, s, card, payer))


def _show_challenge(sandbox: Sandbox, request: Request, form: Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return not_found(sandbox, _UNKNOWN)
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


def _answer_challenge(sandbox: Sandbox, request: Request, form: Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return not_found(sandbox, _UNKNOWN)
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
