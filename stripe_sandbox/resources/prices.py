"""https://docs.stripe.com/api/prices"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing, no_such, not_emulated
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
    "active billing_scheme currency lookup_key metadata nickname product product_data "
    "recurring.interval recurring.interval_count recurring.meter recurring.usage_type tax_behavior "
    "tiers tiers_mode transfer_lookup_key transform_quantity unit_amount unit_amount_decimal",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    product_is_new = "product_data" in params
    if product_is_new == ("product" in params):
        raise (exclusive("product", "product_data") if product_is_new else missing("product"))
    recurring = _recurring(sandbox, params.get("recurring"))
    amounts = _amounts(params, recurring is not None and recurring["usage_type"] == "metered")
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
            "billing_scheme": params.get("billing_scheme", "per_unit"),
            "currency": currency,
            "custom_unit_amount": None,
            "lookup_key": params.get("lookup_key"),
            "metadata": merged(params),
            "nickname": params.get("nickname"),
            "product": product["id"],
            "recurring": recurring,
            "tax_behavior": params.get("tax_behavior", "unspecified"),
            "tiers_mode": params.get("tiers_mode"),
            "transform_quantity": params.get("transform_quantity"),
            "type": "recurring" if recurring else "one_time",
            **amounts,
        },
    )
    sandbox.events.emit("price.created", price)
    return price


def _amounts(params: dict[str, Any], metered: bool) -> dict[str, Any]:
    """unit_amount and its decimal, or the tiers. Tiers, packages and fractions: for metered prices only."""
    if params.get("billing_scheme") == "tiered":
        if not metered:
            raise not_emulated("Tiers on a price that is not metered", "billing_scheme")
        for name in ("unit_amount", "unit_amount_decimal", "transform_quantity"):
            if name in params:
                raise invalid(f"You cannot pass `{name}` when `billing_scheme` is `tiered`.", name)
        if "tiers_mode" not in params:
            raise missing("tiers_mode")
        return {"unit_amount": None, "unit_amount_decimal": None, "_tiers": _tiers(params.get("tiers"))}
    for name in ("tiers", "tiers_mode"):
        if name in params:
            raise invalid(f"`{name}` is only allowed when `billing_scheme` is `tiered`.", name)
    if not metered:
        if "transform_quantity" in params:
            raise not_emulated("transform_quantity on a price that is not metered", "transform_quantity")
        amount = _amount(params)
        return {"unit_amount": amount, "unit_amount_decimal": str(amount)}
    if params.get("transform_quantity", {"divide_by": 1})["divide_by"] < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            "transform_quantity[divide_by]",
            "parameter_invalid_integer",
        )
    if "unit_amount" not in params and "unit_amount_decimal" in params:
        return _either(params, "unit_amount", "")
    amount = _amount(params)
    return {"unit_amount": amount, "unit_amount_decimal": str(amount)}


def _tiers(given: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Checked: growing, the last one without an end. https://docs.stripe.com/api/prices/create#create_price-tiers"""
    if not given:
        raise missing("tiers")
    tiers: list[dict[str, Any]] = []
    for index, tier in enumerate(given):
        at, up_to, below = f"tiers[{index}]", tier["up_to"], tiers[-1]["up_to"] if tiers else 0
        if (up_to == "inf") != (index == len(given) - 1):
            raise invalid("The last tier, and only that, must have `up_to` set to `inf`.", f"{at}[up_to]")
        if up_to != "inf" and up_to <= below:
            raise invalid("`up_to` must grow from tier to tier.", f"{at}[up_to]")
        amounts = _either(tier, "unit_amount", at) | _either(tier, "flat_amount", at)
        if amounts["unit_amount_decimal"] is None and amounts["flat_amount_decimal"] is None:
            raise invalid("A tier needs a `unit_amount` or a `flat_amount`.", at)
        tiers.append({**amounts, "up_to": None if up_to == "inf" else up_to})
    return tiers


