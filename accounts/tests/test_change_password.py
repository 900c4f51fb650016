"""A new password ends every log-in that was made with the old one, whichever way it was changed."""

import pytest

from accounts.models import RefreshTokenFamily, User
from accounts.tests.conftest import cookie_of

NEW = "another long password"


def on_the_page(client, user):
    client.force_login(user)
    response = client.post(
        "/accounts/password/change/",
        {"oldpassword": "alice's long password", "password1": NEW, "password2": NEW},
    )
    assert response.status_code == 302


def by_a_command(client, user):
    user = User.objects.get(pk=user.pk)
    user.set_password(NEW)
    user.save()


def save_fields(client, user):
    user = User.objects.get(pk=user.pk)
    user.set_password(NEW)
    user.save(update_fields=["password"])


@pytest.mark.parametrize("change", [on_the_page, by_a_command, save_fields])
def test_it_ends_refresh_and_access_tokens(alice, client, log_in, refresh, change):
    logged_in = log_in(alice)
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {logged_in.json()['access_token']}"}
    assert client.get("/api/user/plan", **bearer).status_code == 200
    change(client, alice)
    # pitfalls.md: access tokens survive unless CHECK_REVOKE_TOKEN.
    response = client.get("/api/user/plan", **bearer)
    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    response = refresh(cookie_of(logged_in).value)
    assert (response.status_code, response.json()["code"]) == (401, "refresh_token_not_valid")


def test_others_keep_theirs(alice, bob, client, log_in, refresh):
    token = cookie_of(log_in(bob)).value
    by_a_command(client, alice)
    assert refresh(token).status_code == 200


@pytest.mark.slow
def test_saving_anything_else_ends_nothing(alice, log_in):
    log_in(alice)
    user = User.objects.get(pk=alice.pk)
    user.is_staff = True
    user.save()
    assert RefreshTokenFamily.objects.live().exists()


@pytest.mark.slow
def test_a_stronger_hash_of_the_same_password_ends_nothing(alice, log_in, settings):
    log_in(alice)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    assert log_in(alice).status_code == 200
    assert User.objects.get().password.startswith("pbkdf2_sha1")
    assert RefreshTokenFamily.objects.live().count() == 2
