"""A subscription schedule's life: phases that follow one another.

https://docs.stripe.com/billing/subscriptions/subscription-schedules. A phase that begins where the
subscription's period ends changes the items before the renewal bills them, so nothing is prorated; one that
begins within a period is a change of plan with the phase's proration_behavior.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..billing_cycle import boundary
from ..due_work import due
from ..errors import exclusive, invalid, missing, not_emulated
from ..metadata import merged
from ..store import Document
from . import collection, subscription_changes, subscriptions
from .subscriptions import Line

if TYPE_CHECKING:
    from ..sandbox import Sandbox

LIVE = ("not_started", "active")


def _settings() -> dict[str, Any]:
    return {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": "automatic",
        "billing_thresholds": None,
        "collection_method": "charge_automatically",
        "default_payment_method": None,
        "description": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "days_until_due": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "on_behalf_of": None,
        "transfer_data": None,
    }


def _phase(items: list[dict[str, Any]], currency: str, start: int, end: int, **values: Any) -> dict[str, Any]:
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": items,
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
        **values,
    }


def _phase_item(price: str, quantity: int | None, metadata: dict[str, str]) -> dict[str, Any]:
    item: dict[str, Any] = {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": metadata,
        "plan": price,
        "price": price,
        "tax_rates": [],
    }
    return item if quantity is None else {**item, "quantity": quantity}


def _new(sandbox: Sandbox, customer: Document, **values: Any) -> Document:
    return sandbox.new(
        "subscription_schedule",
        {
            "application": None,
            "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
            "canceled_at": None,
            "completed_at": None,
            "current_phase": None,
            "customer": customer["id"],
            "customer_account": None,
            "default_settings": _settings(),
            "end_behavior": "release",
            "metadata": {},
            "phases": [],
            "released_at": None,
            "released_subscription": None,
            "status": "not_started",
            "subscription": None,
            "test_clock": customer["test_clock"],
            **values,
        },
    )


def from_subscription(sandbox: Sandbox, subscription: Document, metadata: dict[str, str] | None = None) -> Document:
    """A schedule that takes over a subscription as it is: one phase, its present period (sequence 7)."""
    if subscription["schedule"]:
        raise invalid(
            f"You cannot migrate a subscription that is already attached to a schedule: `{subscription['schedule']}`.",
            "from_subscription",
        )
    if subscription["status"] in (*subscriptions.ENDED, "incomplete"):
        raise invalid(
            f"You cannot migrate a subscription that is in the `{subscription['status']}` status.",
            "from_subscription",
        )
    items = subscriptions.items_of(sandbox, subscription)
    start = min(item["current_period_start"] for item in items)
    end = min(item["current_period_end"] for item in items)
    phase = _phase(
        [_phase_item(item["price"], item.get("quantity"), item["metadata"]) for item in items],
        subscription["currency"],
        start,
        end,
    )
    schedule = _new(
        sandbox,
        sandbox.get("customer", subscription["customer"]),
        current_phase={"start_date": start, "end_date": end},
        end_behavior="cancel" if subscription["cancel_at"] == end else "release",
        metadata=metadata or {},
        phases=[phase],
        status="active",
        subscription=subscription["id"],
    )
    _plan(sandbox, schedule)
    sandbox.events.emit("subscription_schedule.created", schedule)
    sandbox.change(subscription, "customer.subscription.updated", {"schedule": schedule["id"]})
    return schedule


def for_customer(
    sandbox: Sandbox,
    customer: Document,
    given: list[dict[str, Any]],
    start: int | None,
    end_behavior: str,
    metadata: dict[str, str],
) -> Document:
    """A schedule that begins a subscription of its own, now (None) or later."""
    now = sandbox.clock.now()
    if start is not None and start < now:
        raise invalid("The start_date must not be in the past.", "start_date")
    phases = parsed_phases(sandbox, given, now if start is None else start)
    schedule = _new(sandbox, customer, end_behavior=end_behavior, metadata=metadata, phases=phases)
    sandbox.events.emit("subscription_schedule.created", schedule)
    if start is None or start == now:
        _begin(sandbox, schedule)
    else:
        sandbox.due_work.add(start, "subscription_schedule.starts", schedule["id"])
    return schedule


@due("subscription_schedule.starts", rank=1)
def _reach_start(sandbox: Sandbox, schedule_id: str) -> None:
    schedule = sandbox.store.get(schedule_id)
    if schedule and schedule["status"] == "not_started":
        _begin(sandbox, schedule)


def _begin(sandbox: Sandbox, schedule: Document) -> None:
    customer = sandbox.get("customer", schedule["customer"])
    phase = schedule["phases"][0]
    method = collection.chosen_payment_method(sandbox, customer)
    before = sandbox.render(schedule)
    subscription = subscriptions.start_by_api(
        sandbox,
        customer,
        _lines(sandbox, phase),
        payment_behavior="allow_incomplete" if method else "default_incomplete",
        payment_method=method,
        default_payment_method=None,
        metadata=phase["metadata"],
        description=None,
        adjust=lambda made: {"schedule": schedule["id"]},
    )
    current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    changes = {"current_phase": current, "status": "active", "subscription": subscription["id"]}
    sandbox.change(schedule, changes=changes)
    _plan(sandbox, schedule)
    sandbox.announce(schedule, "subscription_schedule.updated", before)


def _lines(sandbox: Sandbox, phase: dict[str, Any]) -> list[Line]:
    return [
        Line(sandbox.get("price", item["price"]), item.get("quantity"), item["metadata"]) for item in phase["items"]
    ]


def parsed_phases(sandbox: Sandbox, given: list[dict[str, Any]], start: int) -> list[dict[str, Any]]:
    """The phases of a request, one after the other from `start`. Raises 400."""
    phases = []
    for index, one in enumerate(given):
        param = f"phases[{index}]"
        if "end_date" in one and "duration" in one:
            raise exclusive(f"{param}[end_date]", f"{param}[duration]")
        asked = one.get("start_date", start)
        if asked == "now":
            asked = sandbox.clock.now()
        if asked != start:
            raise invalid(
                "The start date of a phase must be the end date of the one before, and that of the current "
                f"phase cannot be changed (expected {start}).",
                f"{param}[start_date]",
            )
        lines = []
        for number, item in enumerate(one["items"]):
            at = f"{param}[items][{number}]"
            if "price" not in item:
                raise missing(f"{at}[price]")
            item_metadata = merged(item, at=f"{at}[metadata]")
            lines.append(subscriptions.checked_line(sandbox, item["price"], item.get("quantity"), item_metadata, at))
        if not lines:
            raise missing(f"{param}[items]")
        subscriptions.check_lines(lines)
        if "end_date" in one:
            end = sandbox.clock.now() if one["end_date"] == "now" else one["end_date"]
        else:
            duration = one.get("duration") or lines[0].price["recurring"]
            end = boundary(start, {"interval_count": 1, **duration}, 1)
        if end <= start:
            raise invalid("The end date of a phase must be after its start date.", f"{param}[end_date]")
        phases.append(
            _phase(
                [_phase_item(line.price["id"], line.quantity, line.metadata) for line in lines],
                lines[0].price["currency"],
                start,
                end,
                metadata=merged(one, at=f"{param}[metadata]"),
                proration_behavior=one.get("proration_behavior", "create_prorations"),
            )
        )
        start = end
    return phases


def change(
    sandbox: Sandbox,
    schedule: Document,
    *,
    phases: list[dict[str, Any]] | None,
    changes: dict[str, Any],
    proration_behavior: str,
) -> Document:
    """POST subscription_schedules/{id}: new phases from the current one on, whose start stays."""
    if schedule["status"] not in LIVE:
        raise invalid(f"You cannot update a subscription schedule that is {schedule['status']}.")
    before = sandbox.render(schedule)
    if phases is not None:
        changes |= rephased(sandbox, schedule, phases)
    sandbox.change(schedule, changes=changes)
    _plan(sandbox, schedule)
    sandbox.announce(schedule, "subscription_schedule.updated", before)
    if phases is not None and schedule["status"] == "active":
        subscription = sandbox.get("subscription", schedule["subscription"])
        _enter(sandbox, subscription, current_phase(schedule), proration_behavior)
    return schedule


def rephased(sandbox: Sandbox, schedule: Document, given: list[dict[str, Any]]) -> dict[str, Any]:
    """The schedule's `phases` and `current_phase` after an update with these phases. Raises 400."""
    now = sandbox.clock.now()
    current = schedule["current_phase"]
    start = current["start_date"] if current else schedule["phases"][0]["start_date"]
    if current is None and given and isinstance(given[0].get("start_date"), int):
        start = max(now, given[0]["start_date"])
    made = parsed_phases(sandbox, given, start)
    if not made:
        raise missing("phases")
    if made[0]["end_date"] <= now:
        raise invalid("The current phase must end in the future.", "phases[0][end_date]")
    if current is None:
        return {"phases": made}
    # Phases of the past stay as they were.
    past = [phase for phase in schedule["phases"] if phase["end_date"] <= start]
    return {"phases": past + made, "current_phase": {"start_date": start, "end_date": made[0]["end_date"]}}


