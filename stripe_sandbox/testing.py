"""The local Stripe inside a test run.

    server = SandboxServer()
    server.start()
    stripe.api_key, stripe.api_base = server.secret_key, server.url
    ...
    server.pay(session.id, card="4000000000000002")     # raises CardDeclined
    for delivery in server.take_deliveries():           # no live server needed: post them yourself, in any
    order
        client.post("/webhook", delivery.body, content_type="application/json", headers=delivery.headers)

The pytest fixtures `stripe_server` and `stripe` are in stripe_sandbox.pytest_plugin.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from . import contract, control
from .deliveries import signed
from .errors import StripeError
from .resources import webhook_endpoints
from .sandbox import DEFAULT_SECRET_KEY, DEFAULT_WEBHOOK_SECRET, Exchange, Sandbox, Settings
from .server import ThreadedServer, listen


class CardDeclined(Exception):
    """The card was refused; the session is still open. code and decline_code are Stripe's."""

    def __init__(self, error: StripeError) -> None:
        super().__init__(str(error))
        self.code: str | None = error.body.get("code")
        self.decline_code: str | None = error.body.get("decline_code")
        self.error = error.body


@dataclass
class Delivery:
    """One event, signed as Stripe would send it."""

    event: dict[str, Any]
    body: bytes
    headers: dict[str, str]

    @property
    def type(self) -> str:
        return self.event["type"]


