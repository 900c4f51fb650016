"""The same error as problem+json and as a page, side by side. Nothing else in the project renders an error."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from datilio.errors import DomainError, InvalidInput, NotFound, ServiceUnavailable
from datilio.request_id import current_request_id

logger = logging.getLogger(__name__)

# Members of `details` that are not part of the document.
_NOT_IN_THE_DOCUMENT = ("headers", "next_url", "next_label")


class Internal(DomainError):
    code = "internal_error"
    message = "Something broke on our side and was written down. Try again; if it stays, tell us the request id."
    status = 500


def problem_document(error: DomainError) -> dict[str, Any]:
    """RFC 9457: type, title, status, detail, code, request_id and the error's own details."""
    return {
        "type": f"urn:datilio:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": current_request_id(),
        **{k: v for k, v in error.details.items() if k not in _NOT_IN_THE_DOCUMENT},
    }


def as_problem(error: DomainError) -> JsonResponse:
    response = JsonResponse(
        problem_document(error),
        status=error.status,
        content_type="application/problem+json",
        headers=error.details.get("headers"),
    )
    if error.status == 401:
        response["WWW-Authenticate"] = getattr(error, "auth_header", None) or 'Bearer realm="api"'
    return response


def as_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    next_url, next_label = _way_on(error)
    context = {
        "error": error,
        "title": HTTPStatus(error.status).phrase,
        "request_id": current_request_id(),
        "next_url": next_url,
        "next_label": next_label,
    }
    try:
        response = render(request, "error.html", context, status=error.status)
    except Exception:
        # The page's own parts (plan, warnings) need the database. When that is what broke, say it without them.
        logger.exception("The error page could not be rendered")
        response = render(None, "error_plain.html", context, status=error.status)
    for name, value in (error.details.get("headers") or {}).items():
        response[name] = value
    return response


def _way_on(error: DomainError) -> tuple[str, str]:
    """(address, label) of what to do next; empty: the page offers what it offers to everybody."""
    if error.details.get("next_url"):
        return error.details["next_url"], error.details["next_label"]
    return (reverse(error.next_page[0]), error.next_page[1]) if error.next_page else ("", "")


def wants_problem(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def render_error(request: HttpRequest, error: DomainError) -> HttpResponse:
    return as_problem(error) if wants_problem(request) else as_page(request, error)


# --- exceptions of Django and DRF, as ours ----------------------------------------------------------------------------

_DRF_CODES: list[tuple[type[drf.APIException], str, str]] = [
    (drf.ParseError, "malformed_body", "The body is not the JSON that this address takes."),
    (drf.NotAuthenticated, "not_authenticated", "Log in first: send an access token or use the browser session."),
    (drf.MethodNotAllowed, "method_not_allowed", "This address does not take that method; see the Allow header."),
    (drf.NotAcceptable, "not_acceptable", "This address answers in JSON only."),
    (drf.UnsupportedMediaType, "unsupported_media_type", "Send the body as application/json."),
    (drf.PermissionDenied, "forbidden", "Your account may not do this."),
]


def as_domain_error(exc: Exception) -> DomainError | None:
    """What a known exception of Django or DRF means in our words. None: unknown, a bug."""
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, Http404):
        return NotFound()
    if isinstance(exc, RequestDataTooBig):
        return DomainError("The body is too large.", code="body_too_large", status=413)
    if isinstance(exc, PermissionDenied):
        return DomainError("Your account may not do this.", code="forbidden", status=403)
    if isinstance(exc, drf.ValidationError):
        return InvalidInput(_flat_errors(exc.detail))
    if isinstance(exc, drf.AuthenticationFailed):
        # DRF's and simplejwt's own words here are written for people ("User is inactive").
        code = getattr(exc.detail, "get", lambda *_: None)("code") or exc.get_codes()
        code = code if isinstance(code, str) else "token_not_valid"
        return DomainError(
            "The access token cannot be used: it is expired, revoked or not ours. Refresh it or log in again.",
            code=code if code.isidentifier() else "token_not_valid",
            status=401,
        )
    if isinstance(exc, drf.APIException):
        for kind, code, message in _DRF_CODES:
            if isinstance(exc, kind):
                if isinstance(exc, drf.PermissionDenied) and "CSRF" in str(exc.detail):
                    code, message = "csrf_failed", "The CSRF token is missing or wrong. Reload the page and try again."
                return DomainError(message, code=code, status=exc.status_code)
        return DomainError(code="error", status=exc.status_code)
    return None


def _flat_errors(detail: Any, at: str = "") -> dict[str, list[str]]:
    """DRF's nested messages as {dotted.field: [messages]}; those of no field under "body"."""
    if isinstance(detail, dict):
        errors: dict[str, list[str]] = {}
        for key, value in detail.items():
            name = at if key == "non_field_errors" else f"{at}.{key}" if at else str(key)
            errors |= _flat_errors(value, name)
        return errors
    if isinstance(detail, list) and any(isinstance(item, (dict, list)) for item in detail):
        errors = {}
        for index, item in enumerate(detail):
            errors |= _flat_errors(item, f"{at}.{index}" if at else str(index)) if item else {}
        return errors
    messages = detail if isinstance(detail, list) else [detail]
    return {at or "body": [str(message) for message in messages]}


def api_exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER: problem+json for whatever is known; a bug goes on to handler500."""
    error = as_domain_error(exc)
    if error is None:
        return None
    # Under ATOMIC_REQUESTS a handler that forgets this answers 409 and keeps the row.
    set_rollback()
    response = Response(problem_document(error), status=error.status, content_type="application/problem+json")
    for name, value in (error.details.get("headers") or {}).items():
        response[name] = value
    if error.status == 401:
        response["WWW-Authenticate"] = getattr(exc, "auth_header", None) or 'Bearer realm="api"'
    if isinstance(exc, drf.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


class DomainErrorMiddleware:
    """A DomainError that leaves a page's view, and Django's blank 405, shown like every other error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed):
            return render_error(
                request,
                DomainError(
                    "This address does not take that method; see the Allow header.",
                    code="method_not_allowed",
                    status=405,
                    headers={"Allow": response.headers["Allow"]},
                ),
            )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, (DomainError, RequestDataTooBig)):
            error = as_domain_error(exception)
            assert error is not None
            if transaction.get_connection().in_atomic_block:
                transaction.set_rollback(True)
            return render_error(request, error)
        return None


# --- Django's handlers ------------------------------------------------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    error = as_domain_error(exception) if exception else None
    return render_error(
        request, error or DomainError("The request cannot be understood.", code="bad_request", status=400)
    )


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render_error(request, DomainError("Your account may not do this.", code="forbidden", status=403))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render_error(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    import sys

    if isinstance(sys.exc_info()[1], DatabaseError):
        return render_error(request, ServiceUnavailable())
    return render_error(request, Internal())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render_error(
        request,
        DomainError(
            "This form is no longer valid, or it came from another site. Go back, reload the page and try again.",
            code="csrf_failed",
            status=403,
        ),
    )
