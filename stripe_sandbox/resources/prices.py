"""https://docs.stripe.com/api/prices"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing, not_emulated
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document
from . import products

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# https://docs.stripe.com/api/prices/create: at most three years between two bills.
_LONGEST = {"day": 1095, "week": 156, "month": 36, "year": 3}
_LARGEST_AMOUNT = 99_999_999_99


@operation(
    "post",
    "/v1/prices",
    "active billing_scheme=per_unit currency lookup_key metadata nickname product product_data "
    "recurring.interval recurring.interval_count recurring.usage_type=licensed tax_behavior "
    "transfer_lookup_key unit_amount unit_amount_decimal",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    amount = _amount(params)
    product_is_new = "product_data" in params
    if product_is_new == ("product" in params):
        raise (exclusive("product", "product_data") if product_is_new else missing("product"))
    recurring = _recurring(params.get("recurring"))
    if product_is_new:
        product = products.new(sandbox, params["product_data"])
        sandbox.events.emit("product.created", product)
    else:
        product = sandbox.get("product", params["product"], "product")
    _free_lookup_key(sandbox, params)
    currency = params["currency"].lower()
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise invalid(f"Invalid currency: {params['currency'][:20]}.", "currency")
    price = sandbox.new(
        "price",
        {
            "active": params.get("active", True),
            "billing_scheme": "per_unit",
            "currency": currency,
            "custom_unit_amount": None,
            "lookup_key": params.get("lookup_key"),
            "metadata": merged(params),
            "nickname": params.get("nickname"),
            "product": product["id"],
            "recurring": recurring,
            "tax_behavior": params.get("tax_behavior", "unspecified"),
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        },
    )
    sandbox.events.emit("price.created", price)
    return price


def _amount(params: dict[str, Any]) -> int:
    """In the currency's smallest unit. Fractions of it are not emulated."""
    if "unit_amount" in params and "unit_amount_decimal" in params:
        raise exclusive("unit_amount", "unit_amount_decimal")
    if "unit_amount_decimal" in params:
        try:
            amount = Decimal(params["unit_amount_decimal"])
            if not amount.is_finite():
                raise InvalidOperation
            whole = abs(amount) <= _LARGEST_AMOUNT and amount == int(amount)
        except InvalidOperation:
            raise invalid(
                f"Invalid decimal: {params['unit_amount_decimal'][:80]}", "unit_amount_decimal"
            ) from None
        if amount < 0:
            raise invalid("This value must be greater than or equal to 0.", "unit_amount_decimal")
        if not whole:
            raise not_emulated("A price in fractions of the smallest unit", "unit_amount_decimal")
        return int(amount)
    if "unit_amount" not in params:
        raise missing("unit_amount")
    if params["unit_amount"] < 0:
        raise invalid(
            "This value must be greater than or equal to 0.", "unit_amount", "parameter_invalid_integer"
        )
    if params["unit_amount"] > _LARGEST_AMOUNT:
        raise invalid(
            f"This value must be less than or equal to {_LARGEST_AMOUNT}.",
            "unit_amount",
            "parameter_invalid_integer",
        )
    return params["unit_amount"]


def _recurring(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    count = given.get("interval_count", 1)
    longest = _LONGEST[given["interval"]]
    if not 1 <= count <= longest:
        raise invalid(
            f"The maximum number of {given['interval']}s between two bills is {longest}, the minimum 1.",
            "recurring[interval_count]",
        )
    return {
        "interval": given["interval"],
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _free_lookup_key(sandbox: Sandbox, params: dict[str, Any], own_id: str | None = None) -> None:
    """A lookup key belongs to one price: take it over with transfer_lookup_key, else refuse."""
    key = params.get("lookup_key")
    if not key:
        return
    if len(key) > 200:
        raise invalid("Lookup keys can have up to 200 characters.", "lookup_key")
    for other in sandbox.store.find("price", {"lookup_key": key}):
        if other["id"] == own_id:
            continue
        if not params.get("transfer_lookup_key"):
            raise invalid(
                f"A price (`{other['id']}`) already uses that lookup key.",
                "lookup_key",
                "resource_already_exists",
            )
        sandbox.change(other, "price.updated", {"lookup_key": None})


@operation("get", "/v1/prices/{price}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], price: str) -> Document:
    return sandbox.get("price", price, "price", in_path=True)


@operation(
    "post", "/v1/prices/{price}", "active lookup_key metadata nickname tax_behavior transfer_lookup_key"
)
def update(sandbox: Sandbox, params: dict[str, Any], price: str) -> Document:
    """Amount, currency and interval never change: a new price is made instead."""
    document = sandbox.get("price", price, "price", in_path=True)
    changes: dict[str, Any] = {}
    if "active" in params:
        changes["active"] = params["active"]
    if "tax_behavior" in params:
        if document["tax_behavior"] not in ("unspecified", params["tax_behavior"]):
            raise invalid("You can only set tax_behavior while it is unspecified.", "tax_behavior")
        changes["tax_behavior"] = params["tax_behavior"]
    if "nickname" in params:
        changes["nickname"] = params["nickname"] or None
    if "lookup_key" in params:
        _free_lookup_key(sandbox, params, price)
        changes["lookup_key"] = params["lookup_key"] or None
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    return sandbox.change(document, "price.updated", changes)


@operation(
    "get",
    "/v1/prices",
    PAGING + " active created currency lookup_keys product recurring.interval recurring.usage_type type",
)
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "active", "currency", "product", "type")
    if "lookup_keys" in params:
        if len(params["lookup_keys"]) > 10:
            raise invalid("You can only filter by up to 10 lookup keys.", "lookup_keys")
        equal["lookup_key"] = params["lookup_keys"]
    for key, value in params.get("recurring", {}).items():
        equal[f"recurring.{key}"] = value
    return page(sandbox, "price", params, "/v1/prices", equal)


def plan_of(price: Document) -> dict[str, Any]:
    """The same recurring price in the shape of the older Plans API, which subscription items still carry."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": recurring["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }


def currency_options_of(sandbox: Sandbox, price: Document) -> dict[str, Any]:
    return {
        price["currency"]: {
            "custom_unit_amount": None,
            "tax_behavior": price["tax_behavior"],
            "unit_amount": price["unit_amount"],
            "unit_amount_decimal": price["unit_amount_decimal"],
        }
    }


def tiers_of(sandbox: Sandbox, price: Document) -> list[Any]:
    """Only tiered prices have tiers, and they are not emulated."""
    return []
