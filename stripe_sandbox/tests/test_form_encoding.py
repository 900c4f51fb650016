"""What a body may look like."""

from __future__ import annotations

import pytest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_indexed_and_plain_arrays(http, pro):
    both = http.get(f"/v1/prices?lookup_keys[0]=x&lookup_keys[1]=y&product={pro.product}")
    plain = http.get("/v1/prices?lookup_keys[]=x&lookup_keys[]=y")
    assert both.json()["data"] == plain.json()["data"] == []


def test_an_empty_string_clears(client, ada):
    customer = client.v1.customers.update(ada.id, {"name": "", "metadata": {"a": "1", "b": "2"}})
    assert customer.name is None
    customer = client.v1.customers.update(ada.id, {"metadata": {"a": ""}})
    assert customer.metadata.to_dict() == {"b": "2"}
    assert client.v1.customers.update(ada.id, {"metadata": ""}).metadata.to_dict() == {}


def test_booleans_are_words(http):
    product = http.post("/v1/products", data={"name": "x", "active": "false"}).json()
    assert product["active"] is False
    assert http.post("/v1/products", data={"name": "x", "active": "0"}).status_code == 400


def test_text_keeps_every_character(client):
    name = "Zoë & Söhne = 100% \U0001f600 + ?"
    assert client.v1.customers.create({"name": name}).name == name


def test_json_is_refused_on_v1(http):
    answer = http.post("/v1/customers", json={"name": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"k" * 41: "v"}, "up to 40 characters"),
        ({"k": "v" * 501}, "up to 500 characters"),
        ({f"k{n}": "v" for n in range(51)}, "up to 50 keys"),
    ],
)
def test_metadata_has_limits(http, metadata, says):
    answer = http.post("/v1/customers", data={f"metadata[{k}]": v for k, v in metadata.items()})
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
