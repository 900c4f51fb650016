"""Whatever is thrown at the log-in endpoints is a problem document below 500, and nothing is stored."""

import json

import pytest

from accounts.models import RefreshTokenFamily, User

GOOD = {"email": "new@example.com", "password": "correct horse battery"}

BODIES = {
    "empty": "",
    "not JSON": "{",
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "text": '"text"',
    "NaN": '{"email": NaN, "password": NaN}',
    "infinity": '{"email": "new@example.com", "password": 1e999}',
    "an endless number": '{"email": "new@example.com", "password": ' + "9" * 10_000 + "}",
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep within": '{"email": "new@example.com", "password": ' + "[" * 500 + "]" * 500 + "}",
    "NUL": json.dumps(GOOD | {"password": "correct\0horse battery"}),
    "NUL in the address": json.dumps(GOOD | {"email": "new\0@example.com"}),
    "lone surrogate": json.dumps(GOOD | {"password": "correct horse \ud800"}),
    "lone surrogate in the address": json.dumps(GOOD | {"email": "\udfff@example.com"}),
    "lone surrogate in a name": json.dumps(GOOD | {"\ud800": 1}),
    "no UTF-8": b'{"email": "\xff@example.com", "password": "x"}',
    "a number for the password": json.dumps(GOOD | {"password": 1234567890123}),
    "a number for the address": json.dumps(GOOD | {"email": 5}),
    "true": json.dumps({"email": True, "password": True}),
    "nothing": json.dumps({"email": None, "password": None}),
    "lists": json.dumps({"email": ["new@example.com"], "password": ["x"]}),
    "objects": json.dumps({"email": {"$ne": 1}, "password": {"$ne": 1}}),
    "blank": json.dumps({"email": " ", "password": ""}),
    "missing": "{}",
    "a long address": json.dumps(GOOD | {"email": "a" * 1_000_000 + "@example.com"}),
    "a long password": json.dumps(GOOD | {"password": "p" * 1_000_000}),
}


def is_a_refusal(response, *statuses):
    assert response.status_code in statuses, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["code"] and problem["request_id"] and problem["detail"]
    assert not User.objects.exists()
    assert not RefreshTokenFamily.objects.exists()
    return True


@pytest.mark.parametrize("path", ["auth/register", "auth/login"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(db, post, path, body):
    assert is_a_refusal(post(path, body), 400)


@pytest.mark.parametrize("path", ["auth/register", "auth/login"])
def test_more_than_is_ever_read(db, post, path):
    assert is_a_refusal(post(path, json.dumps(GOOD | {"password": "p" * 3_000_000})), 413)


@pytest.mark.parametrize("path", ["auth/register", "auth/login"])
@pytest.mark.parametrize(
    "media_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/xml", "x"],
)
def test_other_media_types(db, client, path, media_type):
    assert is_a_refusal(client.post(f"/api/{path}", json.dumps(GOOD), content_type=media_type), 415)


@pytest.mark.parametrize("path", ["auth/register", "auth/login", "auth/refresh", "auth/logout"])
@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods(db, client, path, method):
    response = getattr(client, method)(f"/api/{path}")
    assert is_a_refusal(response, 405)
    assert "POST" in response["Allow"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_the_body_of_refresh_is_not_read(db, post, body):
    assert is_a_refusal(post("auth/refresh", body), 401)


@pytest.mark.parametrize("email", ["' OR 1=1 --", "%", "nobody@example.com\u2028", "\U0001f600" * 60])
def test_strange_addresses_are_wrong_ones(db, post, email):
    assert is_a_refusal(post("auth/login", {"email": email, "password": "x"}), 401)
