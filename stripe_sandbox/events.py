"""Events: the only place that makes them. https://docs.stripe.com/api/events

An event holds a snapshot: the object as it was when the event was made. Each event is queued for every
webhook endpoint that wants its type; deliveries.py sends it after the request that caused it was answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import API_VERSION
from .store import Document

if TYPE_CHECKING:
    from .sandbox import Sandbox


class Events:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._unobserved: list[Document] = []

    def emit(self, type: str, obj: Document, previous_attributes: dict[str, Any] | None = None) -> Document:
        """Record that something happened to `obj` (a document, or a snapshot made by Sandbox.render)."""
        sandbox = self._sandbox
        data: dict[str, Any] = {"object": sandbox.render(obj)}
        if previous_attributes is not None:
            data["previous_attributes"] = previous_attributes
        event = sandbox.new(
            "event",
            {
                "api_version": API_VERSION,
                "data": data,
                "pending_webhooks": 0,
                "request": {"id": sandbox.request.id, "idempotency_key": sandbox.request.idempotency_key},
                "type": type,
            },
        )
        sandbox.deliveries.enqueue(event)
        self._unobserved.append(event)
        return event

    def show(self) -> None:
        """Show what was committed to the observers (the contract recorder of a test run)."""
        self._sandbox.chaos.settle()
        events, self._unobserved = self._unobserved, []
        for observer in self._sandbox.event_observers:
            for event in events:
                observer(event)

    def forget(self) -> None:
        """The transaction was rolled back: these events never were."""
        self._sandbox.chaos.forget()
        self._unobserved.clear()
