"""Where a customer answers their bank (3D Secure) outside Checkout: the address in an intent's next_action.

A renewal that was tried off session, an upgrade, a card that is to be saved: whatever the intent is for goes on
when the challenge is passed. https://docs.stripe.com/payments/3d-secure
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import hosted_pages
from .hosted_pages import Form, not_found, page
from .lifecycle import payment_intents, setup_intents
from .sandbox import Sandbox
from .store import Document

_PATH = "/c/authenticate/{intent}"


def routes(sandbox: Sandbox) -> list[Route]:
    return [
        hosted_pages.route(sandbox, "GET", _PATH, _show),
        hosted_pages.route(sandbox, "POST", _PATH, _answer),
    ]


def answer(sandbox: Sandbox, intent: Document, succeed: bool) -> None:
    """Pass or fail the challenge of a payment or setup intent. What comes of it stands in the intent."""
    with sandbox.transaction(), sandbox.in_time_of(intent):
        intent = sandbox.get(intent["object"], intent["id"])
        life = payment_intents if intent["object"] == "payment_intent" else setup_intents
        life.answer_challenge(sandbox, intent, succeed)


def path_of(intent: Document) -> str:
    return _PATH.replace("{intent}", intent["id"])


def _intent_at(sandbox: Sandbox, request: Request) -> Document | None:
    intent = sandbox.store.get(request.path_params["intent"])
    return intent if intent and intent["object"] in ("payment_intent", "setup_intent") else None


def _checkout_of(sandbox: Sandbox, intent: Document) -> Document | None:
    """The open Checkout Session whose challenge this is: that has a page of its own."""
    found = sandbox.store.find("checkout.session", {f"_{intent['object']}": intent["id"], "status": "open"}, limit=1)
    return found[0] if found else None


def _way_back(sandbox: Sandbox, intent: Document) -> str | None:
    """Whereto the customer goes on: our own page that sent them, the return_url, or the invoice's page."""
    if intent.get("_page"):
        return f"{intent['_page']}?{urlencode({'intent': intent['id']})}"
    if intent.get("_return_url"):
        status = "succeeded" if intent["status"] in ("succeeded", "requires_capture", "processing") else "failed"
        query = {
            intent["object"]: intent["id"],
            f"{intent['object']}_client_secret": intent["client_secret"],
            "redirect_status": status,
        }
        return_url = intent["_return_url"]
        return f"{return_url}{'&' if '?' in return_url else '?'}{urlencode(query)}"
    invoice = payment_intents.invoice_of(sandbox, intent) if intent["object"] == "payment_intent" else None
    return f"/i/{invoice['id']}" if invoice else None


def _after(sandbox: Sandbox, intent: Document) -> Response:
    way_back = _way_back(sandbox, intent)
    if way_back:
        return RedirectResponse(way_back, 303)
    error = intent["last_payment_error" if intent["object"] == "payment_intent" else "last_setup_error"]
    return page("authenticated.html", business=hosted_pages.business(sandbox), error=(error or {}).get("message"))


def _show(sandbox: Sandbox, request: Request, form: Form) -> Response:
    intent = _intent_at(sandbox, request)
    if intent is None:
        return not_found(sandbox, "This link is not valid.")
    checkout = _checkout_of(sandbox, intent)
    if checkout:
        return RedirectResponse(f"/c/pay/{checkout['id']}/challenge", 303)
    if intent["status"] != "requires_action":
        return _after(sandbox, intent)
    return page(
        "challenge.html",
        form_target=intent.get("_leads_on_to") or intent.get("_return_url"),
        method=sandbox.get("payment_method", intent["payment_method"]),
        business=hosted_pages.business(sandbox),
        amount=intent.get("amount"),
        currency=intent.get("currency"),
        action=path_of(intent),
        way_back=None if intent.get("_return_url") else _way_back(sandbox, intent),
    )


def _answer(sandbox: Sandbox, request: Request, form: Form) -> Response:
    intent = _intent_at(sandbox, request)
    if intent is None:
        return not_found(sandbox, "This link is not valid.")
    if _checkout_of(sandbox, intent):
        return _show(sandbox, request, form)
    outcome = (form or {}).get("outcome")
    waits = intent["status"] == "requires_action"
    if outcome not in ("complete", "fail") and waits:
        return RedirectResponse(path_of(intent), 303)
    if waits:
        answer(sandbox, intent, outcome == "complete")
        intent = sandbox.get(intent["object"], intent["id"])
    return _after(sandbox, intent)