def current_phase(schedule: Document) -> dict[str, Any]:
    start = schedule["current_phase"]["start_date"]
    return next(phase for phase in schedule["phases"] if phase["start_date"] == start)


def _plan(sandbox: Sandbox, schedule: Document) -> None:
    kinds = ("subscription_schedule.phase_ends", "subscription_schedule.starts")
    for kind in kinds:
        sandbox.due_work.forget(kind, schedule["id"])
    if schedule["status"] == "active":
        sandbox.due_work.add(schedule["current_phase"]["end_date"], kinds[0], schedule["id"])
    elif schedule["status"] == "not_started":
        sandbox.due_work.add(schedule["phases"][0]["start_date"], kinds[1], schedule["id"])


# Before the renewal of the same second, which shall bill the new phase's prices.
@due("subscription_schedule.phase_ends", rank=1)
def _reach_phase_end(sandbox: Sandbox, schedule_id: str) -> None:
    schedule = sandbox.store.get(schedule_id)
    if schedule is None or schedule["status"] != "active":
        return
    end = schedule["current_phase"]["end_date"]
    if end > sandbox.clock.now():
        return
    subscription = sandbox.get("subscription", schedule["subscription"])
    following = next((phase for phase in schedule["phases"] if phase["start_date"] == end), None)
    if following is None:
        if schedule["end_behavior"] == "cancel":
            _complete(sandbox, schedule, subscription)
        else:
            release(sandbox, schedule)
        return
    current = {"start_date": following["start_date"], "end_date": following["end_date"]}
    sandbox.change(schedule, "subscription_schedule.updated", {"current_phase": current})
    _plan(sandbox, schedule)
    _enter(sandbox, subscription, following, following["proration_behavior"])


