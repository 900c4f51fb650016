"""What a customer may do in the Customer Portal. https://docs.stripe.com/customer-management/configure-portal"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

REASONS = [
    "too_expensive",
    "missing_features",
    "switched_service",
    "unused",
    "customer_service",
    "too_complex",
    "low_quality",
    "other",
]


def no_features() -> dict[str, Any]:
    """What a configuration allows that names no features: nothing."""
    return {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": False},
        "payment_method_update": {"enabled": False, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "feedback_options": None, "options": []},
            "enabled": False,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": False,
            "products": None,
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }


def new(sandbox: Sandbox, features: dict[str, Any], **values: Any) -> Document:
    """Insert a configuration and tell it."""
    configuration = sandbox.new(
        "billing_portal.configuration",
        {
            "active": True,
            "application": None,
            "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
            "default_return_url": None,
            "features": features,
            "is_default": False,
            "login_page": {"enabled": False, "url": None},
            "metadata": {},
            "name": None,
            "updated": sandbox.clock.now(),
            **values,
        },
    )
    sandbox.events.emit("billing_portal.configuration.created", configuration)
    return configuration


def default(sandbox: Sandbox) -> Document:
    """The account's default configuration, made when it is first needed.

    At Stripe it is made by saving the portal's settings in the Dashboard. It lets customers do everything but
    change plans, because nobody has said between which.
    """
    found = sandbox.store.find("billing_portal.configuration", {"is_default": True}, limit=1)
    if found:
        return found[0]
    features = no_features()
    features["customer_update"] = {"allowed_updates": ["name", "email", "address", "phone"], "enabled": True}
    features["invoice_history"]["enabled"] = True
    features["payment_method_update"]["enabled"] = True
    features["subscription_cancel"]["enabled"] = True
    features["subscription_cancel"]["cancellation_reason"] |= {"enabled": True, "options": list(REASONS)}
    return new(sandbox, features, is_default=True)


def check_products(sandbox: Sandbox, products: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The products between which customers may change, as the configuration shows them. Raises 400."""
    at = "features[subscription_update][products]"
    if len(products) > 10:
        raise invalid("You can provide at most 10 products.", at)
    shown = []
    for index, one in enumerate(products):
        product = sandbox.get("product", one["product"], f"{at}[{index}][product]")
        intervals = set()
        for number, price_id in enumerate(one["prices"]):
            param = f"{at}[{index}][prices][{number}]"
            price = sandbox.get("price", price_id, param)
            if price["product"] != product["id"]:
                raise invalid(f"The price `{price_id}` does not belong to the product `{product['id']}`.", param)
            if price["type"] != "recurring" or not price["active"]:
                raise invalid(f"The price `{price_id}` must be active and recurring.", param)
            interval = (price["recurring"]["interval"], price["recurring"]["interval_count"], price["currency"])
            if interval in intervals:
                raise invalid(
                    "All prices of a product must have different billing intervals: customers choose by them.", param
                )
            intervals.add(interval)
        quantity = {"enabled": False, "maximum": None, "minimum": 1}
        shown.append({"adjustable_quantity": quantity, "prices": list(one["prices"]), "product": product["id"]})
    return shown
