"""The ASGI application: /v1 for the API, /c, /i and /p for hosted pages, /_sandbox for control.

Everything runs on the one event loop, a request at a time: each is a few milliseconds of synchronous Python.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from . import (
    authentication_page,
    checkout_page,
    control,
    control_page,
    hosted_pages,
    idempotency,
    invoice_page,
    portal_page,
)
from .api import MAX_BODY_BYTES, Answer, ApiRequest, error_answer, handle, note_unemulated, show
from .errors import StripeError, unrecognized_url
from .sandbox import Sandbox


class ApiEndpoint:
    """/v1/...: reads the request, lets api.handle answer, then releases the webhooks it caused.

    What chaos does to the wire happens here: late answers, and none at all.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._in_flight: set[str] = set()
        # Seconds every answer takes; 0 but in tests of what happens meanwhile (409, time-outs).
        self.latency = 0.0
        # Requests that have come and are not done, those whose client has gone among them.
        self.not_done = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        if answer is None:
            await _hang_up(scope)
        else:
            await Response(answer.body, answer.status, answer.headers)(scope, receive, send)
        self._sandbox.deliveries.release()

    async def _answer(self, request: Request) -> Answer | None:
        """The answer, None when the connection shall be closed without one."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return self._refusal(request, StripeError(413, "Invalid request: the body is too large."))
        path = request.scope["path"]
        if path.startswith("/v2/"):
            error = unrecognized_url(request.method, path[:500], known_to_stripe=True)
            note_unemulated(self._sandbox, request.method, path, error)
            return self._refusal(request, error)
        fate = self._sandbox.chaos.for_request(request.method, path)
        if "no_answer" in fate:
            return None
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is not None and key in self._in_flight:
            return self._refusal(request, idempotency.in_use(key[:300]))
        if key is not None:
            self._in_flight.add(key)
        try:
            self.not_done += 1
            try:
                if self.latency:
                    await asyncio.sleep(self.latency)
                answer = handle(
                    self._sandbox,
                    ApiRequest(request.method, path, request.scope["query_string"], dict(request.headers), body),
                    fate,
                )
            finally:
                self.not_done -= 1
            if "slow" in fate:
                # What was done is done, and its key still in flight: a client that gives up and tries again
                # meanwhile gets 409, as at Stripe.
                await asyncio.sleep(self._sandbox.chaos.slow_seconds)
            return None if "die_after_write" in fate else answer
        finally:
            if key is not None:
                self._in_flight.discard(key)

    def _refusal(self, request: Request, error: StripeError) -> Answer:
        """The answer to a request that does not come as far as api.handle."""
        answer = _plain_error(error)
        show(self._sandbox, request.method, request.scope["path"], [], answer)
        return answer


async def _hang_up(scope: Scope) -> None:
    """Close the connection without an answer. Raises RuntimeError where the server does not let us."""
    abort = scope.get("stripe_sandbox.abort")
    if abort is None:
        raise RuntimeError("this server cannot close a connection without an answer")
    abort()
    await asyncio.sleep(0.01)  # until the server has seen that it is closed


def _plain_error(error: StripeError) -> Answer:
    from . import API_VERSION, ids

    request_id = ids.new("request")
    answer = error_answer(error, request_id)
    answer.headers = {
        "Request-Id": request_id,
        "Stripe-Version": API_VERSION,
        "Content-Type": "application/json",
    }
    return answer


async def _nowhere(request: Request, error: Exception) -> Response:
    answer = _plain_error(unrecognized_url(request.method, request.scope["path"][:500]))
    return Response(answer.body, answer.status, answer.headers)


def create_app(sandbox: Sandbox) -> Starlette:
    """The application for one sandbox. `app.state.api.latency` slows every answer down."""
    api = ApiEndpoint(sandbox)
    routes: list[Any] = [
        Route("/v1/{path:path}", api),
        Route("/v2/{path:path}", api),
        hosted_pages.stylesheet_route(),
        *checkout_page.routes(sandbox),
        *authentication_page.routes(sandbox),
        *invoice_page.routes(sandbox),
        *portal_page.routes(sandbox),
        *control.routes(sandbox),
        *control_page.routes(sandbox),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _nowhere, 405: _nowhere})
    app.router.redirect_slashes = False  # Stripe does not redirect: such a URL is unrecognized
    app.state.api = api
    return app
