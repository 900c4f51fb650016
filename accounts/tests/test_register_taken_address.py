"""Registering tells nobody who has an account: same bytes, same work, in both modes of verification."""

import threading

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import forms
from accounts.models import User

PASSWORD = "correct horse battery"
NEW = {"email": "new@example.com", "password": PASSWORD}


@pytest.fixture(params=["optional", "mandatory"], autouse=True)
def verification(request, settings):
    settings.ACCOUNT_EMAIL_VERIFICATION = request.param


def what_is_seen(response):
    """All that a stranger gets, without what differs from request to request anyway."""
    headers = {k: v for k, v in response.headers.items() if k != "X-Request-Id" and not k.startswith("RateLimit-")}
    return response.status_code, response.content, headers, str(response.cookies)


@pytest.mark.parametrize("spelling", ["alice@example.com", "ALICE@Example.com"])
def test_the_answer_is_the_same(alice, post, spelling):
    fresh = post("auth/register", NEW)
    taken = post("auth/register", {"email": spelling, "password": PASSWORD})
    assert what_is_seen(taken) == what_is_seen(fresh)
    assert User.objects.count() == 2


def test_the_answer_is_the_same_for_an_address_that_is_not_verified_yet(db, post):
    fresh = post("auth/register", NEW)
    again = post("auth/register", NEW)
    assert what_is_seen(again) == what_is_seen(fresh)
    assert User.objects.count() == 1


def test_its_owner_gets_a_mail_and_nothing_changes(alice, post, mailoutbox):
    post("auth/register", {"email": "alice@example.com", "password": PASSWORD})
    [mail] = mailoutbox
    assert mail.to == ["alice@example.com"]
    assert "confirm-email" not in mail.body
    assert "/accounts/password/reset/" in mail.body
    alice.refresh_from_db()
    assert alice.check_password("alice's long password")


def test_a_weak_password_is_refused_alike(alice, post, mailoutbox):
    fresh = post("auth/register", {"email": "new@example.com", "password": "12345678"})
    taken = post("auth/register", {"email": "alice@example.com", "password": "12345678"})
    assert fresh.status_code == taken.status_code == 400
    assert fresh.json()["errors"] == taken.json()["errors"]
    assert not mailoutbox


def test_the_same_number_of_passwords_is_hashed(alice, post, monkeypatch):
    # allauth hashes none for a taken address: it would answer a quarter of a second sooner.
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda *args, **kwargs: hashed.append(1) or encode(*args, **kwargs)
    )
    post("auth/register", NEW)
    fresh = len(hashed)
    post("auth/register", {"email": "alice@example.com", "password": PASSWORD})
    assert (fresh, len(hashed) - fresh) == (1, 1)


def test_about_the_same_is_asked_of_the_database(alice, post):
    asked = {}
    for email in ("new@example.com", "alice@example.com"):
        with CaptureQueriesContext(connection) as queries:
            post("auth/register", {"email": email, "password": PASSWORD})
        asked[email] = [query["sql"].split()[0] for query in queries.captured_queries]
    fresh, taken = asked.values()
    assert fresh.count("INSERT") == taken.count("INSERT") == 2
    assert abs(len(fresh) - len(taken)) <= 3
    assert set(User.objects.values_list("email", flat=True)) == {"alice@example.com", "new@example.com"}
    assert set(EmailAddress.objects.values_list("email", flat=True)) == {"new@example.com"}


def test_an_address_that_is_taken_between_look_and_save(alice, post, monkeypatch, mailoutbox):
    fresh = post("auth/register", NEW)
    mailoutbox.clear()
    monkeypatch.setattr(forms, "filter_users_by_email", lambda email: [])
    taken = post("auth/register", {"email": "alice@example.com", "password": PASSWORD})
    assert what_is_seen(taken) == what_is_seen(fresh)
    assert "confirm-email" not in mailoutbox[0].body


@pytest.mark.django_db(transaction=True)
def test_four_at_once_make_one_account():
    barrier, answers = threading.Barrier(4), []

    def register():
        client = Client()
        barrier.wait(30)
        try:
            answers.append(client.post("/api/auth/register", NEW, content_type="application/json"))
        finally:
            connection.close()

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.content for answer in answers}) == 1
    assert User.objects.count() == EmailAddress.objects.count() == 1
