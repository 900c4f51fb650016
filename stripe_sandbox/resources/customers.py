"""https://docs.stripe.com/api/customers"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid, no_such
from ..lifecycle import customer_balance, payment_methods, test_clocks
from ..lifecycle import customers as life
from ..lifecycle import subscriptions as subscription_life
from ..lists import PAGING, Page, embedded, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document
from .payment_methods import page_of

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_HONOURED = (
    "address business_name description email individual_name invoice_prefix metadata name "
    "next_invoice_sequence phone preferred_locales shipping tax_exempt "
    "invoice_settings.default_payment_method invoice_settings.footer invoice_settings.custom_fields "
    "balance"
)
_PLAIN = ("description", "email", "name", "phone", "tax_exempt", "invoice_prefix", "next_invoice_sequence")


@operation("post", "/v1/customers", _HONOURED + " payment_method test_clock")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    clock = None
    if "test_clock" in params:
        clock = sandbox.get("test_helpers.test_clock", params["test_clock"], "test_clock")
        test_clocks.check_room(sandbox, clock)
    customer = life.new(sandbox, test_clock=clock["id"] if clock else None)
    sandbox.change(customer, changes=_changes(sandbox, params, customer, with_default=False))
    if "payment_method" in params:
        # As at Stripe: attached, but not made the default by that alone.
        method = payment_methods.resolve(sandbox, params["payment_method"], "payment_method")
        payment_methods.attach(sandbox, method, customer, emit=False)
    # Once more: only an attached card can be the default.
    sandbox.change(customer, changes=_changes(sandbox, params, customer))
    if params.get("balance"):
        customer_balance.change(sandbox, customer, params["balance"], "initial", emit=False)
    sandbox.events.emit("customer.created", customer)
    if "payment_method" in params:
        sandbox.events.emit("payment_method.attached", method)
    return customer


def _changes(sandbox: Sandbox, params: dict[str, Any], customer: Document, with_default: bool = True) -> dict[str, Any]:
    _check(params)
    changes: dict[str, Any] = {key: params[key] or None for key in _PLAIN if key in params}
    if changes.get("tax_exempt", "") is None:
        changes["tax_exempt"] = "none"
    for key in ("business_name", "individual_name"):
        if key in params:
            changes[key] = params[key]
    if "preferred_locales" in params:
        changes["preferred_locales"] = params["preferred_locales"]
    if "address" in params:
        changes["address"] = life.address(params["address"])
    if "shipping" in params:
        shipping = params["shipping"] or None
        changes["shipping"] = shipping and {
            "address": life.address(shipping["address"]),
            "name": shipping["name"],
            "phone": shipping.get("phone"),
        }
    settings = params.get("invoice_settings", {})
    given: dict[str, Any] = {key: settings[key] or None for key in ("footer", "custom_fields") if key in settings}
    if with_default and "default_payment_method" in settings:
        param, method_id = (
            "invoice_settings[default_payment_method]",
            settings["default_payment_method"] or None,
        )
        if method_id:
            method_id = payment_methods.attached_to(sandbox, method_id, customer, param)["id"]
        given["default_payment_method"] = method_id
    if given:
        changes["invoice_settings"] = {**customer["invoice_settings"], **given}
    if "metadata" in params:
        changes["metadata"] = merged(params, customer["metadata"])
    return changes


def _check(params: dict[str, Any]) -> None:
    life.check_details(params)
    prefix = params.get("invoice_prefix")
    if prefix and not (3 <= len(prefix) <= 12 and prefix.isascii() and prefix.isalnum() and prefix == prefix.upper()):
        raise invalid(
            "Invoice prefix must be 3-12 characters long and only contain uppercase letters and numbers.",
            "invoice_prefix",
        )
    if params.get("next_invoice_sequence", 1) < 1:
        raise invalid("This value must be greater than or equal to 1.", "next_invoice_sequence")


@operation("get", "/v1/customers/{customer}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Document:
    """A deleted customer stays retrievable as {id, object, deleted}."""
    document = sandbox.store.get(customer)
    if document is None or document["object"] != "customer":
        raise no_such("customer", customer, in_path=True)
    return document


@operation("post", "/v1/customers/{customer}", _HONOURED)
def update(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Document:
    document = sandbox.get("customer", customer, in_path=True)
    sandbox.change(document, "customer.updated", _changes(sandbox, params, document))
    difference = params.get("balance", document["balance"]) - document["balance"]
    if difference:
        customer_balance.change(sandbox, document, difference, "adjustment")
    return document


@operation("delete", "/v1/customers/{customer}")
def delete(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Document:
    """Also cancels the customer's subscriptions at once."""
    document = sandbox.get("customer", customer, in_path=True)
    for subscription in sandbox.store.find("subscription", {"customer": customer}):
        if subscription["status"] not in subscription_life.ENDED:
            subscription_life.cancel(sandbox, subscription)
    for method in sandbox.store.find("payment_method", {"customer": customer}):
        payment_methods.let_go(sandbox, method)
    sandbox.events.emit("customer.deleted", sandbox.get("customer", customer))
    return sandbox.store.save({"id": document["id"], "object": "customer", "deleted": True})


@operation("get", "/v1/customers", PAGING + " created email")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "email")
    return page(sandbox, "customer", params, "/v1/customers", equal)


@operation("get", "/v1/customers/{customer}/sources", PAGING + " object")
def list_sources(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Page:
    """Sources are the old way to keep cards: nobody has any here."""
    sandbox.get("customer", customer, in_path=True)
    return Page([], False, f"/v1/customers/{customer}/sources")


@operation("get", "/v1/customers/{customer}/payment_methods", PAGING + " type allow_redisplay")
def list_payment_methods(sandbox: Sandbox, params: dict[str, Any], customer: str) -> Page:
    sandbox.get("customer", customer, in_path=True)
    return page_of(sandbox, params, f"/v1/customers/{customer}/payment_methods", customer)


@operation("get", "/v1/customers/{customer}/payment_methods/{payment_method}")
def retrieve_payment_method(sandbox: Sandbox, params: dict[str, Any], customer: str, payment_method: str) -> Document:
    sandbox.get("customer", customer, in_path=True)
    method = sandbox.get("payment_method", payment_method, "payment_method", in_path=True)
    if method["customer"] != customer:
        raise no_such("payment_method", payment_method, "payment_method", in_path=True)
    return method


def sources_of(sandbox: Sandbox, customer: Document) -> dict[str, Any]:
    return embedded([], f"/v1/customers/{customer['id']}/sources")


def tax_ids_of(sandbox: Sandbox, customer: Document) -> dict[str, Any]:
    return embedded([], f"/v1/customers/{customer['id']}/tax_ids")


def subscriptions_of(sandbox: Sandbox, customer: Document) -> dict[str, Any]:
    """The first ten that have not ended, newest first."""
    found = [
        sandbox.render(subscription)
        for subscription in sandbox.store.find("subscription", {"customer": customer["id"]}, oldest_first=False)
        if subscription["status"] not in subscription_life.ENDED
    ]
    return embedded(found[:10], f"/v1/customers/{customer['id']}/subscriptions", len(found) > 10)
