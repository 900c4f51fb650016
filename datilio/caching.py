"""What nobody said may be cached is for its reader alone."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class PrivateByDefaultMiddleware:
    """Answers that say nothing about caching are kept by no proxy; those of the API by no browser either."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_api = request.path_info.startswith("/api/")
        response.headers.setdefault("Cache-Control", "private, no-store" if is_api else "private, no-cache")
        return response
