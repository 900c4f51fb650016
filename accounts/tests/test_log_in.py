import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import RefreshTokenFamily, User
from accounts.tests.conftest import cookie_of


def test_it_answers_with_an_access_token_and_the_user(alice, log_in):
    response = log_in(alice)
    assert response.status_code == 200
    body = response.json()
    assert body["user"] == {"id": alice.pk, "email": "alice@example.com", "is_admin": False}
    assert set(body) == {"access_token", "user"}
    assert AccessToken(body["access_token"])["user_id"] == str(alice.pk)
    assert response["Cache-Control"] == "no-store"


def test_staff_are_admins(staff, log_in):
    assert log_in(staff).json()["user"]["is_admin"] is True


def test_the_case_of_the_address_does_not_matter(alice, post):
    response = post("auth/login", {"email": " ALICE@Example.com ", "password": "alice's long password"})
    assert response.status_code == 200


@pytest.mark.parametrize("production", [False, True])
def test_the_refresh_token_is_in_a_cookie_that_scripts_and_other_paths_do_not_see(alice, log_in, settings, production):
    settings.SECURE_COOKIES = production
    cookie = cookie_of(log_in(alice))
    assert cookie["httponly"]
    assert cookie["path"] == "/api/auth"
    assert cookie["samesite"] == "Strict"
    assert bool(cookie["secure"]) is production
    assert 29 * 86_400 < cookie["max-age"] <= 30 * 86_400


def test_it_leaves_no_browser_session_and_no_csrf_cookie(alice, log_in, client):
    log_in(alice)
    assert set(client.cookies) == {"datilio_refresh"}
    assert client.get("/accounts/email/").status_code == 302


def test_it_leaves_a_browser_session_of_somebody_else_alone(alice, bob, log_in, client):
    client.force_login(bob)
    session = client.session.session_key
    log_in(alice)
    assert client.session.session_key == session
    assert client.session["_auth_user_id"] == str(bob.pk)


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com", "no address at all"])
def test_a_wrong_pair_is_invalid_credentials(alice, post, email):
    response = post("auth/login", {"email": email, "password": "wrong"})
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_credentials"
    assert response["WWW-Authenticate"]
    assert not response.cookies
    assert not RefreshTokenFamily.objects.exists()


def test_an_unknown_address_costs_as_many_hashes_as_a_wrong_password(alice, post, monkeypatch):
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda *args, **kwargs: hashed.append(1) or encode(*args, **kwargs)
    )
    for email in ("alice@example.com", "nobody@example.com"):
        hashed.clear()
        post("auth/login", {"email": email, "password": "wrong"})
        assert len(hashed) == 1


def test_an_inactive_account_is_told_so_only_with_its_password(alice, log_in, post):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    right = log_in(alice)
    assert (right.status_code, right.json()["code"]) == (403, "account_inactive")
    assert not right.cookies
    wrong = post("auth/login", {"email": alice.email, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")


def test_it_clears_expired_log_ins_away(alice, bob, log_in, clock):
    log_in(bob)
    clock.move(days=31)
    log_in(alice)
    assert RefreshTokenFamily.objects.get().user == alice


def test_a_password_changed_between_check_and_token_gives_no_token(alice, log_in, monkeypatch):
    from accounts import services

    issue = services.issue_tokens

    def after_a_change(user):
        changed = User.objects.get(pk=user.pk)
        changed.set_password("another long password")
        changed.save()
        return issue(user)

    monkeypatch.setattr(services, "issue_tokens", after_a_change)
    assert log_in(alice).status_code == 401
    assert not RefreshTokenFamily.objects.exists()
