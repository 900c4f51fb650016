"""https://docs.stripe.com/api/customer_portal/sessions"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ids
from ..errors import invalid, missing
from ..lifecycle import billing_portal, billing_portal_configurations
from ..lifecycle import subscriptions as subscription_life
from ..operations import operation
from ..store import Document
from .checkout_sessions import check_url

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# The feature that a flow needs. https://docs.stripe.com/customer-management/portal-deep-links
_FEATURE_OF = {
    "customer_update": "customer_update",
    "payment_method_update": "payment_method_update",
    "subscription_cancel": "subscription_cancel",
    "subscription_update": "subscription_update",
    "subscription_update_confirm": "subscription_update",
}


@operation(
    "post",
    "/v1/billing_portal/sessions",
    "configuration customer flow_data.type flow_data.after_completion flow_data.subscription_cancel.subscription "
    "flow_data.subscription_update.subscription flow_data.subscription_update_confirm.subscription "
    "flow_data.subscription_update_confirm.items.id flow_data.subscription_update_confirm.items.price "
    "flow_data.subscription_update_confirm.items.quantity locale=auto locale=en return_url",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "customer" not in params:
        raise missing("customer")
    customer = sandbox.get("customer", params["customer"], "customer")
    check_url(params.get("return_url"), "return_url")
    if "configuration" in params:
        configuration = sandbox.get("billing_portal.configuration", params["configuration"], "configuration")
        if not configuration["active"]:
            raise invalid(f"The configuration `{configuration['id']}` is not active.", "configuration")
    else:
        configuration = billing_portal_configurations.default(sandbox)
    flow = _flow(sandbox, params["flow_data"], customer, configuration) if "flow_data" in params else None
    token = "test_" + ids.token(40)
    session = sandbox.new(
        "billing_portal.session",
        {
            "configuration": configuration["id"],
            "customer": customer["id"],
            "customer_account": None,
            "flow": flow,
            "locale": params.get("locale"),
            "on_behalf_of": None,
            "return_url": params.get("return_url") or configuration["default_return_url"],
            "url": sandbox.settings.public_url + billing_portal.page_of({"_token": token}),
            "_token": token,
            "_expires_at": sandbox.clock.now() + billing_portal.UNUSED_SECONDS,
        },
    )
    sandbox.events.emit("billing_portal.session.created", session)
    return session


def _flow(sandbox: Sandbox, given: dict[str, Any], customer: Document, configuration: Document) -> dict[str, Any]:
    """The one thing that the customer is to do, as the session shows it. Raises 400."""
    kind = given["type"]
    feature = _FEATURE_OF[kind]
    if not configuration["features"][feature]["enabled"]:
        raise invalid(
            f"The flow `{kind}` cannot be used because the {feature.replace('_', ' ')} feature in the portal "
            "configuration is disabled.",
            "flow_data[type]",
        )
    for name in given:
        if name in _FEATURE_OF and name != kind:
            raise invalid(f"`flow_data[{name}]` can only be set when `flow_data[type]` is `{name}`.", "flow_data[type]")
    flow: dict[str, Any] = {
        "after_completion": _after(given.get("after_completion") or {"type": "portal_homepage"}),
        "customer_update": None,
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
    if kind.startswith("subscription_"):
        at = f"flow_data[{kind}]"
        if kind not in given:
            raise missing(at)
        wanted = given[kind]
        subscription = sandbox.get("subscription", wanted["subscription"], f"{at}[subscription]")
        _check(sandbox, kind, subscription, customer, configuration, at)
        flow[kind] = {"subscription": subscription["id"]}
        if kind == "subscription_cancel":
            flow[kind]["retention"] = None
        if kind == "subscription_update_confirm":
            price, items = _wanted_price(sandbox, subscription, wanted["items"], f"{at}[items]")
            billing_portal.check_offered(sandbox, configuration, subscription, price)
            flow[kind] |= {"discounts": None, "items": items}
    return flow


def _after(given: dict[str, Any]) -> dict[str, Any]:
    kind = given["type"]
    at = "flow_data[after_completion]"
    for name in ("hosted_confirmation", "redirect"):
        if name in given and name != kind:
            raise invalid(f"`{at}[{name}]` can only be set when its type is `{name}`.", f"{at}[{name}]")
    if kind == "redirect" and "redirect" not in given:
        raise missing(f"{at}[redirect]")
    if kind == "redirect":
        check_url(given["redirect"]["return_url"], f"{at}[redirect][return_url]")
    message = given.get("hosted_confirmation", {}).get("custom_message")
    return {
        "hosted_confirmation": {"custom_message": message} if kind == "hosted_confirmation" else None,
        "redirect": given["redirect"] if kind == "redirect" else None,
        "type": kind,
    }


def _check(
    sandbox: Sandbox, kind: str, subscription: Document, customer: Document, configuration: Document, at: str
) -> None:
    param = f"{at}[subscription]"
    if subscription["customer"] != customer["id"]:
        raise invalid(f"The subscription `{subscription['id']}` does not belong to the customer.", param)
    if subscription["status"] in subscription_life.ENDED:
        raise invalid(f"The subscription `{subscription['id']}` is {subscription['status']}.", param)
    if kind == "subscription_cancel":
        if subscription["cancel_at"] is not None:
            raise invalid(f"The subscription `{subscription['id']}` is already set to be canceled.", param)
    else:
        reason = billing_portal.why_not_changeable(sandbox, configuration, subscription)
        if reason:
            raise invalid(f"The subscription `{subscription['id']}` cannot be updated: {reason}", param)


def _wanted_price(
    sandbox: Sandbox, subscription: Document, items: list[dict[str, Any]], at: str
) -> tuple[str, list[dict[str, Any]]]:
    """(the price to change to, the items as the session shows them)."""
    [held] = subscription_life.items_of(sandbox, subscription)
    if len(items) != 1 or items[0]["id"] != held["id"]:
        raise invalid(f"Pass the subscription's one item, `{held['id']}`.", at)
    if "price" not in items[0]:
        raise missing(f"{at}[0][price]")
    if items[0].get("quantity", held["quantity"]) != held["quantity"]:
        raise invalid("The configuration does not let customers change the quantity.", f"{at}[0][quantity]")
    shown = {"id": held["id"], "price": items[0]["price"], "quantity": held["quantity"]}
    return items[0]["price"], [shown]
