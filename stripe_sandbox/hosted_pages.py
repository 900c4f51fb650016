"""What the pages that a customer sees have in common: templates, headers, forms, the card fields.

Server-rendered forms without JavaScript. Each page has a file of its own: checkout_page.py, portal_page.py,
invoice_page.py, authentication_page.py. They do what control.py and testing.py do for scripts, through lifecycle/.
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
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from . import cards
from .billing_cycle import interval_text, money
from .sandbox import Sandbox

_PAGES = Path(__file__).with_name("pages")
_MAX_FORM_BYTES = 20_000
Form = dict[str, str] | None  # the posted fields, None when they could not be read
Handler = Callable[[Sandbox, Request, Form], Response]

CARD_FIELDS = ("number", "expiry", "cvc", "name", "country", "postal_code")
# Which field a refused card's message belongs to; any other message stands above the form.
FIELD_OF_CODE = {
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


def day(moment: int) -> str:
    """3 March 2026 (UTC)"""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at:%B %Y}"


def _grouped(number: str) -> str:
    """4242424242424242 -> 4242 4242 4242 4242, as printed on the card."""
    return (
        " ".join(re.findall(r"\d{1,4}", number)) if len(number) != 15 else f"{number[:4]} {number[4:10]} {number[10:]}"
    )


_templates.filters |= {"money": money, "day": day, "grouped": _grouped, "interval": interval_text}
_templates.globals |= {"test_cards": cards.emulated(), "countries": COUNTRIES}


def page(template: str, status: int = 200, form_target: str | None = None, **values: Any) -> HTMLResponse:
    """Render a template. `form_target` is where a form's answer may redirect to besides this site."""
    origins = "'self'"
    parts = urlsplit(form_target or "")
    if parts.netloc:
        # Browsers apply form-action to the redirect after the form as well.
        origins += f" {parts.scheme}://{parts.netloc}"
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {origins}",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(_templates.get_template(template).render(**values), status, headers)


def business(sandbox: Sandbox) -> str:
    """The name of the account, whom customers pay."""
    return sandbox.store.find("account")[0]["business_profile"]["name"]


def not_found(sandbox: Sandbox, what: str) -> Response:
    return page("not_found.html", 404, business=business(sandbox), what=what)


def route(sandbox: Sandbox, method: str, path: str, handler: Handler) -> Route:
    """A page's address: its handler is synchronous and runs under the sandbox's lock."""

    async def endpoint(request: Request) -> Response:
        form = await _form(request) if method == "POST" else {}
        with sandbox.lock:
            sandbox.run_due_work()
            response = handler(sandbox, request, form)
        # Runs when the page has been sent; only then may the webhooks go out.
        response.background = BackgroundTask(sandbox.deliveries.release)
        return response

    return Route(path, endpoint, methods=[method])


async def _form(request: Request) -> Form:
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


def stylesheet_route() -> Route:
    async def stylesheet(request: Request) -> Response:
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response((_PAGES / "checkout.css").read_bytes(), 200, headers, media_type="text/css")

    return Route("/c/checkout.css", stylesheet)


# --------------------------------------------------------------------------- the card fields
def chosen_test_card(sandbox: Sandbox, request: Request) -> dict[str, str]:
    """The fields filled in with the test card that a link on the page named; none without one."""
    card = cards.BY_NUMBER.get(request.query_params.get("card", ""))
    if card is None:
        return {}
    year = datetime.fromtimestamp(sandbox.clock.now(), UTC).year + 3
    return {
        "number": _grouped(card.number),
        "expiry": f"12 / {year % 100}",
        "cvc": "1234" if card.brand == "amex" else "123",
        "name": "Test Customer",
    }


def typed_card(form: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
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


def typed_country(form: dict[str, str]) -> str | None:
    return form["country"] if form.get("country") in COUNTRIES else None


def typed_address(form: dict[str, str]) -> dict[str, Any]:
    """What the card fields tell of the payer's address."""
    return {
        "city": None,
        "country": typed_country(form),
        "line1": None,
        "line2": None,
        "postal_code": form.get("postal_code", "")[:20] or None,
        "state": None,
    }


def without_cvc(form: dict[str, str]) -> dict[str, str]:
    """What may be shown again: a security code is typed anew."""
    return {key: value for key, value in form.items() if key != "cvc"}
