"""https://docs.stripe.com/api/customer_portal/configurations"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..errors import invalid, missing
from ..lifecycle import billing_portal_configurations as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document
from .checkout_sessions import check_url

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_ID = "/v1/billing_portal/configurations/{configuration}"
_UPDATES = "features.customer_update.allowed_updates="
_HONOURED = (
    "business_profile default_return_url features.customer_update.enabled "
    f"{_UPDATES}address {_UPDATES}email {_UPDATES}name {_UPDATES}phone features.invoice_history "
    "features.payment_method_update.enabled features.subscription_cancel.enabled features.subscription_cancel.mode "
    "features.subscription_cancel.proration_behavior features.subscription_cancel.cancellation_reason.enabled "
    "features.subscription_cancel.cancellation_reason.options features.subscription_update.billing_cycle_anchor "
    "features.subscription_update.default_allowed_updates=price features.subscription_update.enabled "
    "features.subscription_update.products.prices features.subscription_update.products.product "
    "features.subscription_update.products.adjustable_quantity.enabled=false "
    "features.subscription_update.proration_behavior features.subscription_update.schedule_at_period_end "
    "features.subscription_update.trial_update_behavior login_page.enabled=false metadata name "
)


@operation("post", "/v1/billing_portal/configurations", _HONOURED)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    values = _values(params, {})
    features = _features(sandbox, params["features"], life.no_features())
    return life.new(sandbox, features, **values)


@operation("get", _ID)
def retrieve(sandbox: Sandbox, params: dict[str, Any], configuration: str) -> Document:
    return sandbox.get("billing_portal.configuration", configuration, "configuration", in_path=True)


@operation("post", _ID, _HONOURED + "active")
def update(sandbox: Sandbox, params: dict[str, Any], configuration: str) -> Document:
    document = sandbox.get("billing_portal.configuration", configuration, "configuration", in_path=True)
    changes = _values(params, document)
    if "features" in params:
        changes["features"] = _features(sandbox, params["features"], document["features"])
    if "active" in params:
        if document["is_default"] and not params["active"]:
            raise invalid("You cannot deactivate the default configuration.", "active")
        changes["active"] = params["active"]
    if any(document[key] != value for key, value in changes.items()):
        changes["updated"] = sandbox.clock.now()
    return sandbox.change(document, "billing_portal.configuration.updated", changes)


@operation("get", "/v1/billing_portal/configurations", PAGING + " active is_default")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "active", "is_default")
    return page(sandbox, "billing_portal.configuration", params, "/v1/billing_portal/configurations", equal)


def _values(params: dict[str, Any], before: Document) -> dict[str, Any]:
    """What a request says besides the features."""
    values: dict[str, Any] = {}
    if "business_profile" in params:
        profile = before.get("business_profile") or {
            "headline": None,
            "privacy_policy_url": None,
            "terms_of_service_url": None,
        }
        values["business_profile"] = {**profile, **{k: v or None for k, v in params["business_profile"].items()}}
        for name in ("privacy_policy_url", "terms_of_service_url"):
            check_url(values["business_profile"][name], f"business_profile[{name}]")
        if len(values["business_profile"]["headline"] or "") > 60:
            raise invalid("The headline must be at most 60 characters.", "business_profile[headline]")
    if "default_return_url" in params:
        values["default_return_url"] = params["default_return_url"] or None
        check_url(values["default_return_url"], "default_return_url")
    if "name" in params:
        values["name"] = params["name"] or None
    if "metadata" in params:
        values["metadata"] = merged(params, before.get("metadata"))
    return values


def _features(sandbox: Sandbox, given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The features afterwards: what is not named stays as it was."""
    features = copy.deepcopy(before)
    for name, feature in given.items():
        for key, value in feature.items():
            if key == "cancellation_reason":
                features[name][key] |= {k: v or [] if k == "options" else v for k, v in value.items()}
            elif key == "schedule_at_period_end":
                features[name][key] = {"conditions": value.get("conditions") or []}
            elif key == "products":
                features[name][key] = life.check_products(sandbox, value) if value else None
            elif key in ("allowed_updates", "default_allowed_updates"):
                features[name][key] = value or []
            else:
                features[name][key] = value
    for name, lists in {
        "customer_update": ("allowed_updates",),
        "subscription_update": ("default_allowed_updates", "products"),
    }.items():
        for key in lists:
            if features[name]["enabled"] and not features[name][key]:
                raise missing(f"features[{name}][{key}]")
    reason = features["subscription_cancel"]["cancellation_reason"]
    if reason["enabled"] and not reason["options"]:
        raise missing("features[subscription_cancel][cancellation_reason][options]")
    return features


def products_of(sandbox: Sandbox, subscription_update: dict[str, Any]) -> None:
    """Stripe adds the products where `expand` asks; here they are always there, so only null comes this way."""
