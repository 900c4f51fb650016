"""One person, one spelling of their address."""

import pytest
from django.db import IntegrityError, transaction

from accounts.models import User


def test_it_is_kept_in_lower_case(db):
    assert User.objects.create_user("Alice@Example.COM", "x").email == "alice@example.com"


def test_the_same_address_in_another_case_is_taken(alice):
    with pytest.raises(IntegrityError):
        User.objects.create_user("ALICE@example.com", "x")


def test_the_database_itself_refuses_upper_case(alice):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(email="Alice@example.com")


@pytest.mark.parametrize(
    "address",
    [
        "no-at-sign",
        "a@b",
        "two words@example.com",
        "line\nbreak@example.com",
        "x" * 250 + "@example.com",
        # Django's validator takes it for an ASCII letter.
        "al\u0131ce@example.com",
        # 254 characters that are 255 and more in lower case.
        "a@" + "\u0130" * 60 + "." + "\u0130" * 60 + "." + "\u0130" * 60 + "." + "\u0130" * 60 + ".example",
    ],
)
def test_an_address_that_cannot_be_used_is_invalid_input(db, post, address):
    response = post("auth/register", {"email": address, "password": "correct horse battery"})
    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["email"]
    assert not User.objects.exists()


def test_every_spelling_that_lower_cases_to_a_taken_address_is_taken(db, post, mailoutbox):
    User.objects.create_user("klaus@example.com", "x")
    # The Kelvin sign, which Django's validator takes for an ASCII letter too.
    post("auth/register", {"email": "\u212aLAUS@example.com", "password": "correct horse battery"})
    assert User.objects.count() == 1
    assert mailoutbox[0].to == ["klaus@example.com"]


def test_the_sign_up_page_does_not_cut_an_address_to_somebody_elses(db, client):
    # allauth's form takes 320 characters and stores the first 254.
    long = "a@" + ".".join(["b" * 60] * 4) + ".example.community"
    client.post("/accounts/signup/", {"email": long, "password1": "correct horse battery"})
    assert not User.objects.exists()


def test_somebody_elses_address_cannot_be_reserved(alice, client):
    client.force_login(alice)
    client.post("/accounts/email/", {"action_add": "", "email": "victim@example.com"})
    assert list(alice.emailaddress_set.values_list("email", flat=True)) in ([], ["alice@example.com"])
