"""Staff see usage and change none of it; an API key is made here and shown once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from usage.admin import ShortPaginator
from usage.api_keys import find_api_key, make_api_key
from usage.models import ApiKey, UsageEvent


@pytest.fixture
def some_usage(alice, give_plan, use):
    give_plan(alice)
    for _ in range(3):
        use(alice, "ai_prompt")


@pytest.mark.parametrize("model", ["usageevent", "usagecounter", "usagealert"])
def test_usage_can_be_read_and_nothing_else(admin, some_usage, model):
    page = admin.get(f"/admin/usage/{model}/")
    assert page.status_code == 200
    assert b"alice@example.com" in page.content
    pk = page.context["cl"].result_list[0].pk
    assert admin.get(f"/admin/usage/{model}/{pk}/change/").status_code == 200
    assert admin.post(f"/admin/usage/{model}/{pk}/change/", {"used": 0}).status_code == 403
    assert admin.get(f"/admin/usage/{model}/add/").status_code == 403
    assert admin.post(f"/admin/usage/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("query", [{}, {"q": "alice@example.com"}, {"feature": "ai_prompt"}])
def test_a_list_takes_few_queries_and_counts_no_further_than_pages_are_turned(admin, some_usage, query, monkeypatch):
    monkeypatch.setattr(ShortPaginator, "MOST", 2)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = admin.get("/admin/usage/usageevent/", query)
    assert page.context["cl"].paginator.count == 2
    # Session, user, one bounded count, the rows with their users.
    assert len(queries) <= 5, queries.captured_queries
    assert all("LIMIT 2" in q["sql"] for q in queries if "COUNT(" in q["sql"])


def test_a_search_that_finds_nobody(admin, some_usage):
    assert admin.get("/admin/usage/usageevent/", {"q": "bob@example.com"}).context["cl"].result_count == 0


def test_a_key_is_made_and_shown_once(admin, db):
    page = admin.post("/admin/usage/apikey/add/", {"name": "worker", "scopes": ["usage:write"]})
    assert page.status_code == 200
    key = page.context["key"]
    assert key in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert find_api_key(key).name == "worker"
    assert key not in str(admin.cookies) + str(dict(admin.session))
    again = admin.get("/admin/usage/apikey/").content.decode()
    assert "worker" in again and key not in again


@pytest.mark.parametrize("fields", [{"name": "worker"}, {"name": "", "scopes": ["usage:write"]}, {"name": "a\x00"}])
def test_a_key_needs_a_name_and_a_scope(admin, fields):
    page = admin.post("/admin/usage/apikey/add/", fields)
    assert page.status_code == 200
    assert page.context["errors"]
    assert not ApiKey.objects.exists()


def test_a_name_that_is_taken_is_said_in_the_form(admin):
    make_api_key("worker", ["usage:write"])
    page = admin.post("/admin/usage/apikey/add/", {"name": "worker", "scopes": ["usage:write"]})
    assert page.context["errors"]
    assert ApiKey.objects.count() == 1


def test_a_key_is_revoked_and_never_edited_or_deleted(admin):
    row, _ = make_api_key("worker", ["usage:write"])
    admin.post("/admin/usage/apikey/", {"action": "revoke", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert admin.post(f"/admin/usage/apikey/{row.pk}/change/", {"name": "x"}).status_code == 403
    assert admin.post(f"/admin/usage/apikey/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert not UsageEvent.objects.exists()
