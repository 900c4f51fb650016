"""Backends come in without what only browsers need, and are answered the same."""

import json
from io import BytesIO

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

from datilio.machine_handler import MIDDLEWARE, PREFIX, MachineHandler

pytestmark = pytest.mark.django_db


def post(handler, path, body, headers=()):
    """(status, headers, JSON) of a POST through a WSGI handler."""
    data = json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(data),
        "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(data)),
        **dict(headers),
    }
    seen = {}
    chunks = handler(environ, lambda status, headers: seen.update(status=status, headers=dict(headers)))
    return seen["status"], seen["headers"], json.loads(b"".join(chunks))


@pytest.mark.parametrize("authorization", ["Api-Key datilio_wrong", "Bearer x", "Basic eA=="])
@pytest.mark.parametrize("path", ["usage/events", "usage/holds", "usage/holds/1/settle", "usage/nothing"])
def test_both_ways_answer_the_same(path, authorization):
    headers = {"HTTP_AUTHORIZATION": authorization}
    long, short = (
        post(handler(), f"/api/{path}", {"a": 1}, headers.items()) for handler in (WSGIHandler, MachineHandler)
    )
    assert long[0] == short[0]
    assert {**long[2], "request_id": ""} == {**short[2], "request_id": ""}
    for name in ("Content-Type", "Cache-Control", "X-Content-Type-Options", "RateLimit-Limit", "WWW-Authenticate"):
        assert long[1].get(name) == short[1].get(name), name
    assert short[1]["X-Request-Id"].startswith("req_")


def test_it_is_a_part_of_what_everybody_gets_in_the_same_order():
    assert [name for name in settings.MIDDLEWARE if name in MIDDLEWARE] == list(MIDDLEWARE)
    assert PREFIX.startswith("/api/")
