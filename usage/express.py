"""One plain event, counted past Django's request and response, which cost a process twice what counting it does.

Answered here is only what is plainly right: one event, by an API key that this process remembers, sent in a form to
which Django has just said yes in this process. All else, and whatever goes wrong, goes to Django as if it had come
there first: nothing is refused here but by the rules that count (usage/metering.py). Rate limits, keys, the body and
the errors are the same functions' as there, and so are the headers: those that Django gave to an answer of the same
form.
See docs/decisions/0016-an-express-lane-for-single-events.md.
"""

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from datilio.error_rendering import as_problem
from datilio.errors import DomainError
from datilio.json_input import strict_loads
from datilio.machine_handler import StartResponse, WSGIApplication
from datilio.rate_limits import count_request, policies_for
from datilio.request_id import begin_request, current_request_id, end_request
from usage.api_keys import WRITE, remembered_api_key, source_of, touch
from usage.authentication import api_key_in
from usage.incoming import plain_event_of
from usage.machine_view import JSON, encode
from usage.metering import record_use
from usage.models import ApiKey
from usage.prepared import connection_of_thread
from usage.uses import Use

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Headers = list[tuple[str, str]]

_VIEW = "api:usage_events"
# Of one event; a batch is longer, and Django's share of it is nothing.
_LONGEST_BODY = 4096
# What Django's answer to a good event may depend on, besides the event.
_FORM = (
    "wsgi.url_scheme",
    "CONTENT_TYPE",
    "HTTP_HOST",
    "QUERY_STRING",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_TRANSFER_ENCODING",
)
_MOST_FORMS = 100
# Long enough to cost nothing, short enough for a setting that somebody changes while the process runs.
_FORM_KEPT = 60.0
# What each answer says anew. In lower case.
_OF_THE_ANSWER = {
    "content-type",
    "content-length",
    "x-request-id",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
}
# Django's asks its settings each time.
_now = partial(datetime.now, UTC)
_STATUS_LINES = {200: "200 OK", 201: "201 Created"}


class _Caller(NamedTuple):
    """What rate limits look at of a request."""

    META: Environ
    method: str


class ExpressLane:
    """WSGI: `application`, with a shorter way for plain events."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        # By which a proxy says that it was asked over HTTPS, where it is another one.
        self._names = _FORM + tuple((settings.SECURE_PROXY_SSL_HEADER or ())[:1])
        self._path: str | None = None
        # {form: (until when, the headers that every answer to it has)}
        self._forms: dict[tuple[Any, ...], tuple[float, Headers]] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self._path is None:
            self._path = reverse(_VIEW)
        if environ.get("PATH_INFO") != self._path or environ.get("REQUEST_METHOD") != "POST":
            return self._application(environ, start_response)
        form = tuple(map(environ.get, self._names))
        known = self._forms.get(form)
        if known is None or time.monotonic() >= known[0]:
            return self._application(environ, self._learning(form, start_response))
        try:
            answer = _answer(environ)
        except Exception as error:
            # Django counts the same event again, which is the same event; there is also what to do about each error.
            logger.warning("An event goes the long way: %r", error)
            answer = None
        if answer is None:
            return self._application(environ, start_response)
        status, headers, body = answer
        start_response(status, [*known[1], *headers, ("Content-Length", str(len(body)))])
        return [body]

    def _learning(self, form: tuple[Any, ...], start_response: StartResponse) -> StartResponse:
        def started(status: str, headers: Headers, *args: Any) -> Any:
            if status[:3] in ("200", "201"):
                if len(self._forms) >= _MOST_FORMS:
                    self._forms.clear()
                always = [pair for pair in headers if pair[0].lower() not in _OF_THE_ANSWER]
                self._forms[form] = time.monotonic() + _FORM_KEPT, always
            return start_response(status, headers, *args)

        return started


def _answer(environ: Environ) -> tuple[str, Headers, bytes] | None:
    """(status line, headers of its own, body). None: this is for Django, and `environ` is as it was."""
    wrapper = connection_of_thread()
    if wrapper.close_at is not None and time.monotonic() >= wrapper.close_at:
        # Between two requests, Django closes what is too old.
        return None
    api_key = _known_key(environ)
    use = None if api_key is None else _plain_use(environ, api_key)
    if api_key is None or use is None:
        return None
    token = begin_request()
    try:
        return _counted(environ, api_key, use)
    finally:
        end_request(token)


def _known_key(environ: Environ) -> ApiKey | None:
    """The caller's key if it is remembered, and as far as is known may write."""
    key = api_key_in(environ)
    api_key = remembered_api_key(key) if key else None
    if api_key is None or api_key.revoked_at is not None or WRITE not in api_key.scopes:
        return None
    return api_key


def _plain_use(environ: Environ, api_key: ApiKey) -> Use | None:
    length = environ.get("CONTENT_LENGTH", "")
    if environ.get("CONTENT_TYPE") != JSON or not (length.isdecimal() and 0 < int(length) <= _LONGEST_BODY):
        return None
    body = environ["wsgi.input"].read(int(length))
    # Django reads it again if need be.
    environ["wsgi.input"] = BytesIO(body)
    try:
        return plain_event_of(strict_loads(body), source_of(api_key), environ.get("HTTP_IDEMPOTENCY_KEY"))
    except (ValueError, DomainError):
        return None


def _counted(environ: Environ, api_key: ApiKey, use: Use) -> tuple[str, Headers, bytes] | None:
    policies = policies_for(_VIEW)
    assert policies is not None
    try:
        limits = count_request(cast(HttpRequest, _Caller(environ, "POST")), _VIEW, policies)
    except DomainError:
        return None
    now = _now()
    touch(api_key, now)
    try:
        recorded = record_use(use, now)
    except DomainError as error:
        problem = as_problem(error)
        status, body = f"{problem.status_code} {problem.reason_phrase}", problem.content
        headers = [pair for pair in problem.items() if pair[0].lower() != "content-length"]
    else:
        status = _STATUS_LINES[200 if recorded.replay else 201]
        headers, body = [("Content-Type", JSON)], encode({"usage": recorded.event, "limit": recorded.limit})
    return status, [*headers, *limits.items(), ("X-Request-Id", current_request_id())], body
