"""GET /_sandbox/not-emulated: what was asked for and is not there."""

from __future__ import annotations


def listed(http):
    return [(e["method"], e["path"], e["param"], e["count"]) for e in http.get("/_sandbox/not-emulated").json()["data"]]


def test_unknown_urls_and_parameters_are_listed_and_counted(http, ada, pro):
    http.get("/v1/plans")
    http.get("/v1/plans")
    http.get("/v1/nonsense")
    http.post("/v2/billing/meter_events")
    http.post("/v1/customers", data={"nickname": "x"})
    http.post(f"/v1/customers/{ada.id}", data={"nickname": "x"})
    http.post(f"/v1/products/{pro.product}", data={"default_price": "price_x"})  # wrong, but emulated
    assert sorted(listed(http)) == [
        ("GET", "/v1/nonsense", None, 1),
        ("GET", "/v1/plans", None, 2),
        ("POST", "/v1/customers", "nickname", 1),
        ("POST", "/v1/customers/{customer}", "nickname", 1),
        ("POST", "/v2/billing/meter_events", None, 1),
    ]


def test_what_is_refused_inside_an_operation_is_listed_too(http, pro):
    data = {"product": pro.product, "currency": "usd", "unit_amount_decimal": "0.5"}
    assert http.post("/v1/prices", data=data).status_code == 400
    assert listed(http) == [("POST", "/v1/prices", "unit_amount_decimal", 1)]


def test_a_reset_empties_it(stripe, http):
    http.get("/v1/plans")
    stripe.reset()
    assert listed(http) == []
