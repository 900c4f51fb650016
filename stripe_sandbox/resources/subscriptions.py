"""https://docs.stripe.com/api/subscriptions"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing, no_such, not_emulated
from ..lifecycle import payment_methods
from ..lifecycle import subscriptions as life
from ..lists import PAGING, Page, embedded, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/subscriptions/{subscription_exposed_id}"


@operation(
    "post",
    "/v1/subscriptions",
    "customer items.price items.quantity items.metadata metadata description default_payment_method "
    "off_session payment_behavior cancel_at_period_end cancel_at collection_method=charge_automatically "
    "billing_mode.type=flexible proration_behavior automatic_tax.enabled=false currency "
    "payment_settings.save_default_payment_method=off payment_settings.payment_method_types=card",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    if not params.get("items"):
        raise missing("items")
    lines = []
    for index, item in enumerate(params["items"]):
        if "price" not in item:
            raise missing(f"items[{index}][price]")
        item_metadata = merged(item, at=f"items[{index}][metadata]")
        lines.append(
            life.checked_line(sandbox, item["price"], item.get("quantity"), item_metadata, f"items[{index}]")
        )
    life.check_lines(lines)
    life.check_asked_currency(lines, params.get("currency"))
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        raise invalid(
            "`pending_if_incomplete` is not supported when creating a subscription.", "payment_behavior"
        )
    default = None
    if params.get("default_payment_method"):
        default = payment_methods.attached_to(
            sandbox, params["default_payment_method"], customer, "default_payment_method"
        )
    method = default or life.chosen_payment_method(sandbox, customer)
    if method is None and behavior != "default_incomplete" and life.total_of(lines) > 0:
        raise life.no_payment_method()
    return life.start_by_api(
        sandbox,
        customer,
        lines,
        payment_behavior=behavior,
        payment_method=method,
        default_payment_method=default["id"] if default else None,
        metadata=merged(params),
        description=params.get("description"),
        ending=lambda subscription: _ending(sandbox, subscription, params),
    )


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    return sandbox.get("subscription", subscription, in_path=True)


@operation(
    "post",
    _PATH,
    "cancel_at cancel_at_period_end cancellation_details default_payment_method description metadata "
    "off_session proration_behavior payment_behavior collection_method=charge_automatically "
    "automatic_tax.enabled=false payment_settings.save_default_payment_method=off",
)
def update(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    document = sandbox.get("subscription", subscription, in_path=True)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    if "cancellation_details" in params:
        changes["cancellation_details"] = {
            **document["cancellation_details"],
            **{key: value or None for key, value in params["cancellation_details"].items()},
        }
    if document["status"] in life.ENDED:
        if set(params) - {"metadata", "cancellation_details", "expand"}:
            raise invalid(
                "A canceled subscription can only update its cancellation_details and metadata.",
                code="invalid_canceled_subscription_fields",
            )
        return sandbox.change(document, "customer.subscription.updated", changes)
    if "description" in params:
        changes["description"] = params["description"] or None
    if "default_payment_method" in params:
        method_id = params["default_payment_method"] or None
        if method_id:
            customer = sandbox.get("customer", document["customer"])
            method_id = payment_methods.attached_to(sandbox, method_id, customer, "default_payment_method")[
                "id"
            ]
        changes["default_payment_method"] = method_id
    changes |= _ending(sandbox, {**document, **changes}, params)
    return sandbox.change(document, "customer.subscription.updated", changes)


def _ending(sandbox: Sandbox, document: Document, params: dict[str, Any]) -> dict[str, Any]:
    """The changes that cancel_at and cancel_at_period_end ask for."""
    if params.get("cancel_at") not in (None, "") and params.get("cancel_at_period_end"):
        raise exclusive("cancel_at", "cancel_at_period_end")
    if params.get("cancel_at_period_end"):
        if document["cancel_at_period_end"]:
            return {}
        return life.schedule_end(
            sandbox, document, life.period_end(sandbox, document, min), at_period_end=True
        )
    if params.get("cancel_at") not in (None, ""):
        cancel_at = params["cancel_at"]
        if cancel_at == "max_billed_until":
            raise not_emulated("cancel_at=max_billed_until", "cancel_at")
        if isinstance(cancel_at, str):
            pick = min if cancel_at == "min_period_end" else max
            cancel_at = life.period_end(sandbox, document, pick)
        elif cancel_at <= sandbox.clock.now():
            raise invalid("cancel_at must be a timestamp in the future.", "cancel_at")
        elif cancel_at != life.period_end(sandbox, document) and params.get("proration_behavior") != "none":
            # Ending inside a period credits the rest of it, unless proration is switched off.
            raise not_emulated(
                "cancel_at inside a period with proration (pass proration_behavior=none)", "cancel_at"
            )
        return life.schedule_end(sandbox, document, cancel_at, at_period_end=False)
    undone = params.get("cancel_at_period_end") is False and document["cancel_at_period_end"]
    if undone or (params.get("cancel_at") == "" and document["cancel_at"] is not None):
        return life.keep(document)
    return {}


@operation(
    "delete",
    _PATH,
    "cancellation_details invoice_now=false prorate=false",
)
def cancel(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    document = sandbox.get("subscription", subscription, in_path=True)
    if document["status"] in life.ENDED:
        raise no_such("subscription", subscription, in_path=True)
    details = {key: value or None for key, value in params.get("cancellation_details", {}).items()}
    return life.cancel(sandbox, document, details)


@operation("get", "/v1/subscriptions", PAGING + " collection_method created customer price status")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "collection_method", "customer")
    where: list[tuple[str, Any]] = []
    status = params.get("status")
    if status is None:
        # As at Stripe: without a status everything but the canceled ones.
        where.append(("json_extract(body, '$.status') != ?", "canceled"))
    elif status == "ended":
        equal["status"] = list(life.ENDED)
    elif status != "all":
        equal["status"] = status
    if "price" in params:
        where.append(
            (
                "id IN (SELECT json_extract(items.body, '$.subscription') FROM objects AS items WHERE "
                "items.object = 'subscription_item' AND json_extract(items.body, '$.price') = ?)",
                params["price"],
            )
        )
    return page(sandbox, "subscription", params, "/v1/subscriptions", equal, where)


def compose(sandbox: Sandbox, document: Document, shown: dict[str, Any]) -> None:
    """Put the items in, each with its price."""
    items = sandbox.store.find("subscription_item", {"subscription": document["id"]})
    url = f"/v1/subscription_items?subscription={document['id']}"
    shown["items"] = embedded([sandbox.render(item) for item in items], url)
