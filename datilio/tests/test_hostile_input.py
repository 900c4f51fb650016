"""Bad input to every endpoint of the API is a 4xx problem+json on both databases, and nothing is stored.

schemathesis found none of three known 500s, so this is a corpus of what is known to hurt: wrong types, huge, negative,
NaN, NUL, lone surrogates, deep JSON, wrong media types.
"""

import itertools
import json

import pytest
from django.apps import apps
from django.urls import reverse

# What must stay as it was: everything of ours, and dj-stripe's inbox.
STORED = [*apps.get_app_config("billing").get_models(), *apps.get_app_config("usage").get_models()]
WATCHED = [m for m in STORED if m.__name__ not in ("BillingAccount",)] + [
    apps.get_model("accounts", "User"),
    apps.get_model("djstripe", "WebhookEventTrigger"),
    apps.get_model("djstripe", "Event"),
]

BODIES = [
    b"",
    b"{",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"[{}]",
    b"\xff\xfe\x00",
    b"NaN",
    b'{"plan_id": NaN, "duration_months": 1}',
    b'{"a": 1e999}',
    b'{"a": "\\u0000"}',
    b'{"a": "\\ud800"}',
    b'{"\\udfff": "a"}',
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'{"plan_id": ' + b"9" * 5_000 + b"}",
]
VALUES = [
    None,
    True,
    [],
    {},
    "",
    "text",
    "\x00",
    "\ud800",
    "x" * 100_000,
    -1,
    0,
    2**31,
    2**63,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    {"a": {"b": {"c": {"d": {"e": 1}}}}},
    ["a"] * 10_000,
]
# name, who, a body that would be fine, fields whose value may be any of VALUES' without being wrong
WRITES = {
    "api:register": (None, {"email": "new@example.com", "password": "a long enough password"}, {}),
    "api:login": (None, {"email": "alice@example.com", "password": "wrong"}, {}),
    "api:plans": (
        "staff",
        {
            "name": "New",
            "price_monthly": 1,
            "file_limit": 1,
            "file_size_limit_mb": 1,
            "ai_prompts_per_day": 1,
            "synthetic_rows_per_month": 1,
            "features": {},
        },
        {
            "name": ["text"],
            "price_monthly": [0, 1.5],
            "file_limit": [None, 0],
            "file_size_limit_mb": [None, 0],
            "ai_prompts_per_day": [None, 0],
            "synthetic_rows_per_month": [None, 0],
            "features": [{}],
        },
    ),
    "api:create_checkout_session": ("alice", {"plan_id": 1, "duration_months": 1}, {}),
    "api:purchase_plan": ("alice", {"plan_id": 1, "duration_months": 1}, {}),
    "api:cancel_plan": ("alice", {"immediately": False, "reason": ""}, {}),
    "api:usage_quote": ("key", {"user_id": 1, "tokens": 1}, {"tokens": [2**31]}),
    "api:usage_events": ("key", {"user_id": 1, "feature": "ai_prompt", "amount": 1, "key": "k"}, {}),
}
QUERIES = [
    "\x00",
    "\ud800".encode("utf-16", "surrogatepass"),
    "x" * 5_000,
    "-1",
    "0",
    "201",
    "NaN",
    "9" * 400,
    "é",
    "a,b",
    "2026-13-01",
]


@pytest.fixture
def caller(client, alice, staff):
    """client, headers for one of: nobody, alice, staff, a backend with an API key."""

    def become(who):
        headers = {}
        if who in ("alice", "staff"):
            client.force_login({"alice": alice, "staff": staff}[who])
        elif who == "key":
            from usage.api_keys import make_api_key

            headers["Authorization"] = f"Api-Key {make_api_key('test', ['usage:write'])[1]}"
        return client, headers

    return become


def counts():
    return {model.__name__: model._default_manager.count() for model in WATCHED}


def assert_refused(response, what):
    assert 400 <= response.status_code < 500, (what, response.status_code, response.content[:300])
    assert response.headers["Content-Type"] == "application/problem+json", what
    assert response.json()["code"], what


