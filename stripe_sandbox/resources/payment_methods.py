"""https://docs.stripe.com/api/payment_methods (cards)"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .. import cards
from ..errors import invalid, missing
from ..lifecycle import payment_methods as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


@operation(
    "post",
    "/v1/payment_methods",
    "allow_redisplay billing_details metadata type=card card.number card.exp_month card.exp_year card.cvc card.token",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "type" not in params:
        raise missing("type")
    given = params.get("card") or {}
    details: dict[str, Any] = {
        "billing_details": _billing_details(params.get("billing_details")),
        "metadata": merged(params),
        "allow_redisplay": params.get("allow_redisplay", "unspecified"),
    }
    if "token" in given:
        if given["token"] not in cards.MAGIC_IDS or not given["token"].startswith("tok_"):
            raise invalid(f"No such token: '{given['token'][:80]}'", "card[token]", "resource_missing")
        return life.from_name(sandbox, given["token"], **details)
    for key in ("number", "exp_month", "exp_year"):
        if key not in given:
            raise missing(f"card[{key}]" if given else "card")
    return life.new_card(sandbox, given, **details)


def _billing_details(given: dict[str, Any] | None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    details = dict(before or life.BILLING_DETAILS)
    for key, value in (given or {}).items():
        if key == "address":
            value = {part: value.get(part) or None for part in _ADDRESS} if value else None
        details[key] = value or None
    return details


@operation("get", "/v1/payment_methods/{payment_method}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], payment_method: str) -> Document:
    return life.resolve(sandbox, payment_method, "payment_method", in_path=True)


@operation(
    "post",
    "/v1/payment_methods/{payment_method}",
    "allow_redisplay billing_details metadata card.exp_month card.exp_year",
)
def update(sandbox: Sandbox, params: dict[str, Any], payment_method: str) -> Document:
    method = sandbox.get("payment_method", payment_method, "payment_method", in_path=True)
    if method["customer"] is None:
        raise invalid(
            "You must save this PaymentMethod to a customer before you can update it.",
            code="payment_method_unactivated",
        )
    changes: dict[str, Any] = {}
    if "allow_redisplay" in params:
        changes["allow_redisplay"] = params["allow_redisplay"]
    if "billing_details" in params:
        changes["billing_details"] = _billing_details(params["billing_details"], method["billing_details"])
    if "metadata" in params:
        changes["metadata"] = merged(params, method["metadata"])
    if params.get("card"):
        card = {**method["card"], **params["card"]}
        today = datetime.fromtimestamp(sandbox.clock.now(), UTC)
        cards.check_details(method["_number"], card["exp_month"], card["exp_year"], None, (today.year, today.month))
        card["exp_year"] += 2000 if card["exp_year"] < 100 else 0
        changes["card"] = card
    return sandbox.change(method, "payment_method.updated", changes)


@operation("post", "/v1/payment_methods/{payment_method}/attach", "customer")
def attach_to_customer(sandbox: Sandbox, params: dict[str, Any], payment_method: str) -> Document:
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    method = life.resolve(sandbox, payment_method, "payment_method", in_path=True)
    return life.attach(sandbox, method, customer)


@operation("post", "/v1/payment_methods/{payment_method}/detach")
def detach(sandbox: Sandbox, params: dict[str, Any], payment_method: str) -> Document:
    method = sandbox.get("payment_method", payment_method, "payment_method", in_path=True)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    life.detach(sandbox, method)
    return method


@operation("get", "/v1/payment_methods", PAGING + " customer type allow_redisplay")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    if "customer" in params:
        sandbox.get("customer", params["customer"], "customer")
        return page_of(sandbox, params, "/v1/payment_methods", params["customer"])
    # Without a customer Stripe lists none of the attached cards.
    return page_of(sandbox, params, "/v1/payment_methods", "")


def page_of(sandbox: Sandbox, params: dict[str, Any], url: str, customer: str) -> Page:
    equal = {"customer": customer} | filters(params, "type", "allow_redisplay")
    return page(sandbox, "payment_method", params, url, equal)
