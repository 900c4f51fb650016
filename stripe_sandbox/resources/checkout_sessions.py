"""https://docs.stripe.com/api/checkout/sessions (hosted page, mode=subscription)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import ids
from ..errors import exclusive, invalid, missing
from ..lifecycle import checkout_sessions as session_life
from ..lifecycle import customers
from ..lifecycle import subscriptions as subscription_life
from ..lists import PAGING, Page, embedded, filters, page, slice_of
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_SHORTEST_SECONDS, _LONGEST_SECONDS = 30 * 60, 24 * 3600


@operation(
    "post",
    "/v1/checkout/sessions",
    "cancel_url client_reference_id customer customer_email customer_update.name customer_update.address "
    "expires_at line_items.price line_items.quantity line_items.metadata metadata mode=subscription "
    "payment_method_collection payment_method_types=card subscription_data.description "
    "subscription_data.metadata subscription_data.billing_mode.type=flexible success_url "
    "ui_mode=hosted_page allow_promotion_codes=false automatic_tax.enabled=false "
    "billing_address_collection=auto locale=en locale=auto currency submit_type=auto submit_type=subscribe "
    "tax_id_collection.enabled=false phone_number_collection.enabled=false adaptive_pricing.enabled=false "
    "origin_context=web",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "mode" not in params:
        raise missing("mode")
    if not params.get("line_items"):
        raise missing("line_items")
    lines = [
        subscription_life.checked_line(
            sandbox,
            item["price"] if "price" in item else _missing_price(index),
            item.get("quantity"),
            merged(item, at=f"line_items[{index}][metadata]"),
            f"line_items[{index}]",
        )
        for index, item in enumerate(params["line_items"])
    ]
    for index, item in enumerate(params["line_items"]):
        if "quantity" not in item:
            # https://docs.stripe.com/api/checkout/sessions/create: required for licensed prices
            raise invalid(
                f"Quantity is required. Add `quantity` to `line_items[{index}]`",
                f"line_items[{index}]",
            )
        if item["quantity"] < 1:
            raise invalid(
                "This value must be greater than or equal to 1.",
                f"line_items[{index}][quantity]",
                "parameter_invalid_integer",
            )
    subscription_life.check_lines(lines)
    currency = lines[0].price["currency"]
    subscription_life.check_asked_currency(lines, params.get("currency"))
    if "success_url" not in params:
        raise missing("success_url")
    _check_url(params["success_url"], "success_url")
    _check_url(params.get("cancel_url"), "cancel_url")
    now = sandbox.clock.now()
    expires_at = params.get("expires_at", now + session_life.EXPIRES_AFTER_SECONDS)
    if not now + _SHORTEST_SECONDS - 60 <= expires_at <= now + _LONGEST_SECONDS + 60:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from Checkout "
            "Session creation.",
            "expires_at",
        )
    customer = _customer(sandbox, params)
    if customer:
        subscription_life.check_currency(customer, currency)
    total = subscription_life.total_of(lines)
    session_id = ids.new("checkout.session")
    details = None
    if customer:
        details = {
            **customers.no_details(),
            "address": customer["address"],
            "email": customer["email"],
            "name": customer["name"],
            "phone": customer["phone"],
            "tax_exempt": customer["tax_exempt"],
        }
    elif params.get("customer_email"):
        details = {**customers.no_details(), "email": params["customer_email"]}
    session = sandbox.new(
        "checkout.session",
        {
            "adaptive_pricing": {"enabled": False},
            "after_expiration": None,
            "allow_promotion_codes": params.get("allow_promotion_codes"),
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
            "billing_address_collection": params.get("billing_address_collection"),
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "client_secret": None,
            "collected_information": None,
            "consent": None,
            "consent_collection": None,
            "currency": currency,
            "currency_conversion": None,
            "custom_fields": [],
            "custom_text": {
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            "customer": customer["id"] if customer else None,
            "customer_account": None,
            "customer_creation": None if customer else "always",
            "customer_details": details,
            "customer_email": params.get("customer_email"),
            "discounts": [],
            "expires_at": expires_at,
            "integration_identifier": None,
            "invoice": None,
            "invoice_creation": None,
            "locale": params.get("locale"),
            "managed_payments": None,
            "metadata": merged(params),
            "mode": "subscription",
            "origin_context": params.get("origin_context"),
            "payment_intent": None,
            "payment_link": None,
            "payment_method_collection": params.get("payment_method_collection", "always"),
            "payment_method_configuration_details": None,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "permissions": None,
            "phone_number_collection": {"enabled": False},
            "recovered_from": None,
            "saved_payment_method_options": {
                "allow_redisplay_filters": ["always"],
                "payment_method_remove": "disabled",
                "payment_method_save": None,
            },
            "setup_intent": None,
            "shipping_address_collection": None,
            "shipping_cost": None,
            "shipping_options": [],
            "status": "open",
            "submit_type": params.get("submit_type"),
            "subscription": None,
            "success_url": params["success_url"],
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": f"{sandbox.settings.public_url}/c/pay/{session_id}",
            "wallet_options": None,
            "_customer_update": params.get("customer_update", {}),
            "_line_items": [
                session_life.new_line_item(line.price["id"], line.quantity, line.metadata) for line in lines
            ],
            "_subscription_data": {
                "description": params.get("subscription_data", {}).get("description"),
                "metadata": merged(params.get("subscription_data", {}), at="subscription_data[metadata]"),
            },
        },
        session_id,
    )
    sandbox.due_work.add(expires_at, "checkout.session.expires", session_id)
    return session


def _missing_price(index: int) -> str:
    raise missing(f"line_items[{index}][price]")


def _check_url(url: str | None, param: str) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        absolute = False
    if not absolute or len(url) > 5000 or any(ord(c) < 33 for c in url):
        raise invalid("Not a valid URL", param, "url_invalid")


def _customer(sandbox: Sandbox, params: dict[str, Any]) -> Document | None:
    if "customer" not in params:
        if "customer_update" in params:
            raise invalid("`customer_update` can only be used with `customer`.", "customer_update")
        return None
    if "customer_email" in params:
        raise exclusive("customer", "customer_email")
    return sandbox.get("customer", params["customer"], "customer")


@operation("get", "/v1/checkout/sessions/{session}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], session: str) -> Document:
    return sandbox.get("checkout.session", session, "session", in_path=True)


@operation("post", "/v1/checkout/sessions/{session}", "metadata")
def update(sandbox: Sandbox, params: dict[str, Any], session: str) -> Document:
    document = sandbox.get("checkout.session", session, "session", in_path=True)
    return sandbox.change(document, changes={"metadata": merged(params, document["metadata"])})


@operation("post", "/v1/checkout/sessions/{session}/expire")
def expire(sandbox: Sandbox, params: dict[str, Any], session: str) -> Document:
    document = sandbox.get("checkout.session", session, "session", in_path=True)
    if document["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of {document['status']}.",
            "session",
        )
    return session_life.expire(sandbox, document)


@operation(
    "get",
    "/v1/checkout/sessions",
    PAGING + " created customer payment_intent status subscription customer_details",
)
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer", "payment_intent", "status", "subscription")
    if "email" in params.get("customer_details", {}):
        equal["customer_details.email"] = params["customer_details"]["email"]
    return page(sandbox, "checkout.session", params, "/v1/checkout/sessions", equal)


@operation("get", "/v1/checkout/sessions/{session}/line_items", PAGING)
def list_line_items(sandbox: Sandbox, params: dict[str, Any], session: str) -> Page:
    document = sandbox.get("checkout.session", session, "session", in_path=True)
    items = session_life.line_items(sandbox, document)
    return slice_of(items, params, f"/v1/checkout/sessions/{session}/line_items", "item")


def line_items_of(sandbox: Sandbox, shown: dict[str, Any]) -> dict[str, Any]:
    document = sandbox.get("checkout.session", shown["id"])
    return embedded(
        session_life.line_items(sandbox, document), f"/v1/checkout/sessions/{shown['id']}/line_items"
    )


def breakdown_of(sandbox: Sandbox, total_details: dict[str, Any]) -> dict[str, Any]:
    """Discounts and taxes are not emulated, so there is nothing to break down."""
    return {"discounts": [], "taxes": []}


def nothing_of(sandbox: Sandbox, item: dict[str, Any]) -> list[Any]:
    """The discounts or taxes of a line item, by the same token."""
    return []