class SandboxServer:
    """A local Stripe on a free port, in memory, in this process. Its methods act at once, without HTTP."""

    def __init__(
        self,
        *,
        secret_key: str = DEFAULT_SECRET_KEY,
        webhook_secret: str = DEFAULT_WEBHOOK_SECRET,
        database: str = ":memory:",
        retry_gaps_seconds: tuple[float, ...] = (0.05, 0.1),
    ) -> None:
        self.secret_key = secret_key
        self.webhook_secret = webhook_secret
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sandbox = Sandbox(
            Settings(
                database=database,
                secret_key=secret_key,
                webhook_secret=webhook_secret,
                public_url=self.url,
                allow_reset=True,
                # At once, but still after everything else: tests neither wait nor lose it.
                follow_up_seconds=0,
                retry_gaps_seconds=retry_gaps_seconds,
            )
        )
        self._server = ThreadedServer(self.sandbox, self._listener)
        self._taken = 0

    def start(self) -> SandboxServer:
        self.sandbox.start()
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()
        self.sandbox.stop()

    def reset(self) -> None:
        """Forget every object, event, delivery and registered endpoint. Takes milliseconds."""
        self.sandbox.reset()
        self._taken = 0
        self.latency = 0.0

    @property
    def latency(self) -> float:
        """Seconds that every API answer takes; 0 unless a test wants to see what happens meanwhile."""
        return self._server.app.state.api.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._server.app.state.api.latency = seconds

    # ------------------------------------------------------------ what a customer does
    def pay(
        self, session_id: str, card: str = "4242424242424242", challenge: str = "succeed"
    ) -> dict[str, Any]:
        """Pay an open Checkout Session as its page does; return the completed session.

        `challenge` ("succeed" or "fail") answers a card that asks for 3D Secure. Raises CardDeclined.
        """
        try:
            with self.sandbox.lock:
                self.sandbox.run_due_work()
                return control.pay_session(self.sandbox, session_id, card, challenge)
        except StripeError as error:
            if error.status == 402:
                raise CardDeclined(error) from None
            raise
        finally:
            self.sandbox.deliveries.release()

    def cancel(self, session_id: str) -> dict[str, Any]:
        """Leave the Checkout page by its back link: the session stays open, nothing happens."""
        with self.sandbox.lock:
            return control.cancel_session(self.sandbox, session_id)

    # ---------------------------------------------------------------- what is there
    def get(self, object_id: str) -> dict[str, Any]:
        """The object with this id, as the API shows it. Raises KeyError."""
        with self.sandbox.lock:
            self.sandbox.run_due_work()
            document = self.sandbox.store.get(object_id)
            if document is None:
                raise KeyError(object_id)
            return self.sandbox.render(document)

    def objects(self, object_type: str) -> list[dict[str, Any]]:
        """All objects of a type ("subscription", "checkout.session", ...), oldest first."""
        with self.sandbox.lock:
            self.sandbox.run_due_work()
            return [self.sandbox.render(document) for document in self.sandbox.store.find(object_type)]

    def events(self, type: str | None = None) -> list[dict[str, Any]]:
        """Events in the order in which they were made, of one type or all."""
        return [event for event in self.objects("event") if type in (None, event["type"])]

    # -------------------------------------------------------------------- webhooks
    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """Deliveries to registered endpoints with their attempts, newest first."""
        return self.sandbox.deliveries.listing(1000)

    def register_webhook(self, url: str, enabled_events: list[str] | None = None) -> dict[str, Any]:
        """Deliver to a live server, signed with `webhook_secret`. Returns the endpoint."""
        with self.sandbox.transaction():
            endpoint = webhook_endpoints.new(
                self.sandbox, url, enabled_events or ["*"], secret=self.webhook_secret
            )
            return self.sandbox.render(endpoint)

    def pause_webhooks(self) -> None:
        self.sandbox.deliveries.pause(True)

    def resume_webhooks(self) -> None:
        self.sandbox.deliveries.pause(False)

    def signed(self, event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """(body, headers) of an attempt to deliver this event now, signed with `webhook_secret`."""
        return signed(event, self.webhook_secret, int(self.sandbox.clock.wall()))

    def take_deliveries(self) -> list[Delivery]:
        """The events made since the last call, signed, in order; whether or not an endpoint is registered."""
        events = self.events()
        fresh, self._taken = events[self._taken :], len(events)
        return [Delivery(event, *self.signed(event)) for event in fresh]


@dataclass
class Recorder:
    """Checks every request, answer and event of a sandbox against the contract, and counts them.

    A request that the contract forbids must have been refused with a 4xx; every 200 must be what the contract
    promises, every error an error of its shape.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unemulated: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._contract = contract.load()
        self._lock = threading.Lock()

    def watch(self, sandbox: Sandbox) -> Recorder:
        sandbox.observers.append(self.exchange)
        sandbox.event_observers.append(self.event)
        return self

    def exchange(self, exchange: Exchange) -> None:
        with self._lock:
            self.counts["requests"] += 1
            self._check_request(exchange)
            self.counts["responses"] += 1
            if exchange.status == 200:
                found = self._contract.response_errors(exchange.body)
            else:
                self.counts["error responses"] += 1
                error = exchange.body.get("error", {})
                found = self._contract.error_errors(error)
                if error.get("code") and error["code"] not in self._contract.doc["error_codes"]:
                    found.append(f"Stripe has no error code {error['code']}")
            self._note(f"answer to {exchange.method} {exchange.path}", found)

    def _check_request(self, exchange: Exchange) -> None:
        found = self._contract.route(exchange.method, exchange.path)
        errors: list[Any] = ["no such URL"]
        if found:
            operation = self._contract.operation_at(exchange.method, found[0])
            errors = self._contract.parse(operation, exchange.pairs)[1]
        if not errors:
            self.counts["valid requests"] += 1
        elif 400 <= exchange.status < 500:
            self.counts["invalid requests, refused"] += 1
        else:
            self.problems.append(f"{exchange.method} {exchange.path}: accepted in spite of {errors}")
        message = exchange.body.get("error", {}).get("message", "") if exchange.status != 200 else ""
        if "not emulated" in message:
            self.unemulated[f"{exchange.method} {exchange.path.split('/')[2]}: {message[:120]}"] += 1

    def event(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.counts["events"] += 1
            found = self._contract.response_errors(event) + self._contract.response_errors(
                event["data"]["object"]
            )
            self._note(f"event {event['type']}", found)

    def _note(self, what: str, errors: list[str]) -> None:
        self.problems += [f"{what}: {error}" for error in errors]

    def summary(self) -> str:
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.items())
        return f"Stripe contract: {counts or 'no traffic'}; {len(self.problems)} violations"
