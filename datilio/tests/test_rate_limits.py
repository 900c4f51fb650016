"""How often each URL may be asked: one table, applied to all, honest answers."""

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver, reverse
from django_ratelimit import core

from accounts.tokens import issue_tokens
from datilio import rate_limits
from datilio.rate_limits import Policy, by_address, policies_for, url_names

pytestmark = pytest.mark.django_db


@pytest.fixture
def one_a_minute(monkeypatch):
    """Every URL may be asked once a minute."""
    monkeypatch.setattr(rate_limits, "policies_for", lambda name: (Policy("1/m", by_address),))


class CacheOutOfReach:
    def __getitem__(self, name):
        raise ConnectionError("redis is down")


@pytest.fixture
def no_counters(monkeypatch):
    monkeypatch.setattr(core, "caches", CacheOutOfReach())


def test_every_url_of_the_map_has_a_policy():
    names = [name for name, _ in url_names(get_resolver().url_patterns)]
    assert len(names) > 100  # the walk finds the admin's, allauth's and ours
    assert [name for name in names if policies_for(name) is None] == []


def test_the_check_finds_a_forgotten_url(monkeypatch):
    from datilio.checks import every_url_has_a_rate_limit

    assert every_url_has_a_rate_limit() == []
    policies = dict(rate_limits.POLICIES)
    del policies["pricing"]
    monkeypatch.setattr(rate_limits, "POLICIES", policies)
    assert [error.id for error in every_url_has_a_rate_limit()] == ["datilio.E001"]


def test_the_api_says_429_with_what_to_wait(client, one_a_minute):
    assert client.get("/api/plans").headers["RateLimit-Remaining"] == "0"
    refused = client.get("/api/plans")
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Limit"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert int(refused.headers["RateLimit-Reset"]) <= 60


def test_a_page_says_429_as_a_page(client, one_a_minute):
    client.get(reverse("pricing"))
    refused = client.get(reverse("pricing"))
    assert refused.status_code == 429
    assert refused.headers["Content-Type"].startswith("text/html")
    assert int(refused.headers["Retry-After"]) >= 1


def test_an_address_that_leads_nowhere_is_limited_too(client, monkeypatch):
    monkeypatch.setattr(rate_limits, "UNKNOWN_URL", Policy("1/m", by_address))
    assert client.get("/api/nothing").status_code == 404
    assert client.get("/api/nothing-else").status_code == 429


def test_a_forged_forwarded_address_opens_no_fresh_bucket(client, one_a_minute):
    client.get("/api/plans", HTTP_X_FORWARDED_FOR="1.1.1.1")
    assert client.get("/api/plans", HTTP_X_FORWARDED_FOR="2.2.2.2").status_code == 429


def test_a_forged_token_counts_for_the_address(client):
    address = rate_limits.by_caller("x", client.get("/api/plans").wsgi_request)
    forged = client.get("/api/plans", HTTP_AUTHORIZATION="Bearer eyJhbGciOiJub25lIn0.e30.").wsgi_request
    assert rate_limits.by_caller("x", forged) == address == "ip:127.0.0.1"


def test_two_customers_behind_one_address_have_a_bucket_each(alice, bob):
    keys = set()
    for user in (alice, bob):
        client = Client()
        client.force_login(user)
        keys.add(rate_limits.by_caller("x", client.get(reverse("home")).wsgi_request))
    assert keys == {f"user:{alice.pk}", f"user:{bob.pk}"}


def test_two_customers_with_tokens_behind_one_address_do_too(client, alice, bob):
    keys = set()
    for user in (alice, bob):
        bearer = f"Bearer {issue_tokens(user).access}"
        keys.add(rate_limits.by_caller("x", client.get("/api/plans", HTTP_AUTHORIZATION=bearer).wsgi_request))
    assert keys == {f"user:{alice.pk}", f"user:{bob.pk}"}


def test_without_counters_log_in_register_and_checkout_are_closed_and_reads_open(client, no_counters):
    body = {"email": "a@example.com", "password": "x"}
    for name in ("login", "register", "create_checkout_session", "purchase_plan"):
        refused = client.post(reverse(f"api:{name}"), body, content_type="application/json")
        assert (name, refused.status_code) == (name, 503)
        assert refused.json()["code"] == "service_unavailable"
        assert refused.headers["Retry-After"]
    assert client.post(reverse("account_login"), body).status_code == 503
    assert client.get("/api/plans").status_code == 200
    assert client.get(reverse("pricing")).status_code == 200


def test_the_limits_can_be_switched_off_for_a_load_test(client, settings, one_a_minute):
    settings.RATELIMIT_ENABLE = False
    cache.clear()
    assert {client.get("/api/plans").status_code for _ in range(3)} == {200}
