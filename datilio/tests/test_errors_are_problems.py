"""Under /api/ every error is problem+json with a code and a request id; elsewhere it is a page."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def assert_problem(response, status, code):
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["title"] and problem["detail"] and problem["type"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    return problem


def test_nothing_there(client):
    assert_problem(client.get("/api/nothing"), 404, "not_found")


def test_not_logged_in(client):
    response = client.get("/api/user/plan")
    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_wrong_method(client):
    response = client.delete("/api/plans")
    assert response.status_code in (401, 403, 405)
    response = client.get("/api/stripe/webhook")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"


def test_wrong_method_of_someone_known(client, alice):
    client.force_login(alice)
    response = client.get("/api/create-checkout-session")
    assert_problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]


def test_wrong_media_type(client, alice):
    client.force_login(alice)
    response = client.post("/api/user/cancel_plan", "a=1", content_type="application/x-www-form-urlencoded")
    assert_problem(response, 415, "unsupported_media_type")


def test_malformed_body(client, alice):
    client.force_login(alice)
    response = client.post("/api/user/cancel_plan", "{", content_type="application/json")
    assert_problem(response, 400, "malformed_body")


def test_invalid_input_names_the_fields(client, alice):
    client.force_login(alice)
    response = client.post("/api/create-checkout-session", {"plan_id": "x"}, content_type="application/json")
    problem = assert_problem(response, 400, "invalid_input")
    assert set(problem["errors"]) == {"plan_id", "duration_months"}


def test_a_body_that_is_no_object(client, alice):
    client.force_login(alice)
    response = client.post("/api/create-checkout-session", "[1]", content_type="application/json")
    problem = assert_problem(response, 400, "invalid_input")
    assert list(problem["errors"]) == ["body"]


def test_too_large(client, alice):
    client.force_login(alice)
    response = client.post("/api/user/cancel_plan", b'"' + b"x" * 3_000_000 + b'"', content_type="application/json")
    assert_problem(response, 413, "body_too_large")


def test_csrf_is_asked_of_the_browser_session(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    response = client.post("/api/user/cancel_plan", {}, content_type="application/json")
    assert_problem(response, 403, "csrf_failed")


def test_a_host_that_is_not_ours(client):
    assert_problem(client.get("/api/plans", HTTP_HOST="evil.example"), 400, "bad_request")


def test_a_bug_is_a_500_without_its_story(client, monkeypatch):
    from billing import api

    def broken(*args):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(api, "plan_list_item", broken)
    from billing.models import Plan

    Plan.objects.create(name="X", price_monthly=1, state="published", stripe_product_id="prod_x", file_limit=1)
    client.raise_request_exception = False
    response = client.get("/api/plans")
    assert_problem(response, 500, "internal_error")
    assert b"hunter2" not in response.content


def test_wrong_method_of_a_page(client):
    response = client.get("/theme")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert b"<h1" in response.content


@pytest.mark.parametrize("path", ["/nothing", "/nothing/"])
def test_a_page_for_people(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Request-Id"].startswith("req_")


def test_a_form_of_another_site_gets_a_page(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    response = client.post("/account/cancel")
    assert response.status_code == 403
    assert response.headers["Content-Type"].startswith("text/html")
