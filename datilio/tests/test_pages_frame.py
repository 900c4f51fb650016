"""The front door, the style guide, the theme, error pages and the two probes."""

import re
from decimal import Decimal

import pytest
from django.db import DatabaseError
from django.test import RequestFactory

from billing.models import Plan
from datilio import views
from datilio.error_rendering import as_page
from datilio.errors import NotFound, RateLimited
from datilio.templatetags.page import ICONS

pytestmark = pytest.mark.django_db


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def test_the_front_door_shows_the_plans_on_sale(client):
    Plan.objects.create(name="Gone", state="archived", stripe_product_id="prod_1", price_monthly=1)
    Plan.objects.create(
        name="Large",
        state="published",
        stripe_product_id="prod_2",
        price_monthly=Decimal("1290.00"),
        description="All",
    )
    page = words(client.get("/"))
    assert "Large All $1,290.00 a month" in page and "Gone" not in page
    assert "Sign up" in page and "Log in" in page


def test_it_knows_who_is_logged_in(client, alice):
    client.force_login(alice)
    page = client.get("/")
    assert "Go to your plan" in words(page) and alice.email in words(page)
    assert b'href="/accounts/signup/"' not in page.content


@pytest.mark.parametrize("path", ["/", "/pricing", "/styleguide", "/styleguide/mails", "/accounts/login/", "/nowhere"])
def test_nothing_inline_and_nothing_from_another_host(client, path):
    page = client.get(path)
    html = page.content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert not re.search(r'(src|href)="(https?:)?//', html)
    for tag in re.findall(r"<script[^>]*>", html):
        assert "src=" in tag
    assert "script-src 'self'" in page["Content-Security-Policy"]


def test_the_style_guide_shows_every_component(client):
    page = client.get("/styleguide")
    assert page.status_code == 200
    html = page.content.decode()
    for part in (
        "swatch",
        "button--danger",
        "badge--warn",
        "notice--error",
        "field--wrong",
        "meter--exceeded",
        "notice--act",
        "bill__total",
        "invoices",
    ):
        assert part in html
    assert all(f"<code>{name}</code>" in html for name in ICONS)


def test_outside_the_demo_the_style_guide_is_for_staff(client, alice, staff, settings):
    settings.EMBEDDED = False
    for user in (None, alice):
        if user:
            client.force_login(user)
        assert client.get("/styleguide").status_code == 403
    client.force_login(staff)
    assert client.get("/styleguide").status_code == 200


# --- light and dark ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_a_chosen_theme_is_kept_and_leads_back(client, choice):
    response = client.post("/theme", {"choice": choice, "next": "/pricing?interval=year"})
    assert (response.status_code, response["Location"]) == (303, "/pricing?interval=year")
    assert f'<html lang="en" data-theme="{choice}">' in client.get("/").content.decode()


def test_auto_forgets_the_choice(client):
    client.post("/theme", {"choice": "dark"})
    client.post("/theme", {"choice": "auto"})
    assert '<html lang="en">' in client.get("/").content.decode()


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "", "\\\\x"])
def test_it_leads_nowhere_else(client, elsewhere):
    assert client.post("/theme", {"choice": "dark", "next": elsewhere})["Location"] == "/"


def test_a_theme_that_does_not_exist_is_a_400(client):
    assert client.get("/theme").status_code == 405
    assert client.post("/theme", {"choice": "pink"}).status_code == 400


def test_a_made_up_cookie_is_ignored(client):
    client.cookies["theme"] = '"><script>'
    assert '<html lang="en">' in client.get("/").content.decode()


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_unknown_address_is_a_page_with_a_way_on(client):
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert "Nothing here" in words(page) and "request req_" in words(page)
    assert "<title>Nothing here · Datilio</title>" in page.content.decode()


def test_a_refusal_says_how_long_to_wait(client):
    request = client.get("/").wsgi_request
    assert "You can go on in 30 seconds" in words(as_page(request, RateLimited(retry_after=30)))


def test_the_way_on_of_an_error_is_its_button(client):
    request = client.get("/").wsgi_request
    page = as_page(request, NotFound(next_url="/pricing?x=1", next_label="See the plans"))
    assert '<a class="button" href="/pricing?x=1">See the plans</a>' in page.content.decode()


def test_an_error_page_without_a_database_is_the_plain_one(client, monkeypatch):
    request = client.get("/").wsgi_request

    class Nobody:
        @property
        def is_authenticated(self):
            raise DatabaseError

    request.user = Nobody()
    page = as_page(request, NotFound())
    assert page.status_code == 404
    assert "There is nothing here" in words(page) and b"css/tokens.css" in page.content


def test_the_form_of_an_error_page_leads_to_a_page_that_can_be_asked_for():
    from datilio.templatetags.page import here

    assert here({"request": RequestFactory().post("/billing/checkout")}) == "/"
    assert here({"request": RequestFactory().get("/pricing?interval=year")}) == "/pricing?interval=year"
    assert here({}) == "/"


# --- probes -----------------------------------------------------------------------------------------------------------


def test_alive_asks_nobody(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"status": "ok"}


def test_ready_is_told_part_by_part(client, monkeypatch):
    monkeypatch.setattr(views, "_applied", True)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "cache": "ok", "migrations": "ok"}}
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.parametrize(("name", "function"), [("database", "_database_answers"), ("cache", "_cache_answers")])
def test_what_is_missing_is_named_and_nothing_more(client, monkeypatch, name, function):
    def down():
        raise ConnectionError("password=secret host=db")

    monkeypatch.setattr(views, "_applied", True)
    monkeypatch.setattr(views, function, down)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"][name] == "failing"
    assert "secret" not in answer.content.decode()


def test_without_its_migrations_it_is_not_ready(client, monkeypatch):
    monkeypatch.setattr(views, "_applied", False)
    monkeypatch.setattr(views.MigrationExecutor, "migration_plan", lambda self, targets: ["0002_next"])
    assert client.get("/readyz").json()["checks"]["migrations"] == "failing"
