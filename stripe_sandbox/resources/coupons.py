"""https://docs.stripe.com/api/coupons"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .. import ids
from ..due_work import due
from ..errors import exclusive, invalid, missing, not_emulated
from ..lists import PAGING, Page, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/coupons/{coupon}"


@operation(
    "post",
    "/v1/coupons",
    "amount_off applies_to.products currency duration duration_in_months id max_redemptions metadata name "
    "percent_off redeem_by",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    _check(sandbox, params)
    coupon_id = params.get("id") or ids.new("coupon")
    before = sandbox.store.get(coupon_id)
    if before and not (before["object"] == "coupon" and before.get("deleted")):
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    values: dict[str, Any] = {
        "amount_off": params.get("amount_off"),
        "currency": params["currency"].lower() if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged(params),
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    products = params.get("applies_to", {}).get("products")
    if products:
        for index, product in enumerate(products):
            sandbox.get("product", product, f"applies_to[products][{index}]")
        # Shown only when expanded, as at Stripe.
        values["_applies_to"] = {"products": products}
    if before:  # its id was freed by deleting it
        coupon = {**before, "created": sandbox.clock.now(), "_applies_to": None, **values}
        coupon.pop("deleted")
        sandbox.store.save(coupon)
    else:
        coupon = sandbox.new("coupon", values, coupon_id)
    if coupon["redeem_by"] is not None:
        sandbox.due_work.add(coupon["redeem_by"], "coupon.redeem_by", coupon_id)
    sandbox.events.emit("coupon.created", coupon)
    return coupon


def _check(sandbox: Sandbox, params: dict[str, Any]) -> None:
    if "amount_off" in params and "percent_off" in params:
        raise exclusive("amount_off", "percent_off")
    if "amount_off" not in params and "percent_off" not in params:
        raise missing("percent_off")
    if "percent_off" in params and not 0 < params["percent_off"] <= 100:
        raise invalid("Invalid percent_off: must be greater than 0 and at most 100.", "percent_off")
    if "amount_off" in params:
        if params["amount_off"] < 1:
            raise invalid("This value must be greater than or equal to 1.", "amount_off", "parameter_invalid_integer")
        if "currency" not in params:
            raise invalid("You must pass currency when passing amount_off.", "currency")
        if not re.fullmatch(r"[A-Za-z]{3}", params["currency"]):
            raise invalid(f"Invalid currency: {params['currency'][:20]}", "currency")
    duration = params.get("duration", "once")
    if duration == "repeating" and params.get("duration_in_months") is None:
        raise missing("duration_in_months")
    if duration != "repeating" and "duration_in_months" in params:
        raise invalid("You can only pass duration_in_months when duration is repeating.", "duration_in_months")
    if params.get("duration_in_months", 1) < 1 or params.get("duration_in_months", 1) > 1200:
        raise invalid(
            "This value must be greater than or equal to 1.",
            "duration_in_months",
            "parameter_invalid_integer",
        )
    if params.get("max_redemptions", 1) < 1:
        raise invalid("This value must be greater than or equal to 1.", "max_redemptions", "parameter_invalid_integer")
    if params.get("redeem_by", sandbox.clock.now() + 1) <= sandbox.clock.now():
        raise invalid("redeem_by must be in the future.", "redeem_by")
    if len(params.get("name", "")) > 40:
        raise invalid("Invalid string: name must be at most 40 characters", "name")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,500}", params.get("id") or "x"):
        raise invalid("Invalid coupon id: only letters, digits, hyphens and underscores.", "id")


@due("coupon.redeem_by")
def _reach_redeem_by(sandbox: Sandbox, coupon_id: str) -> None:
    coupon = sandbox.store.get(coupon_id)
    ends = None if coupon is None or coupon.get("deleted") else coupon["redeem_by"]
    if coupon and ends is not None and ends <= sandbox.clock.now():
        sandbox.change(coupon, changes={"valid": False})


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], coupon: str) -> Document:
    return sandbox.get("coupon", coupon, "coupon", in_path=True)


@operation("post", _PATH, "metadata name")
def update(sandbox: Sandbox, params: dict[str, Any], coupon: str) -> Document:
    document = sandbox.get("coupon", coupon, "coupon", in_path=True)
    if "currency_options" in params:
        raise not_emulated("Coupons in several currencies", "currency_options")
    if len(params.get("name", "")) > 40:
        raise invalid("Invalid string: name must be at most 40 characters", "name")
    changes: dict[str, Any] = {"metadata": merged(params, document["metadata"])}
    if "name" in params:
        changes["name"] = params["name"] or None
    return sandbox.change(document, "coupon.updated", changes)


@operation("delete", _PATH)
def delete(sandbox: Sandbox, params: dict[str, Any], coupon: str) -> Document:
    """No one can redeem it any more; discounts that were given with it go on."""
    document = sandbox.get("coupon", coupon, "coupon", in_path=True)
    sandbox.change(document, changes={"valid": False})
    sandbox.events.emit("coupon.deleted", document)
    for code in sandbox.store.find("promotion_code", {"promotion.coupon": coupon, "active": True}):
        sandbox.change(code, "promotion_code.updated", {"active": False})
    # The document stays whole, for discounts that show their coupon.
    sandbox.change(document, changes={"deleted": True})
    return {"id": coupon, "object": "coupon", "deleted": True}


@operation("get", "/v1/coupons", PAGING + " created")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    return page(sandbox, "coupon", params, "/v1/coupons")


def applies_to_of(sandbox: Sandbox, coupon: Document) -> dict[str, Any] | None:
    return (sandbox.store.get(coupon["id"]) or {}).get("_applies_to")
