"""A billing meter and the usage reported to it. https://docs.stripe.com/billing/subscriptions/usage-based

Meter events are no documents: there may be a thousand a second, nobody retrieves one, and what counts is
their sum. They stand in a table of their own. At Stripe they are aggregated some moments later, here at once.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from .. import ids
from ..errors import invalid, missing
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

PAST_SECONDS, FUTURE_SECONDS = 35 * 86400, 5 * 60
UNIQUE_SECONDS = 24 * 3600  # an identifier is refused a second time for so long
CANCELLABLE_SECONDS = 24 * 3600
LONGEST_NAME = 100
_MOST_DIGITS = 15


def check_name(value: str, param: str) -> None:
    if not value or len(value) > LONGEST_NAME:
        raise invalid(f"Invalid string: `{param}` must have 1 to {LONGEST_NAME} characters.", param)


def active_meter(sandbox: Sandbox, event_name: str) -> Document:
    """The one active meter that listens to this event name. Raises 400."""
    found = sandbox.store.find("billing.meter", {"event_name": event_name, "status": "active"})
    if not found:
        raise invalid(f'No active meter found for event name "{event_name[:100]}"', "event_name")
    return found[0]


def record(
    sandbox: Sandbox,
    event_name: str,
    payload: dict[str, str],
    identifier: str | None,
    timestamp: int | None,
) -> dict[str, Any]:
    """Count one meter event. Raises 400 for an identifier of the last 24 hours, a bad time or payload."""
    check_name(event_name, "event_name")
    if identifier is not None:
        check_name(identifier, "identifier")
    meter = active_meter(sandbox, event_name)
    customer = _customer(sandbox, meter, payload)
    with sandbox.in_time_of(customer):
        now = sandbox.clock.now()
    at = _checked_time(timestamp, now)
    value = _value(meter, payload)
    if identifier is None:
        identifier = ids.token(32)
    elif sandbox.store.execute(
        "SELECT 1 FROM meter_events WHERE identifier = ? AND created > ?", (identifier, now - UNIQUE_SECONDS)
    ).fetchone():
        raise invalid(f"An event already exists with identifier {identifier}.")
    sandbox.store.execute(
        "INSERT INTO meter_events (meter, identifier, customer, value, at, created) VALUES (?, ?, ?, ?, ?, ?)",
        (meter["id"], identifier, customer["id"], str(value), at, now),
    )
    return {
        "object": "billing.meter_event",
        "created": now,
        "event_name": event_name,
        "identifier": identifier,
        "livemode": False,
        "payload": payload,
        "timestamp": at,
    }


def _checked_time(timestamp: int | None, now: int) -> int:
    if timestamp is None:
        return now
    if timestamp < now - PAST_SECONDS:
        raise invalid(
            "The event timestamp cannot be more than 35 days in past. Expected a timestamp greater than or "
            f"equal to {now - PAST_SECONDS}.",
            "timestamp",
        )
    if timestamp > now + FUTURE_SECONDS:
        raise invalid(
            "The event timestamp cannot be more than 5 minutes in the future. Expected a timestamp less than "
            f"or equal to {now + FUTURE_SECONDS}.",
            "timestamp",
        )
    return timestamp


def _customer(sandbox: Sandbox, meter: Document, payload: dict[str, str]) -> Document:
    key = meter["customer_mapping"]["event_payload_key"]
    if not payload.get(key):
        raise missing(f"payload[{key}]")
    return sandbox.get("customer", payload[key], f"payload[{key}]")


def _value(meter: Document, payload: dict[str, str]) -> Decimal:
    if meter["default_aggregation"]["formula"] == "count":
        return Decimal(1)
    key = meter["value_settings"]["event_payload_key"]
    if key not in payload:
        raise missing(f"payload[{key}]")
    try:
        value = Decimal(payload[key])
        usable = value.is_finite() and len(value.as_tuple().digits) <= _MOST_DIGITS and abs(value) < 10**15
    except InvalidOperation:
        usable = False
    if not usable or not payload[key].isascii() or "_" in payload[key]:
        raise invalid(
            f"Invalid payload value: {payload[key][:40]}. It must be a number of at most {_MOST_DIGITS} digits.",
            f"payload[{key}]",
        )
    return value


def cancel(sandbox: Sandbox, event_name: str, identifier: str) -> dict[str, Any]:
    """Take one event of the last 24 hours back."""
    meter = active_meter(sandbox, event_name)
    row = sandbox.store.execute(
        "SELECT seq, customer, created, canceled FROM meter_events WHERE identifier = ? AND meter = ? "
        "ORDER BY seq DESC LIMIT 1",
        (identifier, meter["id"]),
    ).fetchone()
    if row is None:
        raise invalid(
            f"No meter event found with identifier {identifier[:100]}.",
            "cancel[identifier]",
            "resource_missing",
        )
    with sandbox.in_time_of(sandbox.store.get(row["customer"])):
        now = sandbox.clock.now()
    if row["created"] < now - CANCELLABLE_SECONDS:
        raise invalid(
            "You can only cancel meter events within 24 hours of Stripe receiving them.", "cancel[identifier]"
        )
    if row["canceled"]:
        raise invalid(f"The meter event {identifier} has already been canceled.", "cancel[identifier]")
    sandbox.store.execute("UPDATE meter_events SET canceled = 1 WHERE seq = ?", (row["seq"],))
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": event_name,
        "livemode": False,
        "status": "complete",
        "type": "cancel",
    }


def events_between(sandbox: Sandbox, meter: Document, customer: str, start: int, end: int) -> list[Any]:
    """The (at, value) rows that count in start <= at < end, in order of time."""
    return sandbox.store.execute(
        "SELECT at, value FROM meter_events WHERE meter = ? AND customer = ? AND at >= ? AND at < ? AND "
        "canceled = 0 ORDER BY at, seq",
        (meter["id"], customer, start, end),
    ).fetchall()


def aggregated(meter: Document, rows: list[Any]) -> Decimal:
    """What the meter's formula makes of these events: their sum, their number, or the last of them."""
    if meter["default_aggregation"]["formula"] == "last":
        return Decimal(rows[-1]["value"]) if rows else Decimal(0)
    return sum((Decimal(row["value"]) for row in rows), Decimal(0))


def usage(sandbox: Sandbox, meter: Document, customer: str, start: int, end: int) -> Decimal:
    """What the customer used in start <= timestamp < end. Never negative: corrections make no credit."""
    return max(Decimal(0), aggregated(meter, events_between(sandbox, meter, customer, start, end)))