@pytest.mark.django_db
@pytest.mark.parametrize("name", WRITES)
def test_bodies(name, caller, settings):
    settings.RATELIMIT_ENABLE = False
    who, _, _ = WRITES[name]
    client, headers = caller(who)
    before = counts()
    for body in BODIES:
        if name == "api:cancel_plan" and body == b"":
            continue  # its body is optional
        response = client.generic("POST", reverse(name), body, content_type="application/json", headers=headers)
        assert_refused(response, body[:60])
    assert counts() == before


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("name", WRITES)
def test_values(name, caller, settings):
    settings.RATELIMIT_ENABLE = False
    who, fine, tolerated = WRITES[name]
    client, headers = caller(who)
    before = counts()
    for field, value in itertools.product(fine, VALUES):
        if any(value is ok or (value == ok and type(value) is type(ok)) for ok in tolerated.get(field, [])):
            continue
        body = json.dumps(fine | {field: value})
        response = client.generic("POST", reverse(name), body, content_type="application/json", headers=headers)
        assert_refused(response, (field, repr(value)[:60]))
    assert counts() == before


@pytest.mark.django_db
@pytest.mark.parametrize("name", WRITES)
def test_media_types(name, caller, settings):
    settings.RATELIMIT_ENABLE = False
    who, fine, _ = WRITES[name]
    client, headers = caller(who)
    before = counts()
    for media in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "x"):
        response = client.generic("POST", reverse(name), json.dumps(fine), content_type=media, headers=headers)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type"), media
    assert counts() == before


@pytest.mark.django_db
@pytest.mark.parametrize("parameter", ["cursor", "limit", "feature", "since", "until"])
def test_queries(parameter, caller, settings):
    settings.RATELIMIT_ENABLE = False
    client, _ = caller("alice")
    for value in QUERIES:
        response = client.get(reverse("api:user_usage"), {parameter: value})
        assert_refused(response, (parameter, value[:60]))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "parameter", "fine"),
    [
        ("api:user_usage_quote", "tokens", {}),
        ("api:receipt_events", "period_start", {}),
        ("api:receipt_events", "cursor", {"period_start": "2026-03-01T00:00:00Z"}),
        ("api:receipt_events", "limit", {"period_start": "2026-03-01T00:00:00Z"}),
    ],
)
def test_queries_about_money(name, parameter, fine, caller, settings):
    settings.RATELIMIT_ENABLE = False
    client, _ = caller("alice")
    for value in QUERIES:
        if (parameter, value) == ("tokens", "201"):
            continue
        response = client.get(reverse(name), fine | {parameter: value})
        assert_refused(response, (parameter, value[:60]))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer " + "x" * 20_000,
        "Bearer \x00",
        "Bearer é",
        "Bearer a b c",
        "Basic YTpi",
        "Api-Key",
        "Api-Key x",
        "Api-Key é",
        "Api-Key " + "x" * 20_000,
        "\x00",
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("name", ["api:user_plan", "api:user_usage", "api:cancel_plan", "api:usage_events"])
def test_authorizations(name, authorization, client):
    method = "GET" if "user_" in name else "POST"
    body = b"" if method == "GET" else b"{}"
    response = client.generic(
        method, reverse(name), body, content_type="application/json", HTTP_AUTHORIZATION=authorization
    )
    # A user's token, good or bad, is of the wrong kind where only API keys write.
    wrong_kind = name == "api:usage_events" and authorization.startswith("Bearer")
    assert response.status_code == (403 if wrong_kind else 401), response.content
    assert_refused(response, authorization[:40])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/api/%00",
        "/api/plans/",
        "/api/plans%00",
        "/api/%ff",
        "/api/..%2f..%2fetc",
        "/api/" + "x" * 5_000,
        "/api/plans;a=b",
    ],
    ids=lambda value: value[:20],
)
def test_paths(path, client):
    assert_refused(client.get(path), path)
