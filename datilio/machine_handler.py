"""The way in for Datilio's own backends: without what only browsers need.

Sessions, CSRF, messages, log-in, nonces and htmx cost a request more than counting an event does, and mean nothing to
who carries an API key and no cookie. The same views answer, with the same errors, rate limits and headers.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.urls import ResolverMatch

# What they ask. POST with a key; a browser never does.
PREFIX = "/api/usage/"
# In the order of settings.MIDDLEWARE, of which these are a part.
MIDDLEWARE = (
    "datilio.request_id.RequestIdMiddleware",
    "datilio.caching.PrivateByDefaultMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "datilio.rate_limits.RateLimitMiddleware",
    "datilio.error_rendering.DomainErrorMiddleware",
)

StartResponse = Callable[..., Any]
WSGIApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class MachineHandler(WSGIHandler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # {path: what answers it} of the paths without a variable part: Django walks the whole address map each time.
        self._matches: dict[str, ResolverMatch] = {}
        super().__init__(*args, **kwargs)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        match = self._matches.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            if not match.kwargs:
                self._matches[request.path_info] = match
        request.resolver_match = match
        return match

    def load_middleware(self, is_async: bool = False) -> None:
        # Django has no other way to say which: it reads the setting, once, here.
        all_of_them = settings.MIDDLEWARE
        settings.MIDDLEWARE = list(MIDDLEWARE)
        try:
            super().load_middleware(is_async)
        finally:
            settings.MIDDLEWARE = all_of_them


def with_a_way_for_machines(application: WSGIApplication, machines: WSGIApplication) -> WSGIApplication:
    """`application`, but `machines` for requests that are under PREFIX and carry an API key."""

    def choose(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # Anything odd about the path goes the long way: there every answer is the same, only later.
        if environ.get("PATH_INFO", "").startswith(PREFIX) and "HTTP_AUTHORIZATION" in environ:
            return machines(environ, start_response)
        return application(environ, start_response)

    return choose
