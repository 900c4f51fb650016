"""https://docs.stripe.com/api/subscription_items (changes of plan come with proration)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, page
from ..operations import operation
from ..store import Document
from .prices import plan_of

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/subscription_items/{item}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], item: str) -> Document:
    return sandbox.get("subscription_item", item, "item", in_path=True)


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