def _wished_items(items: list[Document], phase: dict[str, Any]) -> list[dict[str, Any]]:
    """The `items` of an update that makes the subscription hold what the phase says.

    An item with the same price stays the same item; the others take over what is left, in order.
    """
    wanted = list(phase["items"])
    wished, left = [], []
    for item in items:
        match = next((one for one in wanted if one["price"] == item["price"]), None)
        if match is None:
            left.append(item)
            continue
        wanted.remove(match)
        if match.get("quantity") != item.get("quantity"):
            wished.append({"id": item["id"], "quantity": match["quantity"]})
    for item in left:
        if wanted:
            one = wanted.pop(0)
            wish = {"id": item["id"], "price": one["price"]}
            wished.append({**wish, "quantity": one["quantity"]} if "quantity" in one else wish)
        else:
            wished.append({"id": item["id"], "deleted": True})
    for one in wanted:
        wish = {"price": one["price"]}
        wished.append({**wish, "quantity": one["quantity"]} if "quantity" in one else wish)
    return wished


def _enter(sandbox: Sandbox, subscription: Document, phase: dict[str, Any], proration_behavior: str) -> None:
    """Let the subscription hold what the phase says."""
    changes = {"metadata": {**subscription["metadata"], **phase["metadata"]}} if phase["metadata"] else {}
    made = plan_phase(sandbox, subscription, phase, proration_behavior)
    if made is None:
        sandbox.change(subscription, "customer.subscription.updated", changes)
    else:
        subscription_changes.commit(sandbox, subscription, made, changes=changes)


