"""A change to the free plan that waits: nothing is announced but the tokens that are used until then."""

import re

import pytest
from django.utils import timezone

from billing.serializers import user_plan_out
from billing.subscriptions import purchase_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def leaving(alice, plans, buy):
    """Alice has Pro, whose tokens cost money, and goes to Explorer at the period's end."""
    buy("pro")
    return purchase_plan(alice, plans["explorer"].pk, 1)


def words(page):
    main = re.search(r"<main.*</main>", page.content.decode(), re.DOTALL)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


def test_no_charge_of_nothing_is_told(leaving):
    assert user_plan_out(leaving, timezone.now())["next_charge"] is None


@pytest.mark.parametrize("path", ["/account", "/account/billing"])
def test_the_pages_tell_of_the_tokens(leaving, alice, client, path):
    client.force_login(alice)
    assert "Next charge Only the AI tokens that you use until then" in words(client.get(path))


def test_so_does_the_page_before_the_button(alice, plans, buy, client):
    buy("pro")
    client.force_login(alice)
    page = words(client.get("/account/change", {"plan": plans["explorer"].pk, "months": 1}))
    assert "Next bill Only the AI tokens that you use until then: Explorer is free." in page


def test_a_plan_without_a_token_price_says_none(alice, plans, buy, client):
    plans["pro"].ai_token_price_per_million = None
    plans["pro"].save()
    buy("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    client.force_login(alice)
    assert "Next charge None" in words(client.get("/account"))
