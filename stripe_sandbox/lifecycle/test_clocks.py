"""Test clocks: timelines of their own for a few customers. https://docs.stripe.com/billing/testing/test-clocks"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..billing_cycle import next_boundary
from ..clock import GLOBAL
from ..due_work import due
from ..errors import invalid
from ..store import Document
from . import payment_methods, subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox

DELETED_AFTER_DAYS = 30
MOST_CUSTOMERS = 3
_YEAR = {"interval": "year", "interval_count": 1}


def new(sandbox: Sandbox, frozen_time: int, name: str | None) -> Document:
    """A clock that stands at `frozen_time` until it is advanced."""
    now = sandbox.clock.now()
    clock = sandbox.new(
        "test_helpers.test_clock",
        {
            "deletes_after": now + DELETED_AFTER_DAYS * 86400,
            "frozen_time": frozen_time,
            "name": name,
            "status": "ready",
            "status_details": {},
        },
    )
    sandbox.due_work.add(clock["deletes_after"], "test_clock.is_old", clock["id"], GLOBAL)
    sandbox.events.emit("test_helpers.test_clock.created", clock)
    return clock


def check_room(sandbox: Sandbox, clock: Document) -> None:
    """Stripe's limit: three customers on a clock."""
    if len(sandbox.store.find("customer", {"test_clock": clock["id"]})) >= MOST_CUSTOMERS:
        raise invalid(f"You cannot add more than {MOST_CUSTOMERS} customers to a test clock.", "test_clock")


def furthest(sandbox: Sandbox, clock: Document) -> int:
    """How far one advance may go: two intervals of the shortest subscription, two years with none."""
    now, limits = clock["frozen_time"], []
    for customer in sandbox.store.find("customer", {"test_clock": clock["id"]}):
        for subscription in sandbox.store.find("subscription", {"customer": customer["id"]}):
            if subscription["status"] in subscriptions.ENDED:
                continue
            for item in subscriptions.items_of(sandbox, subscription):
                recurring = sandbox.get("price", item["price"])["recurring"]
                limits.append(next_boundary(now, recurring, next_boundary(now, recurring, now)))
    return min(limits) if limits else next_boundary(now, _YEAR, next_boundary(now, _YEAR, now))


def advance(sandbox: Sandbox, clock: Document, frozen_time: int) -> Document:
    """ready -> advancing; the work begins right after the answer, and the clock is ready when it is done."""
    if clock["status"] != "ready":
        raise invalid("Test clock advancement underway - cannot perform modifications.")
    if frozen_time <= clock["frozen_time"]:
        raise invalid("You cannot advance a test clock to a time in the past.", "frozen_time")
    if frozen_time > furthest(sandbox, clock):
        raise invalid(
            "Cannot advance the test clock by more than two intervals of the shortest subscription on it "
            "(two years when there is none) at a time.",
            "frozen_time",
        )
    sandbox.change(
        clock,
        changes={
            "status": "advancing",
            "status_details": {"advancing": {"target_frozen_time": frozen_time}},
        },
    )
    sandbox.events.emit("test_helpers.test_clock.advancing", clock)
    sandbox.due_work.add(sandbox.clock.global_now(), "test_clock.advances", clock["id"], GLOBAL)
    return clock


@due("test_clock.advances")
def _advance(sandbox: Sandbox, clock_id: str) -> None:
    """Let all happen on the clock's timeline that falls due until the time it is to show."""
    clock = sandbox.store.get(clock_id)
    if clock is None or clock.get("status") != "advancing":
        return
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    while (reached := sandbox.due_work.run_next(target, clock_id)) is not None:
        sandbox.change(clock, changes={"frozen_time": max(clock["frozen_time"], reached)})
    sandbox.change(clock, changes={"frozen_time": target, "status": "ready", "status_details": {}})
    with sandbox.clock.at(target, clock_id):
        sandbox.events.emit("test_helpers.test_clock.ready", clock)


def delete(sandbox: Sandbox, clock: Document) -> Document:
    """The clock and its customers go; their subscriptions are canceled."""
    for customer in sandbox.store.find("customer", {"test_clock": clock["id"]}):
        for subscription in sandbox.store.find("subscription", {"customer": customer["id"]}):
            if subscription["status"] not in subscriptions.ENDED:
                subscriptions.cancel(sandbox, subscription)
        for method in sandbox.store.find("payment_method", {"customer": customer["id"]}):
            payment_methods.let_go(sandbox, method)
        sandbox.events.emit("customer.deleted", sandbox.get("customer", customer["id"]))
        sandbox.store.save({"id": customer["id"], "object": "customer", "deleted": True})
    sandbox.events.emit("test_helpers.test_clock.deleted", clock)
    sandbox.due_work.forget_timeline(clock["id"])
    return sandbox.store.save({"id": clock["id"], "object": "test_helpers.test_clock", "deleted": True})


@due("test_clock.is_old")
def _delete_old(sandbox: Sandbox, clock_id: str) -> None:
    clock = sandbox.store.get(clock_id)
    if clock and not clock.get("deleted"):
        delete(sandbox, clock)
