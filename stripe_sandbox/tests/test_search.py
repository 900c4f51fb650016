"""Searching, in Stripe's query language."""

from __future__ import annotations

import pytest


@pytest.fixture
def people(client):
    for name, plan in (("Ada Lovelace", "pro"), ("Grace Hopper", "free"), ("Adam Smith", None)):
        metadata = {"plan": plan} if plan else {}
        email = name.split()[0].lower() + "@example.com"
        client.v1.customers.create({"name": name, "email": email, "metadata": metadata})


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('email:"ada@example.com"', ["Ada Lovelace"]),
        ("email:'ADA@example.com'", ["Ada Lovelace"]),
        ('name~"ada"', ["Adam Smith", "Ada Lovelace"]),
        ('name~"ada" AND metadata["plan"]:"pro"', ["Ada Lovelace"]),
        ('name~"ada" metadata["plan"]:"pro"', ["Ada Lovelace"]),
        ("metadata['plan']:'pro' OR metadata['plan']:'free'", ["Grace Hopper", "Ada Lovelace"]),
        ('-metadata["plan"]:null', ["Grace Hopper", "Ada Lovelace"]),
        ('-name~"ada"', ["Grace Hopper"]),
        ('email:"nobody@example.com"', []),
        ("created>0 and phone:null", ["Adam Smith", "Grace Hopper", "Ada Lovelace"]),
        ("created<1", []),
    ],
)
def test_customers(client, people, query, names):
    found = client.v1.customers.search({"query": query})
    assert found.object == "search_result"
    assert [customer.name for customer in found.data] == names


def test_pages(client, people):
    query = {"query": "created>0", "limit": 2}
    first = client.v1.customers.search(query)
    assert (len(first.data), first.has_more) == (2, True)
    second = client.v1.customers.search({**query, "page": first.next_page})
    assert (len(second.data), second.has_more, second.next_page) == (1, False, None)
    assert [c.name for c in client.v1.customers.search(query).auto_paging_iter()][-1] == "Ada Lovelace"


def test_the_other_resources(client, stripe, subscription, ada, pro):
    assert client.v1.subscriptions.search({"query": "status:'active'"}).data[0].id == subscription.id
    found = client.v1.invoices.search(
        {"query": f"subscription:'{subscription.id}' AND total>=2900", "expand": ["data.customer"]}
    )
    assert found.data[0].customer.email == "ada@example.com"
    assert client.v1.prices.search({"query": f"active:'true' AND product:'{pro.product}'"}).data[0].id == pro.id
    assert client.v1.products.search({"query": "name~'pro'"}).data[0].id == pro.product
    assert client.v1.products.search({"query": "shippable:'true'"}).data == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ada",
        "email:",
        'email:"ada',
        'email:"ada" AND',
        'email:"a" AND email:"b" OR email:"c"',
        'nickname:"x"',
        "metadata:'x'",
        "email>'x'",
        "name~'ad'",
        "created:'soon'",
        "created~'123'",
        " ".join(["created>0"] * 11),
        "(email:'x')",
    ],
)
def test_what_is_no_query(http, query):
    answer = http.get("/v1/customers/search", params={"query": query})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "query"


def test_an_unknown_page(http):
    for page in ("x", "é", "Y3VzX25vYm9keQ=="):
        answer = http.get("/v1/customers/search", params={"query": "created>0", "page": page})
        assert answer.json()["error"]["param"] == "page"
