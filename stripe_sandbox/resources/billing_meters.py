"""https://docs.stripe.com/api/billing/meter"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ..errors import invalid
from ..lifecycle import meters
from ..lists import PAGING, Page, filters, page, slice_of
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/billing/meters/{id}"
_WINDOWS = {None: 60, "hour": 3600, "day": 86400}


@operation(
    "post",
    "/v1/billing/meters",
    "customer_mapping default_aggregation display_name event_name value_settings",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    meters.check_name(params["event_name"], "event_name")
    _check_display_name(params)
    _check_free(sandbox, params["event_name"])
    mapping = params.get("customer_mapping", {})
    values = params.get("value_settings", {})
    meter = sandbox.new(
        "billing.meter",
        {
            "customer_mapping": {
                "event_payload_key": mapping.get("event_payload_key", "stripe_customer_id"),
                "type": "by_id",
            },
            "default_aggregation": {"formula": params["default_aggregation"]["formula"]},
            "display_name": params["display_name"],
            "event_name": params["event_name"],
            "event_time_window": None,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": sandbox.clock.now(),
            "value_settings": {"event_payload_key": values.get("event_payload_key", "value")},
        },
    )
    sandbox.events.emit("billing.meter.created", meter)
    return meter


def _check_display_name(params: dict[str, Any]) -> None:
    if not params["display_name"].strip() or len(params["display_name"]) > 250:
        raise invalid("`display_name` must have 1 to 250 characters.", "display_name")


def _check_free(sandbox: Sandbox, event_name: str) -> None:
    """Two active meters cannot listen to one event name."""
    for other in sandbox.store.find("billing.meter", {"event_name": event_name, "status": "active"}):
        raise invalid(
            f"An active meter (`{other['id']}`) already exists for the event name {event_name}.",
            "event_name",
            "resource_already_exists",
        )


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], meter: str) -> Document:
    return sandbox.get("billing.meter", meter, in_path=True)


@operation("post", _PATH, "display_name")
def update(sandbox: Sandbox, params: dict[str, Any], meter: str) -> Document:
    document = sandbox.get("billing.meter", meter, in_path=True)
    if "display_name" not in params:
        return document
    _check_display_name(params)
    return _change(sandbox, document, "updated", display_name=params["display_name"])


def _change(sandbox: Sandbox, meter: Document, event: str, **changes: Any) -> Document:
    changes["updated"] = sandbox.clock.now()
    return sandbox.change(meter, f"billing.meter.{event}", changes)


@operation("post", _PATH + "/deactivate")
def deactivate(sandbox: Sandbox, params: dict[str, Any], meter: str) -> Document:
    """It takes no more events; what was reported stays."""
    document = sandbox.get("billing.meter", meter, in_path=True)
    if document["status"] != "active":
        raise invalid("You can only deactivate an active meter.")
    return _change(
        sandbox,
        document,
        "deactivated",
        status="inactive",
        status_transitions={"deactivated_at": sandbox.clock.now()},
    )


@operation("post", _PATH + "/reactivate")
def reactivate(sandbox: Sandbox, params: dict[str, Any], meter: str) -> Document:
    document = sandbox.get("billing.meter", meter, in_path=True)
    if document["status"] != "inactive":
        raise invalid("You can only reactivate an inactive meter.")
    _check_free(sandbox, document["event_name"])
    return _change(sandbox, document, "reactivated", status="active", status_transitions={"deactivated_at": None})


@operation("get", "/v1/billing/meters", PAGING + " status")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    return page(sandbox, "billing.meter", params, "/v1/billing/meters", filters(params, "status"))


@operation("get", _PATH + "/event_summaries", PAGING + " customer start_time end_time value_grouping_window")
def list_event_summaries(sandbox: Sandbox, params: dict[str, Any], meter: str) -> Page:
    """One summary of the whole span, or one for each hour or UTC day that has usage; the newest first."""
    document = sandbox.get("billing.meter", meter, in_path=True)
    customer = sandbox.get("customer", params["customer"], "customer")["id"]
    window = params.get("value_grouping_window")
    start, end = params["start_time"], params["end_time"]
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % _WINDOWS[window]:
            raise invalid(
                f"`{name}` must be aligned to the beginning of a {window or 'minute'} (UTC).",
                name,
            )
    if start >= end:
        raise invalid("`start_time` must be before `end_time`.", "end_time")
    rows = meters.events_between(sandbox, document, customer, start, end)
    if window is None:
        summaries = [_summary(document, customer, start, end, rows)]
    else:
        seconds = _WINDOWS[window]
        groups: dict[int, list[Any]] = {}
        for row in rows:
            groups.setdefault(row["at"] - row["at"] % seconds, []).append(row)
        summaries = [_summary(document, customer, at, at + seconds, group) for at, group in groups.items()][::-1]
    return slice_of(summaries, params, f"/v1/billing/meters/{meter}/event_summaries", "billing.meter_event_summary")


def _summary(meter: Document, customer: str, start: int, end: int, rows: list[Any]) -> Document:
    # The same span of the same meter and customer keeps its id, so that cursors work.
    digest = hashlib.sha256(f"{meter['id']}/{customer}/{start}/{end}".encode()).hexdigest()
    return {
        "id": "mtrusg_test_" + digest[:24],
        "object": "billing.meter_event_summary",
        "aggregated_value": float(meters.aggregated(meter, rows)),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }
