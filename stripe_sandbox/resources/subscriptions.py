"""https://docs.stripe.com/api/subscriptions"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, invalid, missing, no_such
from ..lifecycle import discounts, payment_methods, subscription_changes
from ..lifecycle import subscriptions as life
from ..lists import PAGING, Page, embedded, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/subscriptions/{subscription_exposed_id}"
_COMMON = (
    "metadata description default_payment_method off_session payment_behavior cancel_at_period_end cancel_at "
    "collection_method=charge_automatically proration_behavior automatic_tax.enabled=false trial_end "
    "trial_settings.end_behavior.missing_payment_method discounts trial_from_plan=false "
    "payment_settings.save_default_payment_method payment_settings.payment_method_types=card "
)
_DAY = 86400


@operation(
    "post",
    "/v1/subscriptions",
    _COMMON + "customer items.price items.quantity items.metadata billing_mode.type=flexible currency "
    "trial_period_days billing_cycle_anchor",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    lines = lines_of(sandbox, params.get("items"))
    life.check_asked_currency(lines, params.get("currency"))
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        raise invalid("`pending_if_incomplete` is not supported when creating a subscription.", "payment_behavior")
    default = None
    if params.get("default_payment_method"):
        default = payment_methods.attached_to(
            sandbox, params["default_payment_method"], customer, "default_payment_method"
        )
    method = default or life.chosen_payment_method(sandbox, customer)
    values = beginning(sandbox, lines, params)
    if "trial_settings" in params:
        values["trial_settings"] = params["trial_settings"]

    def adjust(subscription: Document) -> dict[str, Any]:
        changes = life.changes_of_end(sandbox, subscription, params)
        if params.get("discounts"):
            changes["discounts"] = discounts.from_params(
                sandbox,
                params["discounts"],
                "discounts",
                customer=customer,
                currency=subscription["currency"],
                subtotal=life.total_of(lines),
                subscription=subscription["id"],
            )
        return changes

    return life.start_by_api(
        sandbox,
        customer,
        lines,
        payment_behavior=behavior,
        payment_method=method,
        default_payment_method=default["id"] if default else None,
        metadata=merged(params),
        description=params.get("description"),
        adjust=adjust,
        **values,
    )


def lines_of(sandbox: Sandbox, items: list[dict[str, Any]] | None) -> list[life.Line]:
    """The prices of a new subscription's `items`. Raises 400."""
    if not items:
        raise missing("items")
    lines = []
    for index, item in enumerate(items):
        if "price" not in item:
            raise missing(f"items[{index}][price]")
        item_metadata = merged(item, at=f"items[{index}][metadata]")
        lines.append(life.checked_line(sandbox, item["price"], item.get("quantity"), item_metadata, f"items[{index}]"))
    life.check_lines(lines)
    return lines


def beginning(sandbox: Sandbox, lines: list[life.Line], params: dict[str, Any]) -> dict[str, Any]:
    """When the first period ends: trial_end, trial_period_days, billing_cycle_anchor. Raises 400."""
    now = sandbox.clock.now()
    values: dict[str, Any] = {}
    if params.get("trial_period_days") is not None and "trial_end" in params:
        raise exclusive("trial_period_days", "trial_end")
    if params.get("trial_period_days"):
        if not 0 < params["trial_period_days"] <= 730:
            raise invalid("The maximum number of trial period days is 730 (2 years).", "trial_period_days")
        values["trial_end"] = now + params["trial_period_days"] * _DAY
    elif isinstance(params.get("trial_end"), int):
        if params["trial_end"] <= now:
            raise invalid("trial_end must be a timestamp in the future, or `now`.", "trial_end")
        values["trial_end"] = params["trial_end"]
    anchor = params.get("billing_cycle_anchor")
    if anchor is not None and values:
        raise exclusive("billing_cycle_anchor", "trial_end")
    if isinstance(anchor, int):
        latest = life.boundary(now, lines[0].price["recurring"], 1)
        if not now < anchor <= latest:
            raise invalid(
                f"billing_cycle_anchor must be in the future and not later than {latest}, the next natural "
                "billing date.",
                "billing_cycle_anchor",
            )
        values["billing_cycle_anchor"] = anchor
        values["_first_period_free"] = params.get("proration_behavior") == "none"
    return values


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    return sandbox.get("subscription", subscription, in_path=True)


