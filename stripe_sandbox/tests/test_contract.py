"""Everything that the sandbox sends is valid against contract.json, by the verbatim check_contract.py."""

from __future__ import annotations

import copy
import warnings

import pytest

from stripe_sandbox import contract
from stripe_sandbox.contract import check_contract
from stripe_sandbox.operations import OPERATIONS
from stripe_sandbox.testing import CardDeclined


@pytest.fixture(scope="module")
def original() -> check_contract.Contract:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its file to the garbage collector
        return check_contract.Contract(contract.CONTRACT_JSON)


def test_every_kind_of_object_is_valid(stripe, client, checkout, subscription, free, original):
    """One of everything, checked by the original; the rest of the suite is checked by the faster one."""
    with pytest.raises(CardDeclined):
        stripe.pay(checkout().id, card="4000000000000002")
    stripe.pay(checkout(line_items=[{"price": free.id, "quantity": 1}]).id)
    charge = next(charge for charge in stripe.objects("charge") if charge["paid"])
    client.v1.refunds.create({"charge": charge["id"]})
    client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/", "enabled_events": ["charge.updated"]})
    kinds = {row["object"] for row in stripe.sandbox.store.execute("SELECT DISTINCT object FROM objects")}
    assert kinds >= {
        "account", "balance_transaction", "charge", "checkout.session", "customer", "event", "invoice",
        "invoice_payment", "line_item", "payment_intent", "payment_method", "price", "product", "refund",
        "setup_intent", "subscription", "subscription_item", "webhook_endpoint",
    }  # fmt: skip
    for kind in kinds:
        assert original.response_errors(stripe.objects(kind)[-1]) == []


def test_the_fast_checker_agrees_with_the_original(stripe, subscription, original):
    good = stripe.get(subscription.id)
    broken = copy.deepcopy(good)
    del broken["customer"]
    broken["status"] = "excellent"
    broken["items"]["data"][0]["quantity"] = "one"
    fast = contract.load()
    assert fast.response_errors(good) == original.response_errors(good) == []
    assert len(fast.response_errors(broken)) == len(original.response_errors(broken)) == 3


def test_every_operation_stands_in_the_contract():
    doc = contract.load().doc["paths"]
    for method, path in OPERATIONS:
        assert method in doc[path], f"{method} {path}"


def test_every_emulated_parameter_stands_in_the_contract():
    """A misspelt word in an @operation would let nothing through and never be noticed."""
    loaded = contract.load()
    for (method, path), operation in OPERATIONS.items():
        for parameter in operation.emulated:
            if parameter == "expand":
                continue
            schema = loaded.operation_at(method, path)["params"]
            for name in parameter.split("."):
                while schema.get("type") == "array":
                    schema = schema["items"]
                assert name in schema.get("properties", {}), f"{method} {path}: {parameter}"
                schema = schema["properties"][name]


def test_literal_segments_win_over_ids():
    route = contract.load().route
    assert route("GET", "/v1/customers/search") == ("/v1/customers/search", [])
    assert route("POST", "/v1/customers/search") == ("/v1/customers/{customer}", ["search"])
    assert route("GET", "/v1/customers/a/b/c") is None
