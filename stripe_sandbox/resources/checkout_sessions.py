"""https://docs.stripe.com/api/checkout/sessions (hosted page)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import ids
from ..errors import exclusive, invalid, missing, not_emulated
from ..lifecycle import checkout_sessions as session_life
from ..lifecycle import customers, discounts, setup_intents
from ..lifecycle import subscriptions as subscription_life
from ..lists import PAGING, Page, embedded, filters, page, slice_of
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_SHORTEST_SECONDS, _LONGEST_SECONDS = 30 * 60, 24 * 3600
# What only makes sense in some modes.
_ONLY_IN = {
    "payment_intent_data": ("payment",),
    "setup_intent_data": ("setup",),
    "subscription_data": ("subscription",),
    "payment_method_collection": ("subscription",),
    "customer_creation": ("payment", "setup"),
    "discounts": ("payment", "subscription"),
    "allow_promotion_codes": ("payment", "subscription"),
    "line_items": ("payment", "subscription"),
}


@operation(
    "post",
    "/v1/checkout/sessions",
    "allow_promotion_codes cancel_url client_reference_id customer customer_creation customer_email "
    "customer_update.name customer_update.address discounts.coupon discounts.promotion_code "
    "expires_at line_items.price line_items.quantity line_items.metadata metadata mode "
    "payment_intent_data.capture_method payment_intent_data.description payment_intent_data.metadata "
    "payment_intent_data.receipt_email payment_intent_data.setup_future_usage "
    "payment_method_collection payment_method_types=card "
    "saved_payment_method_options.allow_redisplay_filters "
    "saved_payment_method_options.payment_method_save "
    "saved_payment_method_options.payment_method_remove=disabled "
    "setup_intent_data.description setup_intent_data.metadata subscription_data.description "
    "subscription_data.metadata subscription_data.billing_mode.type=flexible "
    "subscription_data.trial_period_days subscription_data.trial_end subscription_data.trial_settings "
    "success_url ui_mode=hosted_page automatic_tax.enabled=false "
    "billing_address_collection=auto locale=en locale=auto currency submit_type=auto submit_type=subscribe "
    "submit_type=pay invoice_creation.enabled=false "
    "tax_id_collection.enabled=false phone_number_collection.enabled=false adaptive_pricing.enabled=false "
    "origin_context=web",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "mode" not in params:
        raise missing("mode")
    mode = params["mode"]
    for name, modes in _ONLY_IN.items():
        if name in params and mode not in modes and params[name] not in (False, []):
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", name)
    lines = [] if mode == "setup" else _lines(sandbox, params, mode)
    if mode == "setup":
        if "currency" not in params and "payment_method_types" not in params:
            raise missing("currency")
        currency = params["currency"].lower() if "currency" in params else None
    else:
        currency = lines[0].price["currency"]
        subscription_life.check_asked_currency(lines, params.get("currency"))
    if "success_url" not in params:
        raise missing("success_url")
    check_url(params["success_url"], "success_url")
    check_url(params.get("cancel_url"), "cancel_url")
    now = sandbox.clock.now()
    expires_at = params.get("expires_at", now + session_life.EXPIRES_AFTER_SECONDS)
    if not now + _SHORTEST_SECONDS - 60 <= expires_at <= now + _LONGEST_SECONDS + 60:
        raise invalid(
            "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from Checkout "
            "Session creation.",
            "expires_at",
        )
    customer = _customer(sandbox, params)
    if customer and mode == "subscription" and currency:
        subscription_life.check_currency(customer, currency)
    session_id = ids.new("checkout.session")
    session = sandbox.new(
        "checkout.session",
        {
            "adaptive_pricing": {"enabled": False},
            "after_expiration": None,
            "allow_promotion_codes": params.get("allow_promotion_codes"),
            "amount_subtotal": None,
            "amount_total": None,
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
            "customer_creation": _customer_creation(params, customer, mode),
            "customer_details": _details(params, customer),
            "customer_email": params.get("customer_email"),
            "discounts": [],
            "expires_at": expires_at,
            "integration_identifier": None,
            "invoice": None,
            "invoice_creation": None,
            "locale": params.get("locale"),
            "managed_payments": None,
            "metadata": merged(params),
            "mode": mode,
            "origin_context": params.get("origin_context"),
            "payment_intent": None,
            "payment_link": None,
            "payment_method_collection": params.get("payment_method_collection", "always"),
            "payment_method_configuration_details": None,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
            "permissions": None,
            "phone_number_collection": {"enabled": False},
            "recovered_from": None,
            "saved_payment_method_options": {
                "allow_redisplay_filters": ["always"],
                "payment_method_remove": "disabled",
                "payment_method_save": None,
                **params.get("saved_payment_method_options", {}),
            },
            "setup_intent": None,
            "shipping_address_collection": None,
            "shipping_cost": None,
            "shipping_options": [],
            "status": "open",
            "submit_type": params.get("submit_type"),
            "subscription": None,
            "success_url": params["success_url"],
            "total_details": None if mode == "setup" else {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": f"{sandbox.settings.public_url}/c/pay/{session_id}",
            "wallet_options": None,
            "_customer_update": params.get("customer_update", {}),
            "_line_items": [
                session_life.new_line_item(line.price["id"], line.quantity, line.metadata) for line in lines
            ],
            "_payment_intent_data": _data(params, "payment_intent_data"),
            "_subscription_data": _subscription_data(sandbox, params),
        },
        session_id,
    )
    if mode == "setup":
        _prepare_setup(sandbox, session, params, customer)
    else:
        session_life.work_out(sandbox, session)
        _prepare_discount(sandbox, session, params, customer)
    sandbox.due_work.add(expires_at, "checkout.session.expires", session_id)
    return session


def _lines(sandbox: Sandbox, params: dict[str, Any], mode: str) -> list[subscription_life.Line]:
    if not params.get("line_items"):
        raise missing("line_items")
    lines = []
    for index, item in enumerate(params["line_items"]):
        at = f"line_items[{index}]"
        if "price" not in item:
            raise missing(f"{at}[price]")
        metadata = merged(item, at=f"{at}[metadata]")
        if mode == "subscription":
            line = subscription_life.checked_line(sandbox, item["price"], item.get("quantity"), metadata, at)
        else:
            line = _one_time_line(sandbox, item["price"], item.get("quantity"), metadata, at)
        lines.append(line)
    for index, (item, line) in enumerate(zip(params["line_items"], lines, strict=True)):
        if (line.price["recurring"] or {}).get("usage_type") == "metered":
            continue  # billed by what is used: there is no quantity
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
    if mode == "subscription":
        subscription_life.check_lines(lines)
    elif len({line.price["currency"] for line in lines}) > 1:
        raise invalid("All line items must have the same `currency`.", "line_items")
    return lines


def _one_time_line(
    sandbox: Sandbox, price_id: str, quantity: int | None, metadata: dict[str, str], param: str
) -> subscription_life.Line:
    price = sandbox.get("price", price_id, f"{param}[price]")
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", f"{param}[price]")
    if price["type"] != "one_time":
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices: "
            "`payment` mode takes one-time prices only.",
            f"{param}[price]",
        )
    return subscription_life.Line(price, 1 if quantity is None else quantity, metadata)


def _customer_creation(params: dict[str, Any], customer: Document | None, mode: str) -> str | None:
    if customer:
        if "customer_creation" in params:
            raise exclusive("customer", "customer_creation")
        return None
    return "always" if mode == "subscription" else params.get("customer_creation", "if_required")


def _details(params: dict[str, Any], customer: Document | None) -> dict[str, Any] | None:
    if customer:
        return {
            **customers.no_details(),
            "address": customer["address"],
            "email": customer["email"],
            "name": customer["name"],
            "phone": customer["phone"],
            "tax_exempt": customer["tax_exempt"],
        }
    if params.get("customer_email"):
        return {**customers.no_details(), "email": params["customer_email"]}
    return None


def _data(params: dict[str, Any], name: str) -> dict[str, Any]:
    given = params.get(name, {})
    return {**given, "metadata": merged(given, at=f"{name}[metadata]")}


def _subscription_data(sandbox: Sandbox, params: dict[str, Any]) -> dict[str, Any]:
    data = _data(params, "subscription_data")
    at = "subscription_data[trial_period_days]"
    if "trial_period_days" in data and "trial_end" in data:
        raise exclusive(at, "subscription_data[trial_end]")
    if not 1 <= data.get("trial_period_days", 1) <= 730:
        raise invalid("Trial period days must be between 1 and 730.", at, "parameter_invalid_integer")
    if data.get("trial_end", sandbox.clock.now() + 3 * 86400) < sandbox.clock.now() + 48 * 3600:
        raise invalid("The `trial_end` date has to be at least 2 days in the future.", "subscription_data[trial_end]")
    return data


def _prepare_setup(sandbox: Sandbox, session: Document, params: dict[str, Any], customer: Document | None) -> None:
    """mode=setup has its SetupIntent from the start."""
    data = _data(params, "setup_intent_data")
    intent = setup_intents.new(sandbox, customer["id"] if customer else None)
    changes = {"description": data.get("description"), "metadata": data["metadata"]}
    sandbox.change(intent, changes=changes)
    sandbox.change(session, changes={"setup_intent": intent["id"], "_setup_intent": intent["id"]})
    sandbox.events.emit("setup_intent.created", intent)


def _prepare_discount(sandbox: Sandbox, session: Document, params: dict[str, Any], customer: Document | None) -> None:
    given = params.get("discounts")
    if not given:
        return
    if params.get("allow_promotion_codes"):
        raise exclusive("allow_promotion_codes", "discounts")
    if len(given) > 1:
        raise not_emulated("More than one discount in a Checkout Session", "discounts[1]")
    named = [key for key in ("coupon", "promotion_code") if given[0].get(key)]
    if len(named) > 1:
        raise exclusive("discounts[0][coupon]", "discounts[0][promotion_code]")
    if not named:
        raise missing("discounts[0][coupon]")
    coupon, code = discounts.redeemable(
        sandbox,
        given[0],
        "discounts[0]",
        customer=customer,
        currency=session["currency"],
        subtotal=session["amount_subtotal"],
    )
    session_life.put_discount(sandbox, session, coupon, code)


def check_url(url: str | None, param: str) -> None:
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
    return embedded(session_life.line_items(sandbox, document), f"/v1/checkout/sessions/{shown['id']}/line_items")


def breakdown_of(sandbox: Sandbox, total_details: dict[str, Any]) -> dict[str, Any]:
    """Taxes are not emulated, and a discount is made when the session completes."""
    return {"discounts": [], "taxes": []}


def nothing_of(sandbox: Sandbox, item: dict[str, Any]) -> list[Any]:
    """The taxes of a line item, by the same token."""
    return []
