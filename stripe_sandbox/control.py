"""/_sandbox: what scripts do to the local Stripe that no API call does. JSON in, JSON out; see README.md.

It answers to this machine only: the client's address must be loopback, and so must the Host header, so that a
web page whose name was rebound to 127.0.0.1 cannot drive it.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import API_VERSION, cards, ids
from .billing_cycle import boundary
from .errors import StripeError, invalid
from .lifecycle import checkout_sessions as session_life
from .lifecycle import payment_methods
from .sandbox import Sandbox
from .store import Document

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
_MAX_BODY_BYTES = 10_000
_FARTHEST_SECONDS = 10 * 366 * 86400  # of one step of the clock; at Stripe it is two years
_LONGEST_ROLL_SECONDS = 7 * 86400
FAILING_CARD, WORKING_CARD = "4000000000000341", "4242424242424242"

Handler = Callable[[Sandbox, Request, dict[str, Any]], Any]


def card_details(sandbox: Sandbox, number: str) -> dict[str, Any]:
    """A card of this number with a date in the future and a CVC."""
    year = datetime.fromtimestamp(sandbox.clock.now(), UTC).year + 3
    return {"number": number, "exp_month": 12, "exp_year": year, "cvc": "123"}


def pay_session(sandbox: Sandbox, session_id: str, card: str, challenge: str = "succeed") -> dict[str, Any]:
    """Pay an open session as its page does, with a valid date and CVC. Returns the completed session.

    `challenge` answers the 3D Secure question of a card that has one: "succeed" or "fail". Raises the 402 of
    a refused card; the session is then still open.
    """
    payer = session_life.Payer(email="customer@example.com", name="Test Customer", country="US")
    session = sandbox.get("checkout.session", session_id, "session", in_path=True)
    with sandbox.in_time_of(session):
        try:
            with sandbox.transaction():
                session = sandbox.get("checkout.session", session_id)
                session = session_life.pay_with_card(sandbox, session, card_details(sandbox, card), payer)
        except session_life.ChallengeRequired:
            with sandbox.transaction():
                session = sandbox.get("checkout.session", session_id)
                session = session_life.answer_challenge(sandbox, session, challenge == "succeed")
        return sandbox.render(session)


def cancel_session(sandbox: Sandbox, session_id: str) -> dict[str, Any]:
    """What the page's back link does: the customer leaves for cancel_url, the session stays open."""
    return sandbox.render(sandbox.get("checkout.session", session_id, "session", in_path=True))


def swap_card(sandbox: Sandbox, customer_id: str, card: str) -> Document:
    """Give a customer another card wherever the old one is the default: "the card starts failing".

    See payment_methods.take_over for where that is. The card is attached without asking the bank, as a card is that
    worked once. Returns the customer.
    """
    if not cards.is_number(card) or card not in cards.BY_NUMBER:
        raise invalid("card must be the number of a test card.", "card")
    with sandbox.transaction():
        customer = sandbox.get("customer", customer_id, "customer", in_path=True)
        with sandbox.in_time_of(customer):
            method = payment_methods.new_card(sandbox, card_details(sandbox, card), {"name": customer["name"]})
            payment_methods.attach(sandbox, method, customer, check=False)
            payment_methods.take_over(sandbox, method, customer)
        return customer


def moment_after(sandbox: Sandbox, *, seconds: int = 0, days: int = 0, months: int = 0, to: int | None = None) -> int:
    """The moment so far from now, calendar months as billing counts them; or `to`. Raises 400."""
    now = sandbox.clock.now()
    if to is None:
        moment = now
        if months:
            if not 0 < months <= 120:
                raise invalid("The clock goes forward by at most 120 months at once.", "advance_months")
            moment = boundary(now, {"interval": "month", "interval_count": 1}, months)
        moment += days * 86400 + seconds
    else:
        moment = to
    if not now <= moment <= now + _FARTHEST_SECONDS:
        raise invalid("The clock goes forward only, and at most ten years at once.", "to")
    return moment


def roll_secret(sandbox: Sandbox, endpoint_id: str, expire_seconds: float) -> dict[str, Any]:
    """Give a webhook endpoint a new secret, as Stripe's Dashboard does; the old one signs on for a while."""
    with sandbox.transaction():
        endpoint = sandbox.get("webhook_endpoint", endpoint_id, in_path=True)
        until = sandbox.clock.wall() + expire_seconds
        former = {"secret": endpoint["_secret"], "until": until}
        changes = {"_secret": "whsec_" + ids.token(32), "_former_secret": former}
        sandbox.change(endpoint, changes=changes)
        return {"id": endpoint_id, "secret": endpoint["_secret"], "former_secret_valid_until": int(until)}


