"""https://docs.stripe.com/api/subscription_items: changes of one item are changes of its subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import missing
from ..lifecycle import subscription_changes
from ..lifecycle import subscriptions as life
from ..lists import PAGING, Page, page
from ..operations import operation
from ..store import Document
from .prices import plan_of

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_HONOURED = "metadata payment_behavior price proration_behavior proration_date quantity "
_OF_ITEM = ("metadata", "price", "quantity")


def _change(sandbox: Sandbox, subscription: Document, item: dict[str, Any], params: dict[str, Any]) -> None:
    life.check_not_scheduled(subscription, {"items": [item]})
    wish = {**params, "items": [item]}
    subscription_changes.commit(
        sandbox,
        subscription,
        subscription_changes.plan(sandbox, subscription, wish),
        payment_behavior=params.get("payment_behavior", "allow_incomplete"),
    )


@operation("post", "/v1/subscription_items", _HONOURED + "subscription")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    subscription = sandbox.get("subscription", params["subscription"], "subscription")
    if "price" not in params:
        raise missing("price")
    before = {item["id"] for item in life.items_of(sandbox, subscription)}
    _change(sandbox, subscription, {key: params[key] for key in _OF_ITEM if key in params}, params)
    return next(item for item in life.items_of(sandbox, subscription) if item["id"] not in before)


@operation("get", "/v1/subscription_items/{item}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    return sandbox.get("subscription_item", item, "item", in_path=True)


@operation("post", "/v1/subscription_items/{item}", _HONOURED + "off_session")
def update(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    document = sandbox.get("subscription_item", item, "item", in_path=True)
    subscription = sandbox.get("subscription", document["subscription"])
    wish = {"id": item, **{key: params[key] for key in _OF_ITEM if key in params}}
    _change(sandbox, subscription, wish, params)
    return sandbox.get("subscription_item", item, "item")


@operation("delete", "/v1/subscription_items/{item}", "proration_behavior proration_date payment_behavior")
def delete(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    document = sandbox.get("subscription_item", item, "item", in_path=True)
    subscription = sandbox.get("subscription", document["subscription"])
    _change(sandbox, subscription, {"id": item, "deleted": True}, params)
    return {"id": item, "object": "subscription_item", "deleted": True}


@operation("get", "/v1/subscription_items", PAGING + " subscription")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    sandbox.get("subscription", params["subscription"], "subscription")
    equal = {"subscription": params["subscription"]}
    return page(sandbox, "subscription_item", params, "/v1/subscription_items", equal)


def compose(sandbox: Sandbox, document: Document, shown: dict[str, Any]) -> None:
    """A subscription item always carries its whole price, and the same as a plan."""
    price = sandbox.get("price", document["price"])
    shown["price"] = sandbox.render(price)
    shown["plan"] = plan_of(price)
