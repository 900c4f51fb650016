"""https://docs.stripe.com/api/subscription_schedules"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import exclusive, missing
from ..lifecycle import subscription_schedules as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_ID = "/v1/subscription_schedules/{schedule}"
_HONOURED = (
    "end_behavior=release end_behavior=cancel metadata phases.items.price phases.items.quantity "
    "phases.items.metadata phases.end_date phases.duration phases.metadata "
    "phases.proration_behavior "
)


@operation(
    "post",
    "/v1/subscription_schedules",
    _HONOURED + "customer from_subscription start_date billing_mode.type=flexible",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    if "from_subscription" in params:
        for name in ("customer", "phases", "start_date", "end_behavior"):
            if name in params:
                raise exclusive(name, "from_subscription")
        subscription = sandbox.get("subscription", params["from_subscription"], "from_subscription")
        return life.from_subscription(sandbox, subscription, merged(params))
    for name in ("customer", "phases"):
        if not params.get(name):
            raise missing(name)
    start = params.get("start_date")
    return life.for_customer(
        sandbox,
        sandbox.get("customer", params["customer"], "customer"),
        params["phases"],
        None if start in (None, "now") else start,
        params.get("end_behavior", "release"),
        merged(params),
    )


@operation("get", _ID)
def retrieve(sandbox: Sandbox, params: dict[str, Any], schedule: str) -> Document:
    return sandbox.get("subscription_schedule", schedule, "schedule", in_path=True)


@operation("post", _ID, _HONOURED + "phases.start_date proration_behavior")
def update(sandbox: Sandbox, params: dict[str, Any], schedule: str) -> Document:
    document = sandbox.get("subscription_schedule", schedule, "schedule", in_path=True)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    if "end_behavior" in params:
        changes["end_behavior"] = params["end_behavior"]
    return life.change(
        sandbox,
        document,
        phases=params.get("phases"),
        changes=changes,
        proration_behavior=params.get("proration_behavior", "create_prorations"),
    )


@operation("post", _ID + "/release")
def release(sandbox: Sandbox, params: dict[str, Any], schedule: str) -> Document:
    return life.release(sandbox, sandbox.get("subscription_schedule", schedule, "schedule", in_path=True))


@operation("post", _ID + "/cancel", "invoice_now prorate")
def cancel(sandbox: Sandbox, params: dict[str, Any], schedule: str) -> Document:
    return life.cancel(
        sandbox,
        sandbox.get("subscription_schedule", schedule, "schedule", in_path=True),
        prorate=params.get("prorate", True),
        invoice_now=params.get("invoice_now", True),
    )


@operation("get", "/v1/subscription_schedules", PAGING + " created customer")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "customer")
    return page(sandbox, "subscription_schedule", params, "/v1/subscription_schedules", equal)