def _pay(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    card, challenge = body.get("card", "4242424242424242"), body.get("challenge", "succeed")
    if not isinstance(card, str):
        raise invalid("card must be a card number as a string.", "card")
    if challenge not in ("succeed", "fail"):
        raise invalid("challenge must be 'succeed' or 'fail'.", "challenge")
    return pay_session(sandbox, request.path_params["session"], card, challenge)


def _cancel(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return cancel_session(sandbox, request.path_params["session"])


def _deliveries(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    limit = request.query_params.get("limit", "100")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= 1000):
        raise invalid("limit must be 1-1000.", "limit")
    listing = sandbox.deliveries.listing(int(limit), request.query_params.get("event"))
    return {"paused": sandbox.deliveries.paused, "data": listing}


def _redeliver(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return sandbox.deliveries.redeliver(request.path_params["delivery"])


def _webhooks(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    if not isinstance(body.get("paused"), bool):
        raise invalid("paused must be true or false.", "paused")
    sandbox.deliveries.pause(body["paused"])
    return {"paused": sandbox.deliveries.paused}


def _card(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    if not isinstance(body.get("card"), str):
        raise invalid("card must be a card number as a string.", "card")
    return sandbox.render(swap_card(sandbox, request.path_params["customer"], body["card"]))


def _roll(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    seconds = body.get("expire_seconds", 24 * 3600)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise invalid("expire_seconds must be a number.", "expire_seconds")
    if not 0 <= seconds <= _LONGEST_ROLL_SECONDS:
        raise invalid("The former secret can stay valid for up to 7 days.", "expire_seconds")
    return roll_secret(sandbox, request.path_params["endpoint"], seconds)


def _show_chaos(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return sandbox.chaos.shown()


def _set_chaos(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    sandbox.chaos.set(body)
    return sandbox.chaos.shown()


def _not_emulated(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return {"data": sandbox.not_emulated.listing()}


def _show_clock(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return {"now": sandbox.now(), "ahead_seconds": sandbox.clock.offset}


_STEPS = {"advance_seconds": "seconds", "advance_days": "days", "advance_months": "months", "to": "to"}


def _asked_moment(sandbox: Sandbox, body: dict[str, Any]) -> int:
    """Where the clock shall go: exactly one of the steps. Raises 400."""
    if len(body) != 1 or next(iter(body)) not in _STEPS:
        raise invalid(f"Pass one of {', '.join(_STEPS)}.")
    [(name, value)] = body.items()
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"{name} must be a whole number from 0 on.", name)
    return moment_after(sandbox, **{_STEPS[name]: value})


async def advance_clock(sandbox: Sandbox, moment: int) -> dict[str, Any]:
    """Move the clock in another thread: the year of a thousand subscriptions takes a while, and requests and
    webhooks go on meanwhile.
    """
    before = sandbox.now()
    done = await run_in_threadpool(sandbox.advance_to, max(moment, before), webhooks_in_time=True)
    return {"now": sandbox.now(), "advanced_seconds": moment - before, "work_done": done}


def _health(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return {"status": "ok", "api_version": API_VERSION, "now": sandbox.now()}


def _reset(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    if not sandbox.settings.allow_reset:
        raise StripeError(403, "This sandbox was not started with --allow-reset.")
    sandbox.reset()
    return {"status": "ok"}


def is_local(request: Request) -> bool:
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name.lower() not in _LOCAL_HOSTS:
        return False
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def _body(request: Request) -> dict[str, Any]:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            raise StripeError(413, "The body is too large.")
    if not content:
        return {}
    # Only JSON, and said to be: a form on a web page cannot send that content type without asking first
    # (CORS).
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise StripeError(415, "The body must be application/json.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise invalid("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object.")
    return body


def routes(sandbox: Sandbox) -> list[Route]:
    def route(method: str, path: str, handler: Handler | None) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                if not is_local(request):
                    raise StripeError(403, "The control API answers to this machine only.")
                if method == "POST" and "origin" in request.headers:
                    raise StripeError(403, "The control API does not answer to web pages.")
                body = await _body(request)
                if handler is None:
                    with sandbox.lock:
                        sandbox.run_due_work()
                        moment = _asked_moment(sandbox, body)
                    answer = JSONResponse(await advance_clock(sandbox, moment))
                else:
                    with sandbox.lock:
                        sandbox.run_due_work()
                        answer = JSONResponse(handler(sandbox, request, body))
            except StripeError as error:
                answer = JSONResponse({"error": error.body}, error.status)
            # Runs when the answer has been sent; only then may the webhooks go out.
            answer.background = BackgroundTask(sandbox.deliveries.release)
            return answer

        return Route("/_sandbox" + path, endpoint, methods=[method])

    return [
        route("GET", "/clock", _show_clock),
        route("POST", "/clock", None),  # not under the lock, see advance_clock
        route("POST", "/customers/{customer}/card", _card),
        route("GET", "/chaos", _show_chaos),
        route("POST", "/chaos", _set_chaos),
        route("GET", "/not-emulated", _not_emulated),
        route("POST", "/webhook_endpoints/{endpoint}/roll", _roll),
        route("POST", "/checkout/{session}/pay", _pay),
        route("POST", "/checkout/{session}/cancel", _cancel),
        route("GET", "/deliveries", _deliveries),
        route("POST", "/deliveries/{delivery}/redeliver", _redeliver),
        route("POST", "/webhooks", _webhooks),
        route("GET", "/health", _health),
        route("POST", "/reset", _reset),
    ]
