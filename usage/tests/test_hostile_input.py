"""Whatever is sent to POST /api/usage/events, the answer is a 4xx problem and nothing is stored."""

import json

import pytest

from usage.models import UsageAlert, UsageCounter, UsageEvent

URL = "/api/usage/events"

WRONG = {
    "user_id": [None, True, "1", 1.0, 1.5, -1, 0, 2**63, 10**30, [], {}, [1], "'; --"],
    "feature": [None, "", "cpu", 1, True, [], {}, ["ai_prompt"], "AI_PROMPT", "ai_prompt ", "é" * 500],
    "amount": [None, "10", 10.0, 1.5, True, False, 0, -1, 10**12 + 1, 10**13, 2**63, 2**64, 10**400, [], {}, "ten"],
    "key": [None, "", 1, True, [], {}, "x" * 256, "a\nb", "a\tb", "\x7f", "\u202e"],
    "timestamp": [None, 1, 1.5, True, "", "now", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59", [], {}]
    + ["9999-12-31T23:59:59-23:59", "99999-01-01T00:00:00Z", "2026-03-15T12:00:00Z\x7f"],
    "model": [None, 1, True, [], {}, "x" * 81, "a\nb"],
    "size_mb": [None, "5", True, -1, -0.1, 10**10, 10**400, [], {}],
    "surprise": [1, None, {}],
    "events": [[], [{}], None, "x"],
}


def refused(response, *statuses):
    assert response.status_code in statuses, (response.status_code, response.content[:500])
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    assert not UsageEvent.objects.exists()
    assert not UsageCounter.objects.exists()
    assert not UsageAlert.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG.items() for value in values],
    ids=lambda value: ascii(value)[:40],
)
def test_a_wrong_value(backend, an_event, field, value):
    feature = {"size_mb": "file_upload"}.get(field, "synthetic_rows")
    response = backend.post(URL, an_event(**{"feature": feature, field: value}))
    refused(response, 400)
    assert list(response.json()["errors"]) == [field]


@pytest.mark.parametrize("field", ["user_id", "feature", "amount", "key"])
def test_a_missing_value(backend, an_event, field):
    body = an_event()
    del body[field]
    response = backend.post(URL, body)
    refused(response, 400)
    assert list(response.json()["errors"]) == [field]


RAW = {
    "nothing": b"",
    "not json": b"{",
    "null": b"null",
    "a number": b"5",
    "a string": b'"x"',
    "a list": b"[]",
    "a list of events": b'[{"user_id": 1}]',
    "an empty object": b"{}",
    "NUL": b"\x00",
    "not utf-8": b'{"key": "\xff"}',
    "utf-16": '{"key": "a"}'.encode("utf-16"),
    "deep lists": b"[" * 100_000,
    "deep closed lists": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 100_000,
    "ten thousand digits": b'{"amount": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", RAW.values(), ids=RAW.keys())
def test_a_body_that_is_no_event(backend, db, body):
    refused(backend.generic("POST", URL, body, content_type="application/json"), 400)


ONLY_RAW = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"\\u0000"', '"\\ud800"', '"a\\udfffb"']


@pytest.mark.parametrize("text", ONLY_RAW)
@pytest.mark.parametrize("field", [*WRONG, "other"])
def test_values_that_only_raw_json_can_say(backend, an_event, field, text):
    event = an_event(feature="file_upload", amount=1)
    event.pop(field, None)
    body = json.dumps(event)[:-1] + f', "{field}": {text}}}'
    refused(backend.generic("POST", URL, body, content_type="application/json"), 400)


@pytest.mark.parametrize("name", ["\\u0000", "\\ud800"])
def test_names_that_no_database_stores(backend, an_event, name):
    body = json.dumps(an_event())[:-1] + f', "{name}": 1}}'
    refused(backend.generic("POST", URL, body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_another_media_type(backend, an_event, content_type):
    refused(backend.generic("POST", URL, json.dumps(an_event()), content_type=content_type), 415)


def test_a_body_that_is_too_large(backend, an_event):
    refused(backend.post(URL, an_event(key="x" * 3_000_000)), 413)


@pytest.mark.parametrize("header", ["", "x" * 256, "a\tb", "\u00ff\u0080"])
def test_a_header_that_is_no_key(backend, an_event, header):
    body = an_event()
    del body["key"]
    refused(backend.post(URL, body, headers={"Idempotency-Key": header}), 400)
