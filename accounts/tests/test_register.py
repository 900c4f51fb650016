import pytest
from allauth.account.models import EmailAddress

from accounts.models import RefreshTokenFamily, User
from accounts.tasks import send_mail

NEW = {"email": "New@Example.com", "password": "correct horse battery"}


def test_it_makes_an_account_with_allauths_records(db, post):
    response = post("auth/register", NEW)
    assert response.status_code == 201
    assert list(response.json()) == ["message"]
    user = User.objects.get()
    assert user.email == "new@example.com"
    assert user.check_password(NEW["password"])
    address = EmailAddress.objects.get()
    assert (address.user, address.email, address.primary, address.verified) == (user, user.email, True, False)


@pytest.mark.parametrize("verification", ["optional", "mandatory"])
def test_it_mails_a_link_that_verifies_the_address(db, post, client, mailoutbox, settings, verification):
    settings.ACCOUNT_EMAIL_VERIFICATION = verification
    post("auth/register", NEW)
    [mail] = mailoutbox
    assert mail.to == ["new@example.com"]
    [link] = [word for word in mail.body.split() if "/accounts/confirm-email/" in word]
    client.post(link.partition("testserver")[2])
    assert EmailAddress.objects.get().verified


@pytest.mark.parametrize("verification", ["optional", "mandatory"])
def test_it_never_logs_in(db, post, client, settings, verification):
    settings.ACCOUNT_EMAIL_VERIFICATION = verification
    response = post("auth/register", NEW)
    assert not response.cookies
    assert not client.cookies
    assert not RefreshTokenFamily.objects.exists()
    assert User.objects.get().last_login is None


@pytest.mark.parametrize("password", ["short", "1234567890", "password123", "new@example.com", "x" * 129])
def test_a_weak_or_endless_password_is_invalid_input(db, post, password, mailoutbox):
    response = post("auth/register", NEW | {"password": password})
    assert response.status_code == 400
    assert response.json()["code"] == "invalid_input"
    assert list(response.json()["errors"]) == ["password"]
    assert not User.objects.exists()
    assert not mailoutbox


def test_it_takes_nothing_but_address_and_password(db, post):
    post("auth/register", NEW | {"is_staff": True, "is_superuser": True, "id": 7})
    user = User.objects.get()
    assert not user.is_staff
    assert not user.is_superuser


def test_a_mail_server_that_is_down_does_not_break_it(db, post, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert post("auth/register", NEW).status_code == 201
    assert User.objects.exists()


def test_neither_does_a_queue_that_is_down(db, post, monkeypatch):
    def refuse(*args):
        raise ConnectionError

    monkeypatch.setattr(send_mail, "delay", refuse)
    assert post("auth/register", NEW).status_code == 201


def test_the_queue_tries_a_mail_again(monkeypatch, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    monkeypatch.setattr(type(send_mail.request), "is_eager", False, raising=False)
    again = []
    monkeypatch.setattr(send_mail, "retry", lambda exc, countdown: again.append(countdown) or exc)
    with pytest.raises(OSError):
        send_mail("Subject", "Text", "<p>Text</p>", "a@example.com", ["b@example.com"])
    assert again == [30]
