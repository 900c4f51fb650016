"""https://docs.stripe.com/api/promotion_codes"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

from .. import ids
from ..due_work import due
from ..errors import invalid, missing
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/promotion_codes/{promotion_code}"


@operation(
    "post",
    "/v1/promotion_codes",
    "active code customer expires_at max_redemptions metadata promotion.type=coupon promotion.coupon "
    "restrictions.first_time_transaction restrictions.minimum_amount restrictions.minimum_amount_currency",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "coupon" not in params["promotion"]:
        raise missing("promotion[coupon]")
    coupon = sandbox.get("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    code = params.get("code") or _random_code()
    if not re.fullmatch(r"[A-Za-z0-9]{1,500}", code):
        raise invalid("Promotion codes can only contain letters and digits (a-z, A-Z, 0-9).", "code")
    customer = params.get("customer")
    if customer:
        sandbox.get("customer", customer, "customer")
    active = params.get("active", True)
    if active:
        _check_free(sandbox, code, customer)
        if not coupon["valid"]:
            raise invalid("This coupon is no longer valid.", "promotion[coupon]")
    restrictions = params.get("restrictions", {})
    least, currency = restrictions.get("minimum_amount"), restrictions.get("minimum_amount_currency")
    if (least is None) != (currency is None):
        raise invalid(
            "minimum_amount and minimum_amount_currency must be given together.",
            "restrictions[minimum_amount]",
        )
    if least is not None and least < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            "restrictions[minimum_amount]",
            "parameter_invalid_integer",
        )
    if params.get("expires_at", sandbox.clock.now() + 1) <= sandbox.clock.now():
        raise invalid("expires_at must be in the future.", "expires_at")
    if params.get("max_redemptions", 1) < 1:
        raise invalid("This value must be greater than or equal to 1.", "max_redemptions", "parameter_invalid_integer")
    document = sandbox.new(
        "promotion_code",
        {
            "active": active,
            "code": code,
            "customer": customer,
            "customer_account": None,
            "expires_at": params.get("expires_at"),
            "max_redemptions": params.get("max_redemptions"),
            "metadata": merged(params),
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "restrictions": {
                "first_time_transaction": restrictions.get("first_time_transaction", False),
                "minimum_amount": least,
                "minimum_amount_currency": currency.lower() if currency else None,
            },
            "times_redeemed": 0,
            "_code": code.upper(),
        },
    )
    if document["expires_at"] is not None:
        sandbox.due_work.add(document["expires_at"], "promotion_code.expires_at", document["id"])
    sandbox.events.emit("promotion_code.created", document)
    return document


def _random_code() -> str:
    return "".join(c for c in ids.token(60).upper() if c in string.ascii_uppercase + string.digits)[:8]


def _check_free(sandbox: Sandbox, code: str, customer: str | None) -> None:
    """Two active codes may have one text only when they are for different customers."""
    for other in sandbox.store.find("promotion_code", {"_code": code.upper(), "active": True}):
        if other["customer"] in (None, customer) or customer is None:
            raise invalid("An active promotion code with `code: " + code + "` already exists.", "code")


@due("promotion_code.expires_at")
def _reach_expiry(sandbox: Sandbox, code_id: str) -> None:
    code = sandbox.store.get(code_id)
    if code and code["active"]:
        sandbox.change(code, "promotion_code.updated", {"active": False})


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], promotion_code: str) -> Document:
    return sandbox.get("promotion_code", promotion_code, "promotion_code", in_path=True)


@operation("post", _PATH, "active metadata")
def update(sandbox: Sandbox, params: dict[str, Any], promotion_code: str) -> Document:
    document = sandbox.get("promotion_code", promotion_code, "promotion_code", in_path=True)
    changes: dict[str, Any] = {"metadata": merged(params, document["metadata"])}
    if params.get("active") and not document["active"]:
        now = sandbox.clock.now()
        coupon = sandbox.store.get(document["promotion"]["coupon"]) or {"valid": False}
        limit = document["max_redemptions"]
        if (
            not coupon["valid"]
            or (document["expires_at"] is not None and document["expires_at"] <= now)
            or (limit is not None and document["times_redeemed"] >= limit)
        ):
            raise invalid("This promotion code cannot be activated again.", "active")
        _check_free(sandbox, document["code"], document["customer"])
    if "active" in params:
        changes["active"] = params["active"]
    return sandbox.change(document, "promotion_code.updated", changes)


@operation("get", "/v1/promotion_codes", PAGING + " active code coupon created customer")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "active")
    if "code" in params:
        equal["_code"] = params["code"].upper()
    if "coupon" in params:
        equal["promotion.coupon"] = params["coupon"]
    return page(sandbox, "promotion_code", params, "/v1/promotion_codes", equal)