def _either(given: dict[str, Any], name: str, at: str) -> dict[str, Any]:
    """{name, name_decimal} of whichever was given; fractions of the smallest unit leave the first null."""

    def param(key: str) -> str:
        return f"{at}[{key}]" if at else key

    decimal = f"{name}_decimal"
    if name in given and decimal in given:
        raise exclusive(param(name), param(decimal))
    text = given[decimal] if decimal in given else given.get(name)
    if text is None:
        return {name: None, decimal: None}
    try:
        amount = Decimal(text)
        usable = amount.is_finite() and abs(amount) <= _LARGEST_AMOUNT
    except InvalidOperation:
        usable = False
    # https://docs.stripe.com/api/prices/create: at most 12 decimal places
    if not usable or -int(amount.as_tuple().exponent) > 12:
        raise invalid(f"Invalid decimal: {str(text)[:80]}", param(decimal if decimal in given else name))
    if amount < 0:
        raise invalid("This value must be greater than or equal to 0.", param(name))
    whole = amount == amount.to_integral_value()
    plain = f"{amount:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return {name: int(amount) if whole else None, decimal: plain or "0"}


def _amount(params: dict[str, Any]) -> int:
    """In the currency's smallest unit. Fractions of it are not emulated for licensed prices."""
    if "unit_amount" in params and "unit_amount_decimal" in params:
        raise exclusive("unit_amount", "unit_amount_decimal")
    if "unit_amount_decimal" in params:
        try:
            amount = Decimal(params["unit_amount_decimal"])
            if not amount.is_finite():
                raise InvalidOperation
            whole = abs(amount) <= _LARGEST_AMOUNT and amount == int(amount)
        except InvalidOperation:
            raise invalid(f"Invalid decimal: {params['unit_amount_decimal'][:80]}", "unit_amount_decimal") from None
        if amount < 0:
            raise invalid("This value must be greater than or equal to 0.", "unit_amount_decimal")
        if not whole:
            raise not_emulated("A price in fractions of the smallest unit", "unit_amount_decimal")
        return int(amount)
    if "unit_amount" not in params:
        raise missing("unit_amount")
    if params["unit_amount"] < 0:
        raise invalid("This value must be greater than or equal to 0.", "unit_amount", "parameter_invalid_integer")
    if params["unit_amount"] > _LARGEST_AMOUNT:
        raise invalid(
            f"This value must be less than or equal to {_LARGEST_AMOUNT}.",
            "unit_amount",
            "parameter_invalid_integer",
        )
    return params["unit_amount"]


def _recurring(sandbox: Sandbox, given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    count = given.get("interval_count", 1)
    longest = _LONGEST[given["interval"]]
    if not 1 <= count <= longest:
        raise invalid(
            f"The maximum number of {given['interval']}s between two bills is {longest}, the minimum 1.",
            "recurring[interval_count]",
        )
    meter, usage_type = given.get("meter"), given.get("usage_type", "licensed")
    if usage_type == "metered" and not meter:
        # Usage records are gone since 2025-03-31.basil.
        raise invalid(
            "Metered prices must be backed by meters: pass `recurring[meter]`.",
            "recurring[meter]",
            "parameter_missing",
        )
    if meter:
        if usage_type != "metered":
            raise invalid("`recurring[meter]` needs `recurring[usage_type]` to be `metered`.", "recurring[meter]")
        if sandbox.get("billing.meter", meter, "recurring[meter]")["status"] != "active":
            raise no_such("billing.meter", meter, "recurring[meter]")
    return {
        "interval": given["interval"],
        "interval_count": count,
        "meter": meter,
        "trial_period_days": None,
        "usage_type": usage_type,
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


@operation("post", "/v1/prices/{price}", "active lookup_key metadata nickname tax_behavior transfer_lookup_key")
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
    PAGING + " active created currency lookup_keys product recurring type",
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
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
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
    """Shown only if asked for; none for a price per unit."""
    return (sandbox.store.get(price["id"]) or {}).get("_tiers", [])
