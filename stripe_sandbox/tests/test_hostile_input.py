"""Whatever is sent, the answer is a 4xx in Stripe's shape, never a 500."""

from __future__ import annotations

import socket

import pytest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

BODIES = {
    "NUL in a value": b"name=a%00b",
    "NUL in a key": b"na%00me=a",
    "NUL unencoded": b"name=a\x00b",
    "invalid UTF-8": b"name=%ff%fe",
    "raw invalid UTF-8": b"name=\xff\xfe",
    "lone surrogate": b"name=%ed%a0%80",
    "deep brackets": b"metadata" + b"[a]" * 10_000 + b"=1",
    "unbalanced bracket": b"metadata[a=1",
    "empty brackets": b"[]=1&[][a]=2",
    "empty key": b"=1",
    "key of brackets": b"[metadata]=1",
    "hash where text belongs": b"name[a]=1",
    "text where a hash belongs": b"address=street",
    "text and hash at once": b"address=1&address[city]=x",
    "list where a hash belongs": b"address[0]=x",
    "odd digits as an index": "preferred_locales[\u00b2]=en".encode(),
    "huge integer": b"next_invoice_sequence=" + b"9" * 6000,
    "large integer": b"next_invoice_sequence=" + b"9" * 40,
    "negative": b"next_invoice_sequence=-1",
    "too many parameters": b"&".join(b"metadata[k%d]=v" % n for n in range(6000)),
    "too long": b"name=" + b"x" * 5001,
    "semicolons": b"a;b;c",
    "stray percent": b"name=%&x=%zz",
    "not an address": b"email=nobody",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/products", "/v1/checkout/sessions"])
def test_a_hostile_form_is_refused(stripe, http, path, body):
    answer = http.post(path, content=body, headers=FORM)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not stripe.objects("customer")
    assert not stripe.objects("product")


# A request line has its limit.
@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if len(body) < 60_000])
def test_a_hostile_query_is_refused(http, name):
    body = BODIES[name]
    answer = http.get("/v1/prices?" + body.decode("latin-1").replace("\x00", "%00"))
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "query",
    [
        "recurring[interval]=constructor",
        "limit=1e999",
        "limit=NaN",
        "created[gte]=x",
        "created[foo]=1",
        "product[]=x",
        "expand=x",
        "expand[0][a]=x",
        "expand[]=",
        "expand[]=.",
        "expand[]=data..product",
        "expand[]=data",
        "expand[]=" + "a" * 5000,
        "starting_after[]=x",
    ],
)
def test_hostile_list_parameters(http, query):
    assert http.get(f"/v1/prices?{query}").status_code in (200, 400)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "1e400", "0.001", "12,5", "1e2", "-0"])
def test_hostile_decimals(http, pro, amount):
    data = {"product": pro.product, "currency": "usd", "unit_amount_decimal": amount}
    answer = http.post("/v1/prices", data=data)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert 0 <= answer.json()["unit_amount"] <= 100


def test_a_huge_body_is_413(http):
    answer = http.post("/v1/customers", content=b"name=" + b"x" * 1_100_000, headers=FORM)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/%00",
        "/v1/customers/%ff",
        "/v1/customers/..%2f..%2fetc",
        "/v1/customers/?x",
        "/v1//customers",
        "/v1/customers/" + "x" * 5000,
        "/v1/",
        "/v1",
        "/v1/customers/%F0%9F%98%80",
        "/v1/customers/a%3Fb%23c",
        "/c/pay/%00",
        "/i/%ff",
        "/c/pay/x'--",
    ],
)
def test_hostile_paths(http, path):
    assert 400 <= http.get(path).status_code < 500


@pytest.mark.parametrize("host", ["[", "x y", "[::1", "a" * 300, ""])
def test_a_hostile_host_header(stripe, http, host):
    for path in ("/v1/customers", "/_sandbox/health", "/c/pay/x"):
        answer = http.get(path, headers={"Host": host})
        assert answer.status_code < 500


def test_the_server_survives_bytes_that_are_not_http(stripe, http):
    address = stripe.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=5) as connection:
        connection.sendall(b"\x00\xff\x00 nonsense\r\n\r\n")
        connection.recv(1000)
    assert http.get("/v1/customers").status_code == 200


def test_a_client_that_leaves_early_does_no_harm(stripe, http):
    address = stripe.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=5) as connection:
        connection.sendall(b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nname=")
    assert http.get("/v1/customers").status_code == 200
