import pytest
from rest_framework_simplejwt.tokens import AccessToken

from accounts.api import REFRESH_COOKIE
from accounts.models import RefreshTokenFamily, User
from accounts.tests.conftest import cookie_of
from accounts.tokens import RefreshToken


@pytest.fixture
def first(alice, log_in):
    """The refresh token of Alice's log-in."""
    return cookie_of(log_in(alice)).value


def refused(response, code):
    assert response.status_code == 401, response.content
    assert response.json()["code"] == code
    assert response["WWW-Authenticate"]
    cookie = cookie_of(response)
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", 0, "/api/auth")
    return True


def test_it_gives_a_new_access_token_and_a_new_cookie(alice, first, refresh):
    response = refresh()
    assert response.status_code == 200
    assert response.json()["user"]["id"] == alice.pk
    assert AccessToken(response.json()["access_token"])["user_id"] == str(alice.pk)
    cookie = cookie_of(response)
    assert cookie.value != first
    assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["path"] == "/api/auth"
    assert "refresh" not in response.content.decode()


def test_the_chain_goes_on(first, refresh, clock):
    tokens = {first}
    for _ in range(3):
        clock.move(minutes=9)
        tokens.add(cookie_of(refresh()).value)
    assert len(tokens) == 4


def test_the_token_before_gets_the_same_successor_for_ten_seconds(first, refresh, clock):
    successor = cookie_of(refresh()).value
    clock.move(seconds=9)
    assert cookie_of(refresh(first)).value == successor


def test_reuse_later_ends_the_whole_log_in(first, refresh, clock):
    # pitfalls.md: with simplejwt's blacklist the successor of a reused token stays valid.
    successor = cookie_of(refresh()).value
    clock.move(seconds=11)
    assert refused(refresh(first), "refresh_token_reused")
    assert refused(refresh(successor), "refresh_token_not_valid")


def test_reuse_of_an_older_token_gets_no_grace(first, refresh):
    refresh()
    newest = cookie_of(refresh()).value
    assert refused(refresh(first), "refresh_token_reused")
    assert refused(refresh(newest), "refresh_token_not_valid")


def test_another_log_in_of_the_same_user_lives_on(alice, first, refresh, log_in, clock):
    other = cookie_of(log_in(alice)).value
    refresh(first)
    clock.move(seconds=11)
    assert refused(refresh(first), "refresh_token_reused")
    assert refresh(other).status_code == 200


def test_it_ends_thirty_days_after_the_log_in_however_often_it_is_used(first, refresh, clock):
    clock.move(days=29, hours=23)
    assert cookie_of(refresh())["max-age"] <= 3600
    clock.move(hours=1)
    assert refused(refresh(), "refresh_token_not_valid")


@pytest.mark.parametrize(
    "garbage",
    ["", "x", "a.b.c", "\u00e4.\u00f6.\u00fc", "." * 5000, "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.", "\x00", "null"],
)
def test_garbage_is_not_valid(db, refresh, garbage):
    # As a raw header: the cookie jar of some Pythons refuses control characters, a stranger's client does not.
    assert refused(refresh(HTTP_COOKIE=f"{REFRESH_COOKIE}={garbage}"), "refresh_token_not_valid")


def test_no_cookie_is_not_valid(db, refresh):
    assert refused(refresh(), "refresh_token_not_valid")


def test_an_access_token_is_no_refresh_token(alice, log_in, refresh):
    assert refused(refresh(log_in(alice).json()["access_token"]), "refresh_token_not_valid")


def test_a_signed_token_without_a_family_is_not_valid(db, refresh):
    assert refused(refresh(str(RefreshToken())), "refresh_token_not_valid")


def test_a_refresh_token_is_no_access_token(first, client):
    assert client.get("/api/user/plan", HTTP_AUTHORIZATION=f"Bearer {first}").status_code == 401


def test_a_deleted_user_is_not_valid(alice, first, refresh):
    # pitfalls.md: simplejwt answers 500.
    alice.delete()
    assert refused(refresh(), "refresh_token_not_valid")


def test_a_deactivated_user_is_not_valid_even_after_coming_back(alice, first, refresh):
    User.objects.update(is_active=False)
    assert refused(refresh(first), "refresh_token_not_valid")
    User.objects.update(is_active=True)
    assert refused(refresh(first), "refresh_token_not_valid")


def test_no_token_is_stored(first, refresh):
    refresh()
    [row] = RefreshTokenFamily.objects.values_list()
    assert not any(str(value) in first for value in row if len(str(value)) > 40)
