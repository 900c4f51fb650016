"""Ten failures in five minutes close an address, wherever they come from, on page and API together."""

import pytest
from django.test import RequestFactory

from accounts.adapters import AccountAdapter


@pytest.fixture
def fail(post):
    def times(count, email="alice@example.com"):
        return [
            post("auth/login", {"email": email, "password": "wrong"}, REMOTE_ADDR=f"192.0.2.{n}").status_code
            for n in range(count)
        ]

    return times


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_the_eleventh_try_is_rate_limited_even_with_the_right_password(alice, post, fail, email):
    assert fail(10, email) == [401] * 10
    response = post("auth/login", {"email": email, "password": "alice's long password"}, REMOTE_ADDR="198.51.100.1")
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(response["Retry-After"]) <= 300
    assert response.json()["retry_after"] == int(response["Retry-After"])
    assert not response.cookies


def test_failures_on_the_page_count_too(alice, client, log_in):
    for n in range(10):
        client.post("/accounts/login/", {"login": alice.email, "password": "wrong"}, REMOTE_ADDR=f"192.0.2.{n}")
    assert log_in(alice).status_code == 429


def test_others_are_not_touched(alice, bob, log_in, fail):
    fail(10)
    assert log_in(bob).status_code == 200


def test_log_ins_that_succeed_do_not_count(alice, log_in):
    assert {log_in(alice, REMOTE_ADDR=f"192.0.2.{n}").status_code for n in range(12)} == {200}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        # allauth's own answers 500 to a header that is too short.
        (2, "198.51.100.1", "192.0.2.1"),
        (1, "garbage", "192.0.2.1"),
    ],
)
def test_allauth_limits_by_the_same_address_as_our_policy_table(settings, proxies, forwarded, address):
    # pitfalls.md: behind a proxy with ALLAUTH_TRUSTED_PROXY_COUNT 0 everybody shares one bucket.
    settings.TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert AccountAdapter(request).get_client_ip(request) == address
