"""Error bodies: types, codes, texts and status codes that SDKs and dj-stripe look at."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


def test_an_unknown_id_in_the_path_is_404(client):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.customers.retrieve("cus_nobody")
    assert error.value.http_status == 404
    assert error.value.code == "resource_missing"
    assert error.value.user_message == "No such customer: 'cus_nobody'"


def test_an_unknown_id_in_a_parameter_is_400_and_names_the_parameter(client, pro):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.subscriptions.create({"customer": "cus_nobody", "items": [{"price": pro.id}]})
    assert (error.value.http_status, error.value.code, error.value.param) == (
        400,
        "resource_missing",
        "customer",
    )
    assert error.value.user_message == "No such customer: 'cus_nobody'"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/products/x", "No such product: 'x'"),
        ("/v1/prices/x", "No such price: 'x'"),
        ("/v1/payment_methods/x", "No such PaymentMethod: 'x'"),
        ("/v1/payment_intents/x", "No such payment_intent: 'x'"),
        ("/v1/charges/x", "No such charge: 'x'"),
        ("/v1/checkout/sessions/x", "No such checkout.session: 'x'"),
        ("/v1/subscriptions/x", "No such subscription: 'x'"),
        ("/v1/subscription_items/x", "No such subscription_item: 'x'"),
        ("/v1/invoices/x", "No such invoice: 'x'"),
        ("/v1/events/x", "No such event: 'x'"),
        ("/v1/accounts/x", "No such account: 'x'"),
        ("/v1/refunds/x", "No such refund: 'x'"),
        ("/v1/setup_intents/x", "No such setupintent: 'x'"),
        ("/v1/invoice_payments/x", "No such invoice_payment: 'x'"),
        ("/v1/balance_transactions/x", "No such balance transaction: 'x'"),
        ("/v1/webhook_endpoints/x", "No such webhook endpoint: 'x'"),
        ("/v1/customers/x/sources", "No such customer: 'x'"),
    ],
)
def test_every_resource_says_what_it_does_not_have(http, path, message):
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == message


def test_an_id_of_another_type_is_missing_too(http, ada):
    assert http.get(f"/v1/products/{ada.id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("DELETE", "/v1/customers"), ("PUT", "/v1/customers"), ("GET", "/")],
)
def test_an_unknown_url_answers_as_stripe_does(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"Unrecognized request URL ({method}: {path}).")


@pytest.mark.parametrize("path", ["/v1/tax_rates/txr_1", "/v1/plans", "/v2/billing/x"])
def test_what_stripe_has_and_the_sandbox_has_not_says_so(http, path):
    answer = http.get(path)
    assert answer.status_code == 404
    assert "not emulated by the local Stripe" in answer.json()["error"]["message"]


def test_a_missing_parameter(http):
    error = http.post("/v1/products").json()["error"]
    assert (error["code"], error["param"]) == ("parameter_missing", "name")
    assert error["message"] == "Missing required param: name."
    assert error["doc_url"].endswith("/parameter-missing")


def test_an_unknown_parameter(http):
    error = http.post("/v1/customers", data={"nickname": "x"}).json()["error"]
    assert (error["code"], error["param"]) == ("parameter_unknown", "nickname")
    assert error["message"] == "Received unknown parameter: nickname"


def test_an_unknown_nested_parameter(http, ada):
    data = {"invoice_settings[x]": "1"}
    error = http.post(f"/v1/customers/{ada.id}", data=data).json()["error"]
    assert error["message"] == "Received unknown parameter: invoice_settings[x]"


@pytest.mark.parametrize("value", ["abc", "1.5", "9" * 5000, "9" * 30, ""])
def test_what_is_no_integer(http, value):
    answer = http.get("/v1/customers", params={"limit": value})
    assert answer.status_code == 400


def test_a_parameter_that_would_change_the_result_is_not_swallowed(http, ada, pro, caplog):
    data = {"customer": ada.id, "items[0][price]": pro.id, "application_fee_percent": "7"}
    answer = http.post("/v1/subscriptions", data=data)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "application_fee_percent"
    assert "not emulated by the local Stripe" in error["message"]
    assert "application_fee_percent" in caplog.text


def test_a_value_that_is_not_emulated_is_not_swallowed(http, ada, pro):
    data = {"customer": ada.id, "items[0][price]": pro.id, "collection_method": "send_invoice"}
    error = http.post("/v1/subscriptions", data=data).json()["error"]
    assert "collection_method=send_invoice" in error["message"]


def test_a_declined_card_is_a_card_error(client, card_of_ada):
    with pytest.raises(stripe_sdk.CardError) as error:
        card_of_ada("pm_card_chargeDeclined")
    assert error.value.http_status == 402
    assert (error.value.code, error.value.error.decline_code) == ("card_declined", "generic_decline")


def test_a_defect_of_the_sandbox_is_an_api_error(stripe, http, monkeypatch, caplog):
    def broken(*args):
        raise RuntimeError("boom")

    monkeypatch.setattr(stripe.sandbox, "render", broken)
    answer = http.get("/v1/account")
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "api_error"
    assert "boom" not in answer.text
    assert "boom" in caplog.text
