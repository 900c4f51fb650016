"""One API request from bytes to bytes: key, version, parameters, idempotency, operation, expand, errors.

Plain synchronous Python under the sandbox's lock: a request is one transaction. https://docs.stripe.com/api
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from . import API_VERSION, chaos, idempotency, ids
from .errors import StripeError, invalid, unrecognized_url
from .expand import expand
from .lists import Page, SearchPage
from .operations import OPERATIONS
from .sandbox import Exchange, Request, Sandbox
from .store import Document

log = logging.getLogger("stripe_sandbox")

MAX_BODY_BYTES = 1_000_000
MAX_PARAMETERS = 5_000
_OUR_TRAIN = API_VERSION.split(".")[1]


@dataclass
class ApiRequest:
    """What the ASGI side read from the wire."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What it shall write."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def handle(sandbox: Sandbox, request: ApiRequest, fate: chaos.Fate = chaos.CALM) -> Answer:
    """Answer one request. Never raises: a defect of the sandbox is a 500 api_error, and stands in the log.

    Of the request's fate it sees to rate_limited and server_error; the rest is done on the wire (app.py).
    """
    request_id = ids.new("request")
    headers = {
        "Request-Id": request_id,
        "Content-Type": "application/json",
        "Cache-Control": "no-cache, no-store",
    }
    pairs: list[tuple[str, str]] = []
    try:
        _authenticate(sandbox, request.headers.get("authorization", ""))
        headers["Stripe-Version"] = _version(request.headers.get("stripe-version"))
        pairs = _pairs(request)
        if "rate_limited" in fate or sandbox.chaos.over_the_limit():
            headers["Stripe-Rate-Limited-Reason"] = "global-rate"
            raise chaos.rate_limited()
        with sandbox.lock:
            sandbox.run_due_work()
            answer = _execute(sandbox, request, request_id, pairs, fate)
    except StripeError as error:
        note_unemulated(sandbox, request.method, request.path, error)
        answer = error_answer(error, request_id)
    except Exception:
        log.exception("%s %s: a defect of the local Stripe", request.method, request.path)
        answer = error_answer(_defect(), request_id)
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Stripe"'
    answer.headers = {**headers, **answer.headers}
    show(sandbox, request.method, request.path, pairs, answer)
    return answer


def show(sandbox: Sandbox, method: str, path: str, pairs: list[tuple[str, str]], answer: Answer) -> None:
    """Show a request and its answer to the observers."""
    if sandbox.observers:
        exchange = Exchange(method, path, pairs, answer.status, json.loads(answer.body))
        for observer in sandbox.observers:
            observer(exchange)


def note_unemulated(sandbox: Sandbox, method: str, path: str, error: StripeError) -> None:
    """Put what Stripe, or only the sandbox, does not know on the list of /_sandbox/not-emulated."""
    if error.unemulated or error.body.get("code") == "parameter_unknown":
        found = sandbox.contract.route(method, path)
        where = found[0] if found else path[:200]
        sandbox.not_emulated.note(method, where, str(error), error.body.get("param"), int(sandbox.clock.wall()))


def _execute(
    sandbox: Sandbox,
    request: ApiRequest,
    request_id: str,
    pairs: list[tuple[str, str]],
    fate: chaos.Fate,
) -> Answer:
    found = sandbox.contract.route(request.method, request.path)
    if found is None:
        raise unrecognized_url(request.method, request.path[:500])
    template, path_ids = found
    operation = OPERATIONS.get((request.method.lower(), template))
    if operation is None:
        raise unrecognized_url(request.method, request.path[:500], known_to_stripe=True)

    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    mark = idempotency.fingerprint(request.path, pairs) if key is not None else ""
    if key is not None:
        idempotency.check(key)
        saved = idempotency.saved_answer(sandbox, key, mark)
        if saved:
            replay = {
                "Idempotent-Replayed": "true",
                "Original-Request": saved.request_id,
                "Idempotency-Key": key,
            }
            return Answer(saved.status, saved.body, replay)

    params, errors = sandbox.contract.parse(sandbox.contract.operation_at(request.method, template), pairs)
    if errors:
        first = dict(errors[0])
        raise StripeError(400, first["message"], code=first.get("code"), param=first.get("param"), executed=False)
    operation.check_emulated(params)

    headers = {"Idempotency-Key": key} if key is not None else {}
    try:
        with (
            sandbox.transaction(),
            sandbox.caused_by(Request(request_id, key)),
            sandbox.in_time_of(_whose_time(sandbox, path_ids, params)),
        ):
            if "server_error" in fate:
                raise chaos.server_error()
            result = operation.function(sandbox, {k: v for k, v in params.items() if k != "expand"}, *path_ids)
            shown = expand(sandbox, _shown(sandbox, result), params.get("expand") or [])
            answer = Answer(200, _encode(shown), headers)
            if key is not None:
                idempotency.save(sandbox, key, mark, idempotency.Saved(request_id, answer.status, answer.body))
            return answer
    except StripeError as error:
        note_unemulated(sandbox, request.method, request.path, error)
        answer, executed = error_answer(error, request_id), error.executed
    except Exception:
        log.exception("%s %s: a defect of the local Stripe", request.method, request.path)
        answer, executed = error_answer(_defect(), request_id), True
    answer.headers = headers
    if key is not None and executed:
        with sandbox.transaction():
            idempotency.save(sandbox, key, mark, idempotency.Saved(request_id, answer.status, answer.body))
    return answer


