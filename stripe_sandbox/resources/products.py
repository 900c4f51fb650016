"""https://docs.stripe.com/api/products"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_HONOURED = (
    "active description images marketing_features metadata name package_dimensions shippable "
    "statement_descriptor tax_code unit_label url"
)
_PLAIN = ("description", "statement_descriptor", "tax_code", "unit_label", "url")


@operation("post", "/v1/products", _HONOURED + " id type=service")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    product = new(sandbox, params)
    sandbox.events.emit("product.created", product)
    return product


def new(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    """Insert a product; the caller tells product.created. Raises 400 for an id that is taken or malformed."""
    product_id = params.get("id")
    if product_id is not None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", product_id):
            raise invalid("Invalid product ID. Only letters, numbers, underscores and hyphens are allowed.", "id")
        if sandbox.store.get(product_id):
            raise invalid("Product already exists.", "id", "resource_already_exists")
    if not params["name"].strip():
        raise invalid(
            "You passed an empty string for 'name'. Product names cannot be empty.",
            "name",
            "parameter_invalid_empty",
        )
    product = sandbox.new(
        "product",
        {
            "active": True,
            "default_price": None,
            "description": None,
            "images": [],
            "marketing_features": [],
            "metadata": {},
            "name": params["name"],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": sandbox.clock.now(),
            "url": None,
        },
        product_id,
    )
    return sandbox.change(product, changes=_changes(params, product))


def _changes(params: dict[str, Any], product: Document) -> dict[str, Any]:
    changes: dict[str, Any] = {key: params[key] or None for key in _PLAIN if key in params}
    for key in ("active", "shippable"):
        if key in params:
            changes[key] = params[key]
    for key in ("images", "marketing_features"):
        if key in params:
            changes[key] = params[key] or []
    if "package_dimensions" in params:
        changes["package_dimensions"] = params["package_dimensions"] or None
    if "name" in params:
        changes["name"] = params["name"]
    if "metadata" in params:
        changes["metadata"] = merged(params, product["metadata"])
    return changes


@operation("get", "/v1/products/{id}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], product: str) -> Document:
    return sandbox.get("product", product, in_path=True)


@operation("post", "/v1/products/{id}", _HONOURED + " default_price")
def update(sandbox: Sandbox, params: dict[str, Any], product: str) -> Document:
    document = sandbox.get("product", product, in_path=True)
    changes = _changes(params, document)
    if not changes.get("name", "x").strip():
        raise invalid(
            "You passed an empty string for 'name'. Product names cannot be empty.",
            "name",
            "parameter_invalid_empty",
        )
    if "default_price" in params:
        changes["default_price"] = params["default_price"] or None
        if changes["default_price"]:
            price = sandbox.get("price", params["default_price"], "default_price")
            if price["product"] != product:
                raise invalid("The price specified does not belong to this product.", "default_price")
    if changes:
        changes["updated"] = sandbox.clock.now()
    return sandbox.change(document, "product.updated", changes)


@operation("delete", "/v1/products/{id}")
def delete(sandbox: Sandbox, params: dict[str, Any], product: str) -> Document:
    document = sandbox.get("product", product, in_path=True)
    if sandbox.store.find("price", {"product": product}, limit=1):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    sandbox.events.emit("product.deleted", document)
    return sandbox.store.save({"id": product, "object": "product", "deleted": True})


@operation("get", "/v1/products", PAGING + " active created ids shippable type url")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "active", "shippable", "type", "url")
    if "ids" in params:
        equal["id"] = params["ids"]
    return page(sandbox, "product", params, "/v1/products", equal)


@operation("get", "/v1/products/{product}/features", PAGING)
def list_features(sandbox: Sandbox, params: dict[str, Any], product: str) -> Page:
    """Entitlement features cannot be attached here, so there are none."""
    sandbox.get("product", product, "product", in_path=True)
    return Page([], False, f"/v1/products/{product}/features")
