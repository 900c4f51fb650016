"""A request that is refused early is read to its end: the next one on the same connection is not lost."""

import json
from io import BytesIO

import pytest
from django.test import RequestFactory

from datilio.wsgi import application

pytestmark = pytest.mark.django_db(transaction=True)


def ask(path, body, **headers):
    environ = RequestFactory(headers=headers).post(path, body, content_type="application/json").environ
    environ["wsgi.input"] = sent = BytesIO(body)
    statuses = []
    answer = b"".join(application(environ, lambda status, headers: statuses.append(status[:3])))
    return statuses, answer, sent


@pytest.mark.parametrize("authorization", ["Bearer nobody", "Api-Key datilio_nobody", "nonsense"])
@pytest.mark.parametrize("path", ["/api/usage/events", "/api/usage/holds", "/api/user/cancel_plan"])
def test_it_is_read_whoever_sent_it(path, authorization):
    statuses, answer, sent = ask(path, json.dumps({"events": ["x" * 100] * 1000}).encode(), Authorization=authorization)
    assert statuses in (["401"], ["403"]) and "code" in json.loads(answer)
    assert sent.read() == b""


def test_what_is_too_long_is_not(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    _, _, sent = ask("/api/usage/events", b" " * 101, Authorization="Bearer nobody")
    assert sent.tell() == 0
