"""The express lane answers a plain event as Django would, and leaves all else to Django, untouched."""

import json
import os
import socket
import time
from datetime import timedelta
from io import BytesIO

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from datilio.machine_handler import MachineHandler
from datilio.rate_limits import POLICIES, Policy, by_api_key
from usage import express
from usage.express import ExpressLane
from usage.models import ApiKey, SpendCap, UsageCounter, UsageEvent

pytestmark = pytest.mark.django_db(transaction=True)


class Site:
    """A process that answers backends; `by_django` counts what the lane left to Django."""

    def __init__(self, key, lane=True):
        django = MachineHandler()
        self.key, self.by_django = key, 0

        def counting(environ, start_response):
            self.by_django += 1
            return django(environ, start_response)

        self._application = ExpressLane(counting) if lane else counting

    def send(self, body, **environ):
        """(status, headers, JSON if it is) of a POST of a value, or of bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/api/usage/events",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_AUTHORIZATION": f"Api-Key {self.key}",
            "wsgi.input": BytesIO(data),
            "wsgi.url_scheme": "http",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(data)),
        } | environ
        seen = {}
        chunks = self._application(asked, lambda status, headers: seen.update(status=status, headers=headers))
        content = b"".join(chunks)
        headers = dict(seen["headers"])
        assert headers.get("Content-Length", str(len(content))) == str(len(content))
        return seen["status"], seen["headers"], json.loads(content) if "json" in headers["Content-Type"] else None


@pytest.fixture
def site(api_key, an_event):
    """One whose lane is open: Django has answered the first event, key "opens"."""
    site = Site(api_key[1])
    assert site.send(an_event(key="opens"))[0] == "201 Created"
    assert site.by_django == 1
    return site


def without_names(answer):
    """An answer without what is another one's by right: ids, the request's name, how many requests are left."""
    status, headers, document = answer
    names = sorted(name for name, _ in headers)
    kept = {n: v for n, v in headers if n not in ("X-Request-Id", "RateLimit-Remaining", "RateLimit-Reset")}
    document = {**document, "request_id": ""}
    if "usage" in document:
        document["usage"] = {**document["usage"], "id": 0, "user_id": 0}
    kept.pop("Content-Length")
    return status, names, kept, document


def test_it_is_the_lane_that_answers(site, an_event):
    status, _, document = site.send(an_event(key="second"))
    assert (status, site.by_django) == ("201 Created", 1)
    assert document["limit"]["used"] == 20
    assert UsageEvent.objects.filter(key="second").count() == 1


def test_it_answers_what_django_answers(site, api_key, an_event, alice, bob, give_plan, make_plan, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    monkeypatch.setattr(express, "_now", lambda: now)
    moment = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    give_plan(bob, make_plan("Small for Bob"), start=timezone.now() - timedelta(days=3))
    django = Site(api_key[1], lane=False)
    django.send(an_event(user_id=bob.pk, key="opens for bob"))
    SpendCap.objects.create(user=alice, cents=0)
    SpendCap.objects.create(user=bob, cents=0)
    for changes in [
        {"key": "new"},
        {"key": "new"},
        {"key": "new", "amount": 11},
        {"key": "another", "timestamp": moment},
        {"key": "files", "feature": "file_upload", "amount": 1, "size_mb": 0.5},
        {"key": "gone", "feature": "file_upload", "amount": -1},
        {"key": "too many gone", "feature": "file_upload", "amount": -1},
        {"key": "too much", "amount": 10**9},
        {"key": "tokens", "feature": "ai_token", "amount": 1000, "model": "größte ✓"},
    ]:
        ours = site.send(an_event(**changes))
        # The same keys would be the same events.
        key = f"bob: {changes['key']}"
        theirs = django.send(an_event(**changes) | {"user_id": bob.pk, "key": key})
        assert without_names(ours) == without_names(theirs), changes
    assert site.by_django == 1


@pytest.mark.parametrize("plan", [False, True])
def test_nobody_and_somebody_without_a_plan(site, api_key, an_event, bob, plan):
    event = an_event(user_id=bob.pk if plan else 10**9)
    ours, theirs = site.send(event), Site(api_key[1], lane=False).send(event)
    assert without_names(ours) == without_names(theirs)
    assert site.by_django == 1


def test_the_key_may_be_in_the_header(site, an_event):
    event = an_event()
    del event["key"]
    assert site.send(event, HTTP_IDEMPOTENCY_KEY="header")[0] == "201 Created"
    assert (site.by_django, UsageEvent.objects.filter(key="header").count()) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"HTTP_AUTHORIZATION": "Api-Key datilio_wrong"}, 401),
        ({"HTTP_AUTHORIZATION": "Bearer x"}, 403),
        ({"CONTENT_TYPE": "text/plain"}, 415),
        ({"CONTENT_TYPE": "application/json; charset=utf-8"}, 201),
        ({"CONTENT_LENGTH": "7"}, 400),
        ({"HTTP_HOST": "evil.example"}, 400),
        ({"HTTP_HOST": "localhost"}, 201),
        ({"HTTP_IDEMPOTENCY_KEY": "another"}, 400),
        ({"REQUEST_METHOD": "PUT"}, 405),
    ],
)
def test_what_is_not_plain_is_django_s(site, an_event, changes, status):
    assert site.send(an_event(key="odd"), **changes)[0].startswith(str(status))
    assert site.by_django == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 4000, 400),
        (b'{"user_id": 1}', 400),
        (b'{"key": "\\u0000"}', 400),
        (b" " * 5000 + b"{}", 400),
        ({"events": []}, 400),
        ({"amount": "10"}, 400),
        ({"amount": 0}, 400),
        ({"amount": True}, 400),
        ({"feature": "nothing"}, 400),
        ({"unknown": 1}, 400),
    ],
)
def test_what_is_wrong_is_django_s_to_explain(site, an_event, body, status):
    if isinstance(body, dict) and "events" not in body:
        body = an_event(key="wrong") | body
    answer, _, document = site.send(body)
    assert answer.startswith(str(status)) and document["code"]
    assert site.by_django == 2
    assert UsageEvent.objects.count() == 1


def test_a_batch_and_a_level_are_django_s(site, an_event):
    assert site.send({"events": [an_event(key="in a batch")]})[0] == "200 OK"
    level = {"user_id": an_event()["user_id"], "feature": "file_upload", "level": 3, "key": "level"}
    assert site.send(level)[0] == "201 Created"
    assert site.by_django == 3


def test_a_form_is_django_s_again_after_a_minute(site, an_event, monkeypatch):
    later = time.monotonic() + express._FORM_KEPT
    monkeypatch.setattr(time, "monotonic", lambda: later)
    site.send(an_event(key="later"))
    assert site.by_django == 2


def test_a_refusal_opens_no_lane(api_key, an_event):
    site = Site(api_key[1])
    for _ in range(3):
        assert site.send(an_event(amount=10**9))[0].startswith("402")
    assert site.by_django == 3


def test_what_django_redirects_is_redirected(api_key, an_event):
    """Over HTTPS the lane is open; HTTP is another form."""
    with override_settings(SECURE_SSL_REDIRECT=True):
        site = Site(api_key[1])
        for key in ("a", "b"):
            assert site.send(an_event(key=key), **{"wsgi.url_scheme": "https"})[0] == "201 Created"
        assert site.by_django == 1
        assert site.send(an_event(key="c"))[0].startswith("301")
    assert not UsageEvent.objects.filter(key="c").exists()


def test_a_key_revoked_elsewhere_is_refused_at_once(site, api_key, an_event):
    ApiKey.objects.filter(pk=api_key[0].pk).update(revoked_at=timezone.now())
    status, headers, document = site.send(an_event(key="late"))
    assert (status, document["code"], site.by_django) == ("401 Unauthorized", "api_key_revoked", 1)
    assert "WWW-Authenticate" in dict(headers)
    assert UsageEvent.objects.count() == 1


def test_every_request_has_a_name_of_its_own(site, an_event):
    ids = {dict(site.send(an_event(key=f"k{n}"))[1])["X-Request-Id"] for n in range(3)}
    assert len(ids) == 3 and all(one.startswith("req_") for one in ids)
    _, headers, document = site.send(an_event(amount=10**9))
    assert document["request_id"] == dict(headers)["X-Request-Id"]


def test_rate_limits_hold_over_both_ways(site, an_event, monkeypatch):
    monkeypatch.setitem(POLICIES, "api:usage_events", (Policy("5/m", by_api_key),))
    statuses = [site.send(an_event(key=f"k{n}"))[0][:3] for n in range(8)]
    assert statuses == ["201"] * 5 + ["429"] * 3
    assert UsageEvent.objects.count() == 1 + 5
    assert dict(site.send(an_event(key="more"))[1])["Retry-After"]


@pytest.mark.only_on("postgresql")
def test_a_lost_connection_is_made_anew(site, an_event):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert site.send(an_event(key="after"))[0] == "201 Created"
    assert (site.by_django, UsageCounter.objects.get().used) == (2, 20)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("lane", [True, False])
def test_a_connection_that_went_without_a_word_is_made_anew(api_key, an_event, lane):
    """A proxy or another network has forgotten it: nobody says what happened."""
    site = Site(api_key[1], lane)
    events = [an_event(key=f"a{n}") for n in range(3)]
    for body in (an_event(key="opens"), {"events": events}):
        assert site.send(body)[0][:2] == "20"
    for body in (an_event(key="after"), {"events": [an_event(key=f"b{n}") for n in range(3)]}):
        with socket.socket(fileno=os.dup(connection.connection.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
        assert site.send(body)[0][:2] == "20"
    assert UsageEvent.objects.count() == 8


def test_an_old_connection_is_closed_by_django(site, an_event):
    connection.close_at = time.monotonic() - 1
    assert site.send(an_event(key="after"))[0] == "201 Created"
    assert site.by_django == 2


def test_a_body_that_cannot_be_read_is_django_s(site, an_event):
    class Broken(BytesIO):
        def read(self, *args):
            raise OSError("gone")

    site.send(an_event(key="gone"), **{"wsgi.input": Broken()})
    assert site.by_django == 2
    assert not UsageEvent.objects.filter(key="gone").exists()


def test_what_a_proxy_says_in_a_header_of_its_own_is_part_of_the_form(api_key, an_event):
    with override_settings(SECURE_SSL_REDIRECT=True, SECURE_PROXY_SSL_HEADER=("HTTP_X_TLS", "on")):
        site = Site(api_key[1])
        for key in ("a", "b"):
            assert site.send(an_event(key=key), HTTP_X_TLS="on")[0] == "201 Created"
        assert site.by_django == 1
        assert site.send(an_event(key="c"))[0].startswith("301")


def test_an_error_that_nobody_expected_goes_to_django(site, an_event, monkeypatch):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(express, "record_use", broken)
    assert site.send(an_event(key="twice"))[0] == "201 Created"
    assert (site.by_django, UsageCounter.objects.get().used) == (2, 20)
