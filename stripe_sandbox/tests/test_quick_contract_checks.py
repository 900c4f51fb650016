"""The quick checker says yes only where jsonschema finds nothing: to good objects, and to none that was broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from stripe_sandbox import contract
from stripe_sandbox.contract.quick import QuickChecks

# One of each JSON type: what any value of an object is replaced by.
OTHERS: list[Any] = [None, "nonsense", 7, 1.5, True, [], {}, [{"id": 5}], {"object": "customer"}]


@pytest.fixture
def everything(stripe, client, checkout, subscription) -> list[dict[str, Any]]:
    """One of each kind of object that a first purchase leaves behind."""
    client.v1.refunds.create({"charge": stripe.objects("charge")[0]["id"]})
    client.v1.coupons.create({"percent_off": 10, "duration": "once"})
    newest = {shown["object"]: shown for kind in KINDS for shown in stripe.objects(kind)}
    assert set(newest) == set(KINDS)
    return list(newest.values())


KINDS = [
    "account", "balance_transaction", "charge", "checkout.session", "coupon", "customer", "event", "invoice",
    "invoice_payment", "payment_intent", "payment_method", "price", "product", "refund", "subscription",
    "subscription_item",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def broken_at(whole: Any, path: tuple[Any, ...]) -> Iterator[Any]:
    """Copies of the object with the value at the path gone, and with others in its place."""
    for other in (KeyError, *OTHERS):
        copied = copy.deepcopy(whole)
        holder = copied
        for key in path[:-1]:
            holder = holder[key]
        if other is KeyError:
            del holder[path[-1]]
        else:
            holder[path[-1]] = other
        yield copied


@pytest.mark.slow
def test_good_objects_pass_and_no_broken_one_does(everything):
    loaded = contract.load()
    refused, passed = 0, 0
    for whole in everything:
        quick = loaded._quick.at("#/schemas/" + whole["object"])
        slow = loaded._cached_validator("#/schemas/" + whole["object"])
        assert quick(whole), whole["object"]
        for path in places({key: value for key, value in whole.items() if key != "data"}):
            if len(path) > 3:
                continue
            for broken in broken_at(whole, path):
                if quick(broken):
                    passed += 1
                    assert slow.is_valid(broken), (whole["object"], path)
                else:
                    refused += 1
    assert refused > 5000
    assert passed > 1000


def test_what_it_refuses_jsonschema_words(stripe, ada):
    shown = stripe.get(ada.id)
    shown["livemode"] = "yes"
    assert contract.load().response_errors(shown) == ["customer.livemode: 'yes' is not of type 'boolean'"]


def test_a_keyword_that_it_does_not_know_is_no_silent_yes():
    with pytest.raises(ValueError, match="pattern"):
        QuickChecks({"schemas": {"x": {"type": "string", "pattern": "^x"}}}).at("#/schemas/x")


def test_a_schema_that_contains_itself():
    tree = {"type": "object", "properties": {"child": {"anyOf": [{"$ref": "#/schemas/tree"}, {"type": "null"}]}}}
    check = QuickChecks({"schemas": {"tree": tree}}).at("#/schemas/tree")
    assert check({"child": {"child": {"child": None}}})
    assert not check({"child": {"child": {"child": 5}}})


@pytest.mark.parametrize(
    ("previous", "problem"),
    [
        ({"status": "past_due", "metadata": {"plan": None}}, None),
        ({"items": {"object": "list", "data": [], "has_more": False, "url": "/v1/x"}}, None),
        ({"cancellation_details": {"reason": None}}, None),
        ({"default_payment_method": None, "cancel_at": 5}, None),
        ({"trial_settings": None, "invoice_settings": {"custom_fields": None}}, None),  # what was not there before
        ({"sttus": "active"}, "subscription: there is no sttus to have changed"),
        ({"status": "splendid"}, "subscription.status: it can never have been 'splendid'"),
        ({"cancellation_details": {"raison": None}}, "subscription.cancellation_details: there is no raison"),
        ({"cancel_at_period_end": None}, "subscription.cancel_at_period_end: it can never have been None"),
    ],
)
def test_previous_attributes_are_properties_with_values_they_can_have_had(previous, problem):
    found = contract.load().previous_errors("subscription", previous)
    assert found == [] if problem is None else found[0].startswith(problem)
