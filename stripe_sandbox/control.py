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
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import API_VERSION
from .errors import StripeError, invalid
from .lifecycle import checkout_sessions as session_life
from .sandbox import Sandbox

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
_MAX_BODY_BYTES = 10_000

Handler = Callable[[Sandbox, Request, dict[str, Any]], Any]


def pay_session(sandbox: Sandbox, session_id: str, card: str, challenge: str = "succeed") -> dict[str, Any]:
    """Pay an open session as its page does, with a valid date and CVC. Returns the completed session.

    `challenge` answers the 3D Secure question of a card that has one: "succeed" or "fail". Raises the 402 of
    a refused card; the session is then still open.
    """
    year = datetime.fromtimestamp(sandbox.clock.now(), UTC).year + 2
    details = {"number": card, "exp_month": 12, "exp_year": year, "cvc": "123"}
    payer = session_life.Payer(email="customer@example.com", name="Test Customer", country="US")
    try:
        with sandbox.transaction():
            session = sandbox.get("checkout.session", session_id, "session", in_path=True)
            session = session_life.pay_with_card(sandbox, session, details, payer)
    except session_life.ChallengeRequired:
        with sandbox.transaction():
            session = session_life.answer_challenge(
                sandbox, sandbox.get("checkout.session", session_id), challenge == "succeed"
            )
    return sandbox.render(session)


def cancel_session(sandbox: Sandbox, session_id: str) -> dict[str, Any]:
    """What the page's back link does: the customer leaves for cancel_url, the session stays open."""
    return sandbox.render(sandbox.get("checkout.session", session_id, "session", in_path=True))


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


def _health(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    return {"status": "ok", "api_version": API_VERSION, "now": sandbox.clock.now()}


def _reset(sandbox: Sandbox, request: Request, body: dict[str, Any]) -> Any:
    if not sandbox.settings.allow_reset:
        raise StripeError(403, "This sandbox was not started with --allow-reset.")
    sandbox.reset()
    return {"status": "ok"}


def _is_local(request: Request) -> bool:
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
    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                if not _is_local(request):
                    raise StripeError(403, "The control API answers to this machine only.")
                if method == "POST" and "origin" in request.headers:
                    raise StripeError(403, "The control API does not answer to web pages.")
                body = await _body(request)
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
        route("POST", "/checkout/{session}/pay", _pay),
        route("POST", "/checkout/{session}/cancel", _cancel),
        route("GET", "/deliveries", _deliveries),
        route("POST", "/deliveries/{delivery}/redeliver", _redeliver),
        route("POST", "/webhooks", _webhooks),
        route("GET", "/health", _health),
        route("POST", "/reset", _reset),
    ]
