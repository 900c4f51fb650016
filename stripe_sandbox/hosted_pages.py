"""The pages that a customer sees: Checkout, its 3D Secure challenge, and an invoice.

Server-rendered forms without JavaScript. They do what control.py does for scripts, through
lifecycle/checkout_sessions.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import cards
from .billing_cycle import boundary, interval_text, money
from .errors import StripeError
from .lifecycle import checkout_sessions as session_life
from .sandbox import Sandbox
from .store import Document

_PAGES = Path(__file__).with_name("pages")
_MAX_FORM_BYTES = 20_000
_Form = dict[str, str] | None  # the posted fields, None when they could not be read
_FIELDS = ("email", "number", "expiry", "cvc", "name", "country", "postal_code")
# Which field a refused card's message belongs to; any other message stands above the form.
_FIELD_OF_CODE = {
    "incorrect_number": "number",
    "invalid_expiry_month": "expiry",
    "invalid_expiry_year": "expiry",
    "expired_card": "expiry",
    "invalid_cvc": "cvc",
    "incorrect_cvc": "cvc",
    "email_invalid": "email",
}
# Enough to choose from in a sandbox; the card network does not ask.
COUNTRIES = {
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "BR": "Brazil",
    "CA": "Canada",
    "CH": "Switzerland",
    "CZ": "Czechia",
    "DE": "Germany",
    "DK": "Denmark",
    "ES": "Spain",
    "FI": "Finland",
    "FR": "France",
    "GB": "United Kingdom",
    "IE": "Ireland",
    "IN": "India",
    "IT": "Italy",
    "JP": "Japan",
    "MX": "Mexico",
    "NL": "Netherlands",
    "NO": "Norway",
    "NZ": "New Zealand",
    "PL": "Poland",
    "PT": "Portugal",
    "SE": "Sweden",
    "SG": "Singapore",
    "US": "United States",
    "ZA": "South Africa",
}

_templates = Environment(
    loader=FileSystemLoader(_PAGES),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
)


def _day(moment: int) -> str:
    day = datetime.fromtimestamp(moment, UTC)
    return f"{day.day} {day:%B %Y}"


def _grouped(number: str) -> str:
    """4242424242424242 -> 4242 4242 4242 4242, as printed on the card."""
    return (
        " ".join(re.findall(r"\d{1,4}", number)) if len(number) != 15 else f"{number[:4]} {number[4:10]} {number[10:]}"
    )


_templates.filters |= {"money": money, "day": _day, "grouped": _grouped, "interval": interval_text}


def _page(name: str, status: int = 200, form_target: str | None = None, **values: Any) -> HTMLResponse:
    """Render a template. `form_target` is where a form's answer may redirect to besides this site."""
    origins = "'self'"
    if form_target:
        parts = urlsplit(form_target)
        # Browsers apply form-action to the redirect after the form as well.
        origins += f" {parts.scheme}://{parts.netloc}"
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {origins}",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_templates.get_template(name).render(**values), status, headers)


def _business(sandbox: Sandbox) -> str:
    return sandbox.store.find("account")[0]["business_profile"]["name"]


def success_url(session: Document) -> str:
    return session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])


