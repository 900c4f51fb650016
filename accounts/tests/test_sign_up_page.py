"""allauth's own sign-up page with our form. pitfalls.md: "optional" defeats enumeration prevention there."""

import pytest
from django.contrib.auth import SESSION_KEY

PASSWORD = "correct horse battery"


def sign_up(client, email):
    return client.post("/accounts/signup/", {"email": email, "password1": PASSWORD})


def test_a_new_address_is_logged_in_at_once_while_verification_is_optional(db, client, mailoutbox):
    response = sign_up(client, "new@example.com")
    assert response.status_code == 302
    assert SESSION_KEY in client.session
    assert len(mailoutbox) == 1


def test_a_taken_address_is_told_to_look_into_the_inbox(alice, client, mailoutbox):
    response = sign_up(client, "Alice@Example.com")
    # allauth's form: 200 with "A user is already registered with this email address."
    assert response.status_code == 302
    assert response.url == "/accounts/confirm-email/"
    assert SESSION_KEY not in client.session
    assert mailoutbox[0].to == ["alice@example.com"]


@pytest.mark.usefixtures("mandatory_verification")
def test_new_and_taken_look_the_same_while_verification_is_mandatory(alice, client, mailoutbox):
    answers = [sign_up(client, email) for email in ("new@example.com", "alice@example.com")]
    assert [(a.status_code, a.url, a.content) for a in answers] == [(302, "/accounts/confirm-email/", b"")] * 2
    assert SESSION_KEY not in client.session
    assert len(mailoutbox) == 2


@pytest.mark.parametrize("password", ["short", "12345678", "x" * 129])
def test_passwords_are_checked_as_in_the_api(db, client, password):
    response = client.post("/accounts/signup/", {"email": "new@example.com", "password1": password})
    assert response.status_code == 200
    assert response.context["form"].errors["password1"]
