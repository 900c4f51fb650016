"""Every endpoint takes an access token or the browser's session; GET /api/user/plan stands for all."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from datilio import urls as project_urls


class WhoAmI(APIView):
    def get(self, request):
        return Response({"id": request.user.pk})

    post = get


urlpatterns = [path("api/me", WhoAmI.as_view(), name="me"), *project_urls.urlpatterns]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


def bearer(user):
    return {"HTTP_AUTHORIZATION": f"Bearer {AccessToken.for_user(user)}"}


def test_an_access_token(alice, client):
    assert client.get("/api/me", **bearer(alice)).json() == {"id": alice.pk}


def test_the_schemes_case_does_not_matter(alice, client):
    header = bearer(alice)["HTTP_AUTHORIZATION"].replace("Bearer", "bEARER")
    assert client.get("/api/me", HTTP_AUTHORIZATION=header).status_code == 200


def test_an_access_token_needs_no_csrf_token(alice):
    assert Client(enforce_csrf_checks=True).post("/api/me", **bearer(alice)).status_code == 200


def test_a_session(alice, client):
    client.force_login(alice)
    assert client.get("/api/me").json() == {"id": alice.pk}


def test_a_session_needs_a_csrf_token_to_write(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get("/api/me").status_code == 200
    response = client.post("/api/me", {}, content_type="application/json")
    assert response.status_code == 403
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "csrf_failed"
    client.cookies["csrftoken"] = "c" * 32
    response = client.post("/api/me", {}, content_type="application/json", HTTP_X_CSRFTOKEN="c" * 32)
    assert response.status_code == 200


def test_the_token_counts_when_there_is_a_session_too(alice, bob, client):
    client.force_login(alice)
    assert client.get("/api/me", **bearer(bob)).json() == {"id": bob.pk}


def test_a_bad_token_is_not_made_good_by_a_session(alice, client):
    client.force_login(alice)
    assert client.get("/api/me", HTTP_AUTHORIZATION="Bearer nonsense").status_code == 401


def test_nobody_is_told_how_to_come_in(client):
    response = client.get("/api/me")
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


def refused(response):
    assert response.status_code == 401, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "token_not_valid"
    assert response["WWW-Authenticate"].startswith("Bearer")
    return True


def test_an_expired_token(alice, client):
    token = AccessToken.for_user(alice)
    token.set_exp(from_time=datetime.now(UTC) - timedelta(hours=1))
    assert refused(client.get("/api/me", HTTP_AUTHORIZATION=f"Bearer {token}"))


def test_a_token_of_a_server_whose_clock_is_a_little_ahead(alice, client):
    token = AccessToken.for_user(alice)
    token.set_iat(at_time=datetime.now(UTC) + timedelta(seconds=3))
    assert client.get("/api/me", HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200


def test_a_token_of_a_deleted_user(alice, client):
    header = bearer(alice)
    alice.delete()
    assert refused(client.get("/api/me", **header))


def test_a_token_of_a_deactivated_user(alice, client):
    header = bearer(alice)
    User.objects.update(is_active=False)
    assert refused(client.get("/api/me", **header))


def test_a_token_signed_with_another_key(alice, client, settings):
    import jwt

    payload = AccessToken.for_user(alice).payload | {"iss": "datilio"}
    forged = jwt.encode(payload, "k" * 50, algorithm="HS256")
    assert refused(client.get("/api/me", HTTP_AUTHORIZATION=f"Bearer {forged}"))
    unsigned = jwt.encode(payload, None, algorithm="none")
    assert refused(client.get("/api/me", HTTP_AUTHORIZATION=f"Bearer {unsigned}"))


@pytest.mark.parametrize("user_id", ["abc", "9" * 40, "-1", "", None, [1], {"a": 1}, True])
def test_a_token_for_something_that_is_no_user(db, client, user_id):
    token = AccessToken()
    token["user_id"] = user_id
    assert refused(client.get("/api/me", HTTP_AUTHORIZATION=f"Bearer {token}"))


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a.b.c",
        "Bearer \u00e4\u00f6\u00fc",
        "Bearer \u20ac",
        "Bearer \x00",
        "Bearer " + "a" * 100_000,
        "Bearer " + "." * 3000,
        # A header segment of deeply nested JSON.
        "Bearer " + "W1tb" * 900 + ".e30.e30",
        "bearer null",
    ],
)
def test_malformed_tokens(db, client, header):
    assert refused(client.get("/api/me", HTTP_AUTHORIZATION=header))


@pytest.mark.parametrize("header", ["", " ", "Basic YTpi", "Api-Key x", "\u00e4", "\x00", "x" * 100_000])
def test_other_schemes_are_nobody(db, client, header):
    response = client.get("/api/me", HTTP_AUTHORIZATION=header)
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
