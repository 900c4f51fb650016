"""https://docs.stripe.com/api/events (made in stripe_sandbox/events.py)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, no_such
from ..lists import PAGING, Page, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_KEPT_SECONDS = 30 * 86400  # Stripe lists events of the last 30 days


@operation("get", "/v1/events/{id}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], event: str) -> Document:
    document = sandbox.get("event", event, in_path=True)
    if document["created"] < sandbox.clock.now() - _KEPT_SECONDS:
        raise no_such("event", event, in_path=True)
    return document


@operation("get", "/v1/events", PAGING + " created delivery_success type types")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    """`type` may end in .* for a whole family."""
    if "type" in params and "types" in params:
        raise exclusive("type", "types")
    where: list[tuple[str, Any]] = [("created >= ?", sandbox.clock.now() - _KEPT_SECONDS)]
    equal: dict[str, Any] = {}
    if "types" in params:
        equal["type"] = params["types"]
    elif params.get("type", "").endswith("*"):
        prefix = params["type"][:-1]
        where.append((f"substr(json_extract(body, '$.type'), 1, {len(prefix)}) = ?", prefix))
    elif "type" in params:
        equal["type"] = params["type"]
    if "delivery_success" in params:
        undelivered = "EXISTS (SELECT 1 FROM deliveries WHERE event = objects.id AND state != ?)"
        where.append((f"NOT {undelivered}" if params["delivery_success"] else undelivered, "delivered"))
    return page(sandbox, "event", params, "/v1/events", equal, where)


def compose(sandbox: Sandbox, document: Document, shown: dict[str, Any]) -> None:
    shown["pending_webhooks"] = sandbox.deliveries.pending_of(document["id"])