def plan_phase(
    sandbox: Sandbox, subscription: Document, phase: dict[str, Any], proration_behavior: str
) -> subscription_changes.Plan | None:
    """What entering the phase now changes in the subscription; None when it holds that already."""
    items = subscriptions.items_of(sandbox, subscription)
    wished = _wished_items(items, phase)
    if not wished:
        return None
    if min(item["current_period_end"] for item in items) <= sandbox.clock.now():
        return _at_boundary(sandbox, subscription, copy.deepcopy(items), wished)
    wish = {"items": wished, "proration_behavior": proration_behavior}
    return subscription_changes.plan(sandbox, subscription, wish)


def _at_boundary(
    sandbox: Sandbox, subscription: Document, items: list[Document], wished: list[dict[str, Any]]
) -> subscription_changes.Plan:
    """Other items where a period ends: there is nothing to prorate, the renewal follows at once."""
    after, removed, _ = subscription_changes.wanted_items(sandbox, subscription, items, wished)
    end = min(item["current_period_end"] for item in items)
    recurring = sandbox.get("price", items[0]["price"])["recurring"]
    fresh = sandbox.get("price", after[0]["price"])["recurring"]
    same = (recurring["interval"], recurring["interval_count"]) == (
        fresh["interval"],
        fresh["interval_count"],
    )
    changes = {} if same else {"billing_cycle_anchor": end}
    return subscription_changes.Plan(after, removed, changes)


def at_period_end(
    sandbox: Sandbox, schedule: Document, subscription: Document, items: list[Document]
) -> tuple[list[Document], dict[str, Any]]:
    """What a preview of the renewal has to know: the items and changes with which the period ends.

    `schedule` may be one that is only thought of. Raises 400 when a phase begins earlier than the period ends.
    """
    end = min(item["current_period_end"] for item in items)
    current = schedule["current_phase"]
    if current is None or current["end_date"] > end:
        return items, {}
    following = next((phase for phase in schedule["phases"] if phase["start_date"] == current["end_date"]), None)
    if following is None:
        return items, {"cancel_at": current["end_date"]} if schedule["end_behavior"] == "cancel" else {}
    if current["end_date"] < end:
        raise not_emulated("A preview of a phase that begins within a period", "schedule")
    wished = _wished_items(items, following)
    if not wished:
        return items, {}
    made = _at_boundary(sandbox, subscription, items, wished)
    return made.items, made.changes


def release(sandbox: Sandbox, schedule: Document) -> Document:
    """Let the subscription go on by itself, as it is now."""
    if schedule["status"] not in LIVE:
        raise invalid(f"You cannot release a subscription schedule that is {schedule['status']}.")
    subscription_id = schedule["subscription"]
    sandbox.change(
        schedule,
        changes={
            "current_phase": None,
            "released_at": sandbox.clock.now(),
            "released_subscription": subscription_id,
            "status": "released",
            "subscription": None,
        },
    )
    _plan(sandbox, schedule)
    sandbox.events.emit("subscription_schedule.released", schedule)
    if subscription_id:
        subscription = sandbox.get("subscription", subscription_id)
        sandbox.change(subscription, "customer.subscription.updated", {"schedule": None})
    return schedule


def _complete(sandbox: Sandbox, schedule: Document, subscription: Document) -> None:
    """end_behavior=cancel: the last phase is over, and so is the subscription."""
    changes = {"completed_at": sandbox.clock.now(), "current_phase": None, "status": "completed"}
    sandbox.change(schedule, changes=changes)
    sandbox.events.emit("subscription_schedule.completed", schedule)
    subscriptions.cancel(sandbox, subscription)


def cancel(sandbox: Sandbox, schedule: Document, *, prorate: bool, invoice_now: bool) -> Document:
    """End the schedule and the subscription it leads, at once."""
    if schedule["status"] not in LIVE:
        raise invalid(f"You cannot cancel a subscription schedule that is {schedule['status']}.")
    changes = {"canceled_at": sandbox.clock.now(), "current_phase": None, "status": "canceled"}
    sandbox.change(schedule, changes=changes)
    _plan(sandbox, schedule)
    sandbox.events.emit("subscription_schedule.canceled", schedule)
    if schedule["subscription"]:
        subscription = sandbox.get("subscription", schedule["subscription"])
        subscription_changes.cancel(sandbox, subscription, {}, prorate=prorate, invoice_now=invoice_now)
    return schedule