@operation(
    "post",
    _PATH,
    _COMMON + "items.id items.price items.quantity items.metadata items.deleted proration_date "
    "billing_cycle_anchor cancellation_details pause_collection",
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
    life.check_not_scheduled(document, params)
    behavior = params.get("payment_behavior", "allow_incomplete")
    is_change = subscription_changes.is_change(params)
    if behavior == "pending_if_incomplete":
        _check_pending(params)
    if is_change and document["status"] == "incomplete":
        raise invalid(
            "This subscription cannot be changed while its first payment is incomplete.",
            code="status_transition_invalid",
        )
    changes |= _plain_changes(sandbox, document, params)
    ending = life.changes_of_end(sandbox, {**document, **changes}, params)
    if is_change:
        made = subscription_changes.plan(sandbox, {**document, **changes, **ending}, params)
    elif "cancel_at" in ending:
        made = subscription_changes.plan_end(sandbox, document, ending["cancel_at"], params)
    else:
        made = subscription_changes.Plan(life.items_of(sandbox, document))
    return subscription_changes.commit(
        sandbox, document, made, payment_behavior=behavior, changes={**changes, **ending}
    )


def _check_pending(params: dict[str, Any]) -> None:
    """https://docs.stripe.com/billing/subscriptions/pending-updates-reference: what can wait for a payment."""
    allowed = {"items", "billing_cycle_anchor", "trial_end", "proration_behavior", "proration_date"}
    allowed |= {"payment_behavior", "off_session", "expand"}
    for name in params:
        if name not in allowed:
            raise invalid(
                f"When `payment_behavior` is set to `pending_if_incomplete`, you cannot update `{name}`.",
                name,
            )


def _plain_changes(sandbox: Sandbox, document: Document, params: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    customer = sandbox.get("customer", document["customer"])
    if "description" in params:
        changes["description"] = params["description"] or None
    if "default_payment_method" in params:
        method_id = params["default_payment_method"] or None
        if method_id:
            method = payment_methods.attached_to(sandbox, method_id, customer, "default_payment_method")
            method_id = method["id"]
        changes["default_payment_method"] = method_id
    if "trial_settings" in params:
        changes["trial_settings"] = params["trial_settings"]
    save = params.get("payment_settings", {}).get("save_default_payment_method")
    if save:
        changes["payment_settings"] = {**document["payment_settings"], "save_default_payment_method": save}
    if "discounts" in params:
        changes["discounts"] = discounts.from_params(
            sandbox,
            params["discounts"],
            "discounts",
            customer=customer,
            currency=document["currency"],
            existing=document["discounts"],
            subscription=document["id"],
        )
    if "pause_collection" in params:
        paused = params["pause_collection"] or None
        if paused:
            paused = {"behavior": paused["behavior"], "resumes_at": paused.get("resumes_at")}
            if paused["resumes_at"]:
                kind = "subscription.collection_resumes"
                sandbox.due_work.add(paused["resumes_at"], kind, document["id"])
        changes["pause_collection"] = paused
    return changes


@operation("delete", _PATH, "cancellation_details invoice_now prorate")
def cancel(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    document = sandbox.get("subscription", subscription, in_path=True)
    if document["status"] in life.ENDED:
        raise no_such("subscription", subscription, in_path=True)
    details = {key: value or None for key, value in params.get("cancellation_details", {}).items()}
    return subscription_changes.cancel(
        sandbox,
        document,
        details,
        prorate=params.get("prorate", False),
        invoice_now=params.get("invoice_now", False),
    )


@operation(
    "post",
    "/v1/subscriptions/{subscription}/resume",
    "billing_cycle_anchor=now proration_behavior",
)
def resume(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> Document:
    document = sandbox.get("subscription", subscription, "subscription", in_path=True)
    return subscription_changes.resume(sandbox, document)


@operation("delete", _PATH + "/discount")
def delete_discount(sandbox: Sandbox, params: dict[str, Any], subscription: str) -> dict[str, Any]:
    """Takes the discounts from the subscription; answers with the last of them, deleted."""
    document = sandbox.get("subscription", subscription, in_path=True)
    found = [sandbox.get("discount", one) for one in document["discounts"]]
    if not found:
        raise invalid("No active discount for subscription: " + document["id"], code="resource_missing", status=404)
    before = sandbox.render(document)
    for discount in found:
        discounts.delete(sandbox, discount)
    sandbox.announce(document, "customer.subscription.updated", before)
    return {**sandbox.render(found[-1]), "deleted": True}


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