def _order(sandbox: Sandbox, session: Document) -> dict[str, Any]:
    """What the page tells about the purchase."""
    items = session_life.line_items(sandbox, session)
    recurring = items[0]["price"]["recurring"]
    now = sandbox.clock.now()
    return {
        "session": session,
        "business": _business(sandbox),
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
        return _page(
            "ended.html",
            business=_business(sandbox),
            session=session,
            way_back=success_url(session) if session["status"] == "complete" else session["cancel_url"],
        )
    return _page(
        "checkout.html",
        status,
        form_target=session["success_url"],
        values={field: values.get(field, "") for field in _FIELDS},
        errors=errors or {},
        test_cards=cards.emulated(),
        countries=COUNTRIES,
        **_order(sandbox, session),
    )


def _not_found(sandbox: Sandbox, what: str) -> Response:
    return _page("not_found.html", 404, business=_business(sandbox), what=what)


def _typed_card(form: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (card, errors by field) of what stands in the form."""
    errors = {}
    number = re.sub(r"[\s-]", "", form.get("number", ""))
    if not cards.is_number(number):
        errors["number"] = "Your card number is incorrect." if number else "Enter the card number."
    expiry = re.fullmatch(r"\s*([0-9]{1,2})\s*[/ -]?\s*([0-9]{4}|[0-9]{2})\s*", form.get("expiry", ""))
    if not expiry:
        errors["expiry"] = "Enter the expiry date as MM / YY."
    cvc = form.get("cvc", "").strip()
    if not cvc:
        errors["cvc"] = "Enter the security code."
    if not form.get("name", "").strip():
        errors["name"] = "Enter the name on the card."
    month, year = (int(expiry[1]), int(expiry[2])) if expiry else (0, 0)
    return {"number": number, "exp_month": month, "exp_year": year, "cvc": cvc}, errors


async def _form(request: Request) -> _Form:
    """The posted fields, None when they are too large or no text."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_FORM_BYTES:
            return None
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        return None
    form = {key: value.strip()[:300] for key, value in pairs}
    return None if any("\x00" in value for value in form.values()) else form


def routes(sandbox: Sandbox) -> list[Route]:
    """The pages' addresses: each handler is synchronous and runs under the sandbox's lock."""

    def page(method: str, path: str, handler: Callable[..., Response]) -> Route:
        async def endpoint(request: Request) -> Response:
            form = await _form(request) if method == "POST" else {}
            with sandbox.lock:
                sandbox.run_due_work()
                response = handler(sandbox, request, form)
            # Runs when the page has been sent; only then may the webhooks go out.
            response.background = BackgroundTask(sandbox.deliveries.release)
            return response

        return Route(path, endpoint, methods=[method])

    return [
        Route("/c/checkout.css", _stylesheet),
        page("GET", "/c/pay/{session}", _show),
        page("POST", "/c/pay/{session}", _pay),
        page("GET", "/c/pay/{session}/challenge", _show_challenge),
        page("POST", "/c/pay/{session}/challenge", _answer_challenge),
        page("GET", "/i/{invoice}", _show_invoice),
    ]


async def _stylesheet(request: Request) -> Response:
    headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
    return Response((_PAGES / "checkout.css").read_bytes(), 200, headers, media_type="text/css")


def _session_at(sandbox: Sandbox, request: Request) -> Document | None:
    session = sandbox.store.get(request.path_params["session"])
    return session if session and session["object"] == "checkout.session" else None


def _show(sandbox: Sandbox, request: Request, form: _Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return _not_found(sandbox, "This checkout link is not valid.")
    values: dict[str, str] = {}
    card = cards.BY_NUMBER.get(request.query_params.get("card", ""))
    if card:
        year = datetime.fromtimestamp(sandbox.clock.now(), UTC).year + 3
        values = {
            "number": _grouped(card.number),
            "expiry": f"12 / {year % 100}",
            "cvc": "1234" if card.brand == "amex" else "123",
            "name": "Test Customer",
        }
    return _checkout_page(sandbox, session, values)


def _pay(sandbox: Sandbox, request: Request, form: _Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return _not_found(sandbox, "This checkout link is not valid.")
    if session["status"] == "complete":  # sent twice: the first one counted
        return RedirectResponse(success_url(session), 303)
    if form is None:
        return _checkout_page(sandbox, session, {}, {"form": "The form could not be read."}, 400)
    errors: dict[str, str] = {}
    card: dict[str, Any] = {}
    if session_life.needs_card(session):
        card, errors = _typed_card(form)
    known = (session["customer_details"] or {}).get("email")
    if not known and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", form.get("email", "")):
        errors["email"] = "Enter an email address."
    if errors:
        return _checkout_page(sandbox, session, _without_cvc(form), errors, 400)
    payer = session_life.Payer(
        email=form.get("email") or None,
        name=form.get("name") or None,
        country=form["country"] if form.get("country") in COUNTRIES else None,
        postal_code=form.get("postal_code", "")[:20] or None,
    )
    return _outcome(sandbox, session, form, lambda s: session_life.pay_with_card(sandbox, s, card, payer))


def _show_challenge(sandbox: Sandbox, request: Request, form: _Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return _not_found(sandbox, "This checkout link is not valid.")
    if session["status"] != "open" or not session.get("_challenged_payment_method"):
        return RedirectResponse(f"/c/pay/{session['id']}", 303)
    method = sandbox.get("payment_method", session["_challenged_payment_method"])
    order = _order(sandbox, session)
    return _page("challenge.html", form_target=session["success_url"], method=method, **order)


def _answer_challenge(sandbox: Sandbox, request: Request, form: _Form) -> Response:
    session = _session_at(sandbox, request)
    if session is None:
        return _not_found(sandbox, "This checkout link is not valid.")
    if session["status"] == "complete":
        return RedirectResponse(success_url(session), 303)
    outcome = (form or {}).get("outcome")
    if outcome not in ("complete", "fail") or not session.get("_challenged_payment_method"):
        return RedirectResponse(f"/c/pay/{session['id']}/challenge", 303)
    return _outcome(sandbox, session, {}, lambda s: session_life.answer_challenge(sandbox, s, outcome == "complete"))


def _show_invoice(sandbox: Sandbox, request: Request, form: _Form) -> Response:
    invoice = sandbox.store.get(request.path_params["invoice"])
    if not invoice or invoice["object"] != "invoice" or invoice["status"] == "draft":
        return _not_found(sandbox, "This invoice link is not valid.")
    lines = sandbox.store.find("line_item", {"invoice": invoice["id"]})
    return _page("invoice.html", business=_business(sandbox), invoice=invoice, lines=lines)


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
        field = _FIELD_OF_CODE.get(error.body.get("code", ""), "form")
        session = sandbox.get("checkout.session", session_id)
        return _checkout_page(sandbox, session, _without_cvc(form), {field: str(error)}, error.status)


def _without_cvc(form: dict[str, str]) -> dict[str, str]:
    """What may be shown again: a security code is typed anew."""
    return {key: value for key, value in form.items() if key != "cvc"}
