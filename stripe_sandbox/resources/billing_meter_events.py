"""https://docs.stripe.com/api/billing/meter-event and https://docs.stripe.com/api/billing/meter-event-adjustment"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import missing
from ..lifecycle import meters
from ..operations import operation

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("post", "/v1/billing/meter_events", "event_name identifier payload timestamp")
def create(sandbox: Sandbox, params: dict[str, Any]) -> dict[str, Any]:
    return meters.record(
        sandbox, params["event_name"], params["payload"], params.get("identifier"), params.get("timestamp")
    )


@operation("post", "/v1/billing/meter_event_adjustments", "cancel event_name type")
def adjust(sandbox: Sandbox, params: dict[str, Any]) -> dict[str, Any]:
    if not params.get("cancel", {}).get("identifier"):
        raise missing("cancel[identifier]")
    return meters.cancel(sandbox, params["event_name"], params["cancel"]["identifier"])
