"""A name for every request: in the answer's header, in its problem document, in each of its log lines."""

import logging
import secrets
from collections.abc import Callable
from contextvars import ContextVar, Token

from django.http import HttpRequest, HttpResponse

_request_id: ContextVar[str] = ContextVar("request_id", default="-")


def current_request_id() -> str:
    """The id of the request in work, "-" outside of one."""
    return _request_id.get()


def begin_request() -> Token[str]:
    """Give the request in work its id. What is returned goes to end_request."""
    return _request_id.set(f"req_{secrets.token_hex(16)}")


def end_request(token: Token[str]) -> None:
    _request_id.reset(token)


class RequestIdMiddleware:
    """Ours always, never the caller's: an id that a stranger chooses could be made to match another's log lines."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = begin_request()
        try:
            response = self.get_response(request)
            response["X-Request-Id"] = current_request_id()
            return response
        finally:
            end_request(token)


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id()
        return True
