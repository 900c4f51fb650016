"""What is a customer's own is kept by no cache; what is everybody's may be."""

import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["api:user_plan", "api:user_usage"])
def test_the_api_s_private_answers_are_kept_by_nobody(client, alice, name):
    client.force_login(alice)
    assert client.get(reverse(name)).headers["Cache-Control"] == "private, no-store"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["home", "pricing", "accounts:settings"])
def test_pages_are_kept_by_no_proxy(client, alice, name):
    client.force_login(alice)
    assert "private" in client.get(reverse(name)).headers["Cache-Control"]


def test_the_catalogue_says_itself_how_it_may_be_kept(client, plans):
    assert client.get("/api/plans").headers["Cache-Control"].startswith("public")