# What a request may name whose test clock it then lives on.
_CLOCKED = (
    "customer",
    "subscription",
    "from_subscription",
    "invoice",
    "payment_intent",
    "charge",
    "test_clock",
)


def _whose_time(sandbox: Sandbox, path_ids: list[str], params: dict[str, Any]) -> Document | None:
    """The object on whose timeline the request happens: of its path, else of its parameters."""
    named = [*path_ids, *(params[name] for name in _CLOCKED if isinstance(params.get(name), str))]
    for object_id in named:
        document = sandbox.store.get(object_id)
        if document and not document.get("deleted") and sandbox.timeline_of(document):
            return document
    return None


def _shown(sandbox: Sandbox, result: Document | Page) -> dict[str, Any]:
    if isinstance(result, Page):
        shown = {
            "object": "list",
            "data": [sandbox.render(document) for document in result.data],
            "has_more": result.has_more,
            "url": result.url,
        }
        if isinstance(result, SearchPage):
            shown |= {"object": "search_result", "next_page": result.next_page}
        return shown
    return sandbox.render(result)


def _encode(shown: dict[str, Any]) -> bytes:
    return json.dumps(shown).encode()


def error_answer(error: StripeError, request_id: str) -> Answer:
    body = {**error.body, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
    return Answer(error.status, _encode({"error": body}))


def _defect() -> StripeError:
    return StripeError(500, "An unknown error occurred in the local Stripe; see its log.", type="api_error")


# ------------------------------------------------------------------ what the headers say
def _authenticate(sandbox: Sandbox, authorization: str) -> None:
    """Bearer, or Basic with the key as the user name. https://docs.stripe.com/api/authentication"""
    scheme, _, credentials = authorization.partition(" ")
    key = ""
    if scheme.lower() == "bearer":
        key = credentials.strip()
    elif scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
            "https://stripe.com/docs/api#authentication for details.",
            executed=False,
        )
    if not hmac.compare_digest(key.encode(), sandbox.settings.secret_key.encode()):
        shown = key[:8] + "*" * min(16, max(0, len(key) - 12)) + key[-4:] if len(key) > 12 else "*" * len(key)
        raise StripeError(401, f"Invalid API Key provided: {shown}", executed=False)


def _version(asked: str | None) -> str:
    """Any release of our train (they only add fields); the shapes of another train are not emulated."""
    if asked is None:
        return API_VERSION
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?", asked):
        raise invalid(f"Invalid Stripe API version: {asked[:80]}")
    if asked.partition(".")[2] != _OUR_TRAIN:
        raise invalid(
            f"API version {asked} is not emulated by the local Stripe, only .{_OUR_TRAIN} is ({API_VERSION})."
        )
    return asked


# --------------------------------------------------------------------- what the body says
def _pairs(request: ApiRequest) -> list[tuple[str, str]]:
    """The form pairs of a body (POST) or of the query. Raises 400 for anything that is not one."""
    source = request.query
    if request.method == "POST":
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if request.body and media_type not in ("application/x-www-form-urlencoded", ""):
            raise _unreadable(
                f"Invalid request: the body must be application/x-www-form-urlencoded, not {media_type[:80]}."
            )
        source = b"&".join(part for part in (request.query, request.body) if part)
    elif request.body:
        source = b"&".join(part for part in (request.query, request.body) if part)
    pieces = source.split(b"&") if source else []
    if len(pieces) > MAX_PARAMETERS:
        raise _unreadable("Invalid request: too many parameters.")
    try:
        return [_pair(piece) for piece in pieces if piece]
    except UnicodeDecodeError:
        raise _unreadable("Invalid request: the parameters are not UTF-8.") from None


def _unreadable(message: str) -> StripeError:
    return StripeError(400, message, executed=False)


def _pair(piece: bytes) -> tuple[str, str]:
    key, _, value = piece.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(key).decode(), unquote_to_bytes(value).decode()
