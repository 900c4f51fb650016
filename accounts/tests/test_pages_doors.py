"""allauth's pages and mails in the site's own clothes."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.urls import reverse

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def title(page):
    return re.search(r"<title>(.*?)</title>", page.content.decode(), re.DOTALL)[1].strip()


def of_the_site(page):
    html = page.content.decode()
    return 'class="site-header"' in html and 'href="#main"' in html and 'css/tokens.css"' in html


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/accounts/login/", "Log in"),
        ("/accounts/signup/", "Sign up"),
        ("/accounts/password/reset/", "Forgot your password?"),
        ("/accounts/password/reset/done/", "Look into your inbox"),
        ("/accounts/password/reset/key/1-abc/", "This link is used up"),
        ("/accounts/password/reset/key/done/", "Your password is changed"),
        ("/accounts/confirm-email/", "Look into your inbox"),
        ("/accounts/confirm-email/unknown/", "Confirm your email address"),
        ("/accounts/inactive/", "This account is closed"),
    ],
)
def test_doors_for_everybody(client, path, name):
    page = client.get(path)
    assert page.status_code == 200
    assert title(page) == f"{name} · Datilio"
    assert of_the_site(page)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/accounts/logout/", "Log out"),
        ("/accounts/email/", "Email addresses"),
        ("/accounts/password/change/", "Change your password"),
        ("/accounts/reauthenticate/", "Is it you?"),
    ],
)
def test_doors_for_who_is_inside(client, alice, path, name):
    client.force_login(alice)
    page = client.get(path)
    assert title(page) == f"{name} · Datilio"
    assert of_the_site(page)


def test_somebody_without_a_password_chooses_one(client, alice):
    alice.set_unusable_password()
    alice.save()
    client.force_login(alice)
    assert title(client.get("/accounts/password/set/")) == "Choose a password · Datilio"


def test_labels_belong_to_fields_and_errors_are_tied_to_them(client):
    html = client.post("/accounts/signup/", {"email": "x", "password1": "short"}).content.decode()
    assert '<label for="id_email">' in html and 'aria-describedby="id_email_error"' in html
    assert 'id="id_email_error"' in html and 'aria-invalid="true"' in html
    assert "placeholder" not in html


def test_a_wrong_password_is_told_above_the_form(client, alice):
    html = client.post("/accounts/login/", {"login": alice.email, "password": "wrong"}).content.decode()
    assert 'role="alert"' in html and "not correct" in html


def test_signing_up_leads_back_to_the_plan_that_was_chosen(client):
    back = "/pricing?interval=year&plan=2"
    form = client.get("/accounts/signup/", {"next": back}).content.decode()
    assert f'name="next" value="{back.replace("&", "&amp;")}"' in form
    response = client.post("/accounts/signup/", {"email": "new@example.com", "password1": PASSWORD, "next": back})
    assert response["Location"] == back


def test_resetting_a_password_from_mail_to_log_in(client, alice, mailoutbox):
    client.post("/accounts/password/reset/", {"email": alice.email})
    [mail] = mailoutbox
    link = re.search(r"http://testserver(\S+)", mail.body)[1]
    page = client.get(link, follow=True)
    assert title(page) == "Choose a new password · Datilio"
    form = {"password1": PASSWORD, "password2": PASSWORD}
    page = client.post(page.request["PATH_INFO"], form, follow=True)
    assert page.status_code == 200
    assert client.post("/accounts/login/", {"login": alice.email, "password": PASSWORD}).status_code == 302


def test_confirming_an_address_from_mail(client, mailoutbox):
    client.post("/accounts/signup/", {"email": "new@example.com", "password1": PASSWORD})
    link = re.search(r"http://testserver(\S+)", mailoutbox[0].body)[1]
    page = client.get(link)
    assert title(page) == "Confirm your email address · Datilio" and b"new@example.com" in page.content
    client.post(link)
    assert EmailAddress.objects.get(email="new@example.com").verified


# --- mails ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mail_of(client, alice, mailoutbox):
    """The mail that an action sends."""
    actions = {
        "reset": lambda: client.post(reverse("account_reset_password"), {"email": alice.email}),
        "unknown": lambda: client.post(reverse("account_reset_password"), {"email": "nobody@example.com"}),
        "taken": lambda: client.post(reverse("account_signup"), {"email": alice.email, "password1": PASSWORD}),
        "confirm": lambda: client.post(reverse("account_signup"), {"email": "new@example.com", "password1": PASSWORD}),
    }

    def send(action):
        actions[action]()
        [mail] = mailoutbox
        return mail

    return send


@pytest.mark.parametrize(
    ("action", "subject", "button"),
    [
        ("reset", "Choose a new password", "Choose a new password"),
        ("unknown", "There is no account with this address", "Sign up"),
        ("taken", "You have an account already", "Choose a new password"),
        ("confirm", "Confirm your email address", "Yes, confirm"),
    ],
)
def test_a_mail_is_text_and_html_with_one_button(mail_of, action, subject, button):
    mail = mail_of(action)
    assert mail.subject == subject
    [link] = re.findall(r"http://testserver\S+", mail.body)
    [(html, kind)] = mail.alternatives
    assert kind == "text/html"
    [(href, label)] = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', html)
    assert (href.replace("&amp;", "&"), label) == (link, button)
    assert "127.0.0.1" not in mail.body and "example.com!" not in mail.body


@pytest.mark.parametrize(
    "name", ["password_changed", "password_reset", "password_set", "email_changed", "email_confirm", "email_deleted"]
)
def test_a_notification_says_when_and_from_where_and_the_way_out(client, rf, name):
    from allauth.account.adapter import get_adapter
    from allauth.core import context
    from django.utils import timezone

    request = rf.get("/")
    values = {"request": request, "timestamp": timezone.now(), "ip": "203.0.113.7", "deleted_email": "old@example.com"}
    with context.request_context(request):
        mail = get_adapter().render_mail(f"account/email/{name}", "a@example.com", values)
    html = mail.alternatives[0][0]
    for text in (mail.body, html):
        assert "UTC" in text and "203.0.113.7" in text and "http://testserver/accounts/password/reset/" in text
    assert html.count("<a ") == 1
