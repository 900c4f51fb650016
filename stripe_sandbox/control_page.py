"""/_sandbox/: the control API as a page, for whoever shows the running demo to somebody.

Plain forms, no JavaScript. Like the API it answers to this machine only; a form is taken only from this page
itself (its Origin), so that no other web page can move the clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from . import cards, control
from .chaos import DELIVERY_FAULTS, PROBABILITIES, REQUEST_FAULTS, SIZES
from .errors import StripeError
from .lifecycle import subscriptions as subscription_life
from .sandbox import Sandbox
from .store import Document

_PAGES = Path(__file__).with_name("pages")
_MAX_FORM_BYTES = 10_000
_CUSTOMERS, _DELIVERIES, _HISTORY = 25, 40, 20
_STEPS = {"day": {"days": 1}, "week": {"days": 7}, "month": {"months": 1}}
_SIZE_LABELS = {
    "slow_seconds": "A slow answer takes, seconds",
    "delay_seconds": "A delivery is late by up to, seconds",
    "requests_per_second": "Requests a second, above that 429 (0: any number)",
}

_Action = Callable[[Sandbox, dict[str, str]], Awaitable[dict[str, Any]]]


def _moment(timestamp: float) -> str:
    """23 November 2026, 09:30:05"""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M:%S}"


def _day(timestamp: float) -> str:
    moment = datetime.fromtimestamp(timestamp, UTC)
    return f"{moment.day} {moment:%B %Y}"


def _span(seconds: int) -> str:
    """3 days 4 h, 2 min"""
    days, rest = divmod(seconds, 86400)
    if days:
        return f"{days} day{'s' if days > 1 else ''}" + (f" {rest // 3600} h" if rest >= 3600 else "")
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds >= 3600 else f"{seconds // 60} min"


_templates = Environment(
    loader=FileSystemLoader(_PAGES),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"moment": _moment, "day": _day, "span": _span}


# ------------------------------------------------------------------ what the page shows
def _card_of(sandbox: Sandbox, customer: Document, subscriptions: list[Document]) -> dict[str, Any] | None:
    """The card that the next bill goes to."""
    holders = [
        *(s for s in subscriptions if s["status"] not in subscription_life.ENDED),
        customer["invoice_settings"],
    ]
    for holder in holders:
        method = sandbox.store.get(holder["default_payment_method"] or "")
        if method and method["type"] == "card":
            known = cards.BY_NUMBER.get(method["_number"])
            return {
                "brand": method["card"]["brand"].capitalize(),
                "last4": method["card"]["last4"],
                "label": known.label if known else "",
                "fails": method["_number"] != control.WORKING_CARD and bool(known and known.decline),
            }
    return None


def _subscription(sandbox: Sandbox, subscription: Document) -> dict[str, Any]:
    items = sandbox.store.find("subscription_item", {"subscription": subscription["id"]})
    names = []
    for item in items:
        product = sandbox.store.get((sandbox.store.get(item["price"]) or {}).get("product", "")) or {}
        names.append(product.get("name", "a deleted product"))
    if subscription["ended_at"]:
        when = f"ended {_day(subscription['ended_at'])}"
    elif subscription["cancel_at"]:
        when = f"ends {_day(subscription['cancel_at'])}"
    elif subscription["status"] == "trialing" and subscription["trial_end"]:
        when = f"trial until {_day(subscription['trial_end'])}"
    elif items:
        when = f"period ends {_day(min(item['current_period_end'] for item in items))}"
    else:
        when = ""
    return {
        "id": subscription["id"],
        "name": " + ".join(names) or "nothing",
        "status": subscription["status"],
        "when": when,
    }


def _customers(sandbox: Sandbox) -> list[dict[str, Any]]:
    shown = []
    for customer in sandbox.store.find("customer", oldest_first=False, limit=_CUSTOMERS):
        found = sandbox.store.find("subscription", {"customer": customer["id"]}, oldest_first=False)
        shown.append(
            {
                "id": customer["id"],
                "name": customer["name"] or customer["email"] or "No name",
                "email": customer["email"] if customer["name"] else None,
                "test_clock": customer["test_clock"],
                "card": _card_of(sandbox, customer, found),
                "subscriptions": [_subscription(sandbox, subscription) for subscription in found],
            }
        )
    return shown


def _show(sandbox: Sandbox, notice: str = "", error: str = "", status: int = 200) -> Response:
    chaos = sandbox.chaos.shown()
    content = _templates.get_template("sandbox.html").render(
        business=sandbox.store.find("account")[0]["business_profile"]["name"],
        notice=notice,
        error=error,
        now=sandbox.now(),
        ahead=sandbox.clock.offset,
        customers=_customers(sandbox),
        more_customers=len(sandbox.store.find("customer", limit=_CUSTOMERS + 1)) > _CUSTOMERS,
        chaos=chaos,
        history=sandbox.chaos.history(latest_first=True)[:_HISTORY],
        fault_groups={"API requests": REQUEST_FAULTS, "Webhook deliveries": DELIVERY_FAULTS},
        sizes={name: (_SIZE_LABELS[name], largest) for name, (_, largest) in SIZES.items()},
        paused=sandbox.deliveries.paused,
        deliveries=sandbox.deliveries.listing(_DELIVERIES),
        endpoints=sandbox.store.find("webhook_endpoint", {"status": "enabled"}),
        not_emulated=sandbox.not_emulated.listing(),
    )
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'",
        "Cache-Control": "no-store",
        # Not "no-referrer": with that a browser sends `Origin: null` along with the page's own forms.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(content, status, headers)


# ----------------------------------------------------------------- what its buttons do
async def _advance(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    with sandbox.lock:
        sandbox.run_due_work()
        moment = control.moment_after(sandbox, **_STEPS.get(form.get("step", ""), {}))
    done = await control.advance_clock(sandbox, moment)
    return {"did": "clock", "work": done["work_done"]}


async def _swap_card(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    fails = form.get("card") == "fails"
    card = control.FAILING_CARD if fails else control.WORKING_CARD
    customer = control.swap_card(sandbox, form.get("customer", ""), card)
    return {
        "did": "card-fails" if fails else "card-works",
        "who": customer["name"] or customer["email"] or "",
    }


async def _set_chaos(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    """Probabilities are percents on the page."""
    given: dict[str, Any] = {}
    for name in ("seed", *PROBABILITIES, *SIZES):
        if form.get(name):
            try:
                number = float(form[name])
            except ValueError:
                raise StripeError(400, f"{name} must be a number.", param=name) from None
            given[name] = number / 100 if name in PROBABILITIES else number
    if "seed" in given:
        given["seed"] = int(given["seed"]) if given["seed"].is_integer() else given["seed"]
    sandbox.chaos.set(given)
    return {"did": "chaos" if sandbox.chaos.active else "heal"}


async def _heal(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    sandbox.chaos.heal()
    return {"did": "heal"}


async def _pause(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    paused = form.get("paused") == "true"
    sandbox.deliveries.pause(paused)
    return {"did": "paused" if paused else "resumed"}


async def _redeliver(sandbox: Sandbox, form: dict[str, str]) -> dict[str, Any]:
    sandbox.deliveries.redeliver(form.get("delivery", ""))
    return {"did": "redelivered"}


def _notice(request: Request) -> str:
    """What the last button did: the redirect after it carries a word, the page makes a sentence of it."""
    did, work = request.query_params.get("did"), request.query_params.get("work", "")
    who = request.query_params.get("who", "")[:100] or "The customer"
    count = int(work) if work.isascii() and work.isdigit() and len(work) < 10 else 0
    happened = {0: "Nothing fell due.", 1: "One thing fell due and happened."}.get(
        count, f"{count} things fell due and happened."
    )
    return {
        "clock": f"The clock went forward. {happened}",
        "card-fails": f"{who}: every later charge of the card fails.",
        "card-works": f"{who}: the new card works.",
        "chaos": "Chaos is on.",
        "heal": "All switches are off.",
        "paused": "Webhooks wait.",
        "resumed": "Webhooks are sent.",
        "redelivered": "The delivery is queued again.",
    }.get(did or "", "")


def _comes_from_this_page(request: Request) -> bool:
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.headers.get("host")


async def _form(request: Request) -> dict[str, str]:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_FORM_BYTES:
            raise StripeError(413, "The form is too large.")
    try:
        return dict(parse_qsl(content.decode("ascii"), errors="strict", max_num_fields=50))
    except ValueError:
        raise StripeError(400, "The form could not be read.") from None


def routes(sandbox: Sandbox) -> list[Route]:
    async def show(request: Request) -> Response:
        if not control.is_local(request):
            return PlainTextResponse("This page answers to this machine only.", 403)
        with sandbox.lock:
            sandbox.run_due_work()
            response = _show(sandbox, _notice(request))
        response.background = BackgroundTask(sandbox.deliveries.release)
        return response

    def button(path: str, action: _Action) -> Route:
        async def endpoint(request: Request) -> Response:
            if not control.is_local(request) or not _comes_from_this_page(request):
                return PlainTextResponse("These buttons answer to this page on this machine only.", 403)
            response: Response
            try:
                did = await action(sandbox, await _form(request))
                response = RedirectResponse(f"/_sandbox/?{urlencode(did)}", 303)
            except StripeError as error:
                with sandbox.lock:
                    response = _show(sandbox, error=str(error), status=error.status)
            response.background = BackgroundTask(sandbox.deliveries.release)
            return response

        return Route("/_sandbox/page/" + path, endpoint, methods=["POST"])

    async def stylesheet(request: Request) -> Response:
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response((_PAGES / "sandbox.css").read_bytes(), 200, headers, media_type="text/css")

    return [
        Route("/_sandbox", show, methods=["GET"]),
        Route("/_sandbox/", show, methods=["GET"]),
        Route("/_sandbox/sandbox.css", stylesheet, methods=["GET"]),
        button("clock", _advance),
        button("card", _swap_card),
        button("chaos", _set_chaos),
        button("heal", _heal),
        button("webhooks", _pause),
        button("redeliver", _redeliver),
    ]
