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

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import authentication_page, contract, control
from .api import Answer, ApiRequest, handle
from .chaos import CALM, Fate
from .deliveries import signed
from .errors import StripeError, card_error
from .lifecycle import checkout_sessions, hosted_invoices
from .resources import webhook_endpoints
from .sandbox import DEFAULT_SECRET_KEY, DEFAULT_WEBHOOK_SECRET, Exchange, Sandbox, Settings
from .server import ThreadedServer, listen
from .testing_portal import CustomerPortal

if TYPE_CHECKING:
    import stripe


# stripe-python's HTTPClient.request: (client, method, url, headers, form) -> (content, status, headers).
Request = Callable[..., tuple[Any, int, Mapping[str, str]]]


def answer_without_wire(
    sandbox: Sandbox, method: str, url: str, headers: Mapping[str, str] | None, form: Any = None, fate: Fate = CALM
) -> Answer:
    """What `handle` answers to a request as stripe-python makes it: the same bytes, and no socket between them."""
    parts = urlsplit(url)
    named = {name.lower(): value for name, value in (headers or {}).items()}
    request = ApiRequest(method.upper(), parts.path, parts.query.encode(), named, (form or "").encode())
    return handle(sandbox, request, fate)


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


class DeliveryLog(Sequence[dict[str, Any]]):
    """The deliveries to registered endpoints with their attempts, newest first, and what shall become of the
    next ones.

    The latter is about registered endpoints if there are any, else about what take_deliveries() returns.
    """

    def __init__(self, server: SandboxServer) -> None:
        self._server = server
        self._sandbox = server.sandbox

    # ------------------------------------------------------------------ the record
    def _listing(self) -> list[dict[str, Any]]:
        return self._sandbox.deliveries.listing(1000)

    def __getitem__(self, index: Any) -> Any:
        return self._listing()[index]

    def __len__(self) -> int:
        return len(self._listing())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._listing())

    def __eq__(self, other: object) -> bool:
        return self._listing() == (other._listing() if isinstance(other, DeliveryLog) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._listing())

    # ------------------------------------------------------------- what shall happen
    def drop_next(self, type: str | None = None, count: int = 1) -> None:
        """The next one (of this type) is never sent by itself."""
        self._script("drop", type, count)

    def duplicate_next(self, type: str | None = None, count: int = 1) -> None:
        """The next one is sent twice."""
        self._script("duplicate", type, count)

    def delay_next(self, type: str | None = None, count: int = 1) -> None:
        """The next one comes late; in take_deliveries() one call later."""
        self._script("delay", type, count)

    def reorder_next(self, type: str | None = None, count: int = 1) -> None:
        """The next one lets one to three later ones go first."""
        self._script("reorder", type, count)

    def _script(self, fault: str, type: str | None, count: int) -> None:
        with self._sandbox.lock:
            live = self._sandbox.store.find("webhook_endpoint", {"status": "enabled"}, limit=1)
        self._sandbox.chaos.script(fault, "endpoint" if live else "taken", type, count)

    def hold(self) -> None:
        """Send nothing, and let take_deliveries() return nothing, until `release`."""
        self._sandbox.deliveries.pause(True)

    def release(self) -> None:
        """Go on: what was held back is sent."""
        self._sandbox.deliveries.pause(False)

    def send_again(self, delivery: str | dict[str, Any]) -> dict[str, Any]:
        """Queue a delivery again, whatever came of it."""
        return self._sandbox.deliveries.redeliver(delivery if isinstance(delivery, str) else delivery["id"])


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
        self.deliveries = DeliveryLog(self)
        self._taken = 0
        self._late: list[dict[str, Any]] = []
        self.wire_only = False

    def start(self) -> SandboxServer:
        self.sandbox.start()
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()
        self.sandbox.stop()

    def reset(self) -> None:
        """Forget every object, event, delivery and registered endpoint. Takes milliseconds, after the last request
        that is not done yet: one whose client has given up would else be done to the empty sandbox. Raises
        RuntimeError when that takes more than ten seconds."""
        until = time.monotonic() + 10
        while self._server.app.state.api.not_done:
            if time.monotonic() > until:
                raise RuntimeError("a request to the local Stripe is not done after ten seconds")
            time.sleep(0.005)
        self.sandbox.reset()
        self._taken = 0
        self._late = []
        self.latency = 0.0
        self.wire_only = False

    @property
    def latency(self) -> float:
        """Seconds that every API answer takes; 0 unless a test wants to see what happens meanwhile."""
        return self._server.app.state.api.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._server.app.state.api.latency = seconds

    @functools.cached_property
    def client(self) -> stripe.StripeClient:
        """stripe-python, pointed here: `stripe.client.v1.customers.create({...})`."""
        import stripe

        return stripe.StripeClient(self.secret_key, base_addresses={"api": self.url})

    def short_cut(self, request: Request) -> Request:
        """Around `request` of a class of stripe-python's clients: calls to this sandbox are answered where they are
        made, in a fifth of the time that two threads and HTTP between them take. Whatever is about the wire goes over
        it: calls to other addresses, and all as long as answers take time (`latency`), chaos is at work, or a test
        that makes its own says `server.wire_only = True`.

            monkeypatch.setattr(stripe.RequestsClient, "request", server.short_cut(stripe.RequestsClient.request))
        """

        @functools.wraps(request)
        def answered_here(
            client: Any, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
        ) -> tuple[Any, int, Mapping[str, str]]:
            from requests.structures import CaseInsensitiveDict

            if not url.startswith(f"{self.url}/v1/") or self._needs_wire:
                return request(client, method, url, headers, post_data)
            answer = answer_without_wire(self.sandbox, method, url, headers, post_data)
            self.sandbox.deliveries.release()
            return answer.body, answer.status, CaseInsensitiveDict(answer.headers)

        return answered_here

    @property
    def _needs_wire(self) -> bool:
        return self.wire_only or self.latency > 0 or self.sandbox.chaos.active

    # --------------------------------------------------------------------- the time
    @property
    def now(self) -> int:
        """The moment the sandbox lives in, a Unix timestamp."""
        return self.sandbox.now()

    def stop_the_clock(self, moment: int | None) -> None:
        """Live at `moment` and let time pass with `advance` only, until this is called with None: what happens in two
        calls, one after the other, happens at the same second. For tests of Stripe alone; an application beside it
        lives in real time. `reset` leads back to that moment.
        """
        with self.sandbox.lock:
            self.sandbox.clock.stop(moment)

    def advance(
        self,
        *,
        months: int = 0,
        days: int = 0,
        hours: int = 0,
        seconds: int = 0,
        to: int | datetime | None = None,
    ) -> int:
        """Move the clock forward; return once all that falls due has happened, with the new time.

        `months` are calendar months, as billing counts them; `to` is a moment instead of a distance. Only
        `reset` (so the next test) sets the clock back.
        """
        with self.sandbox.lock:
            self.sandbox.run_due_work()
            moment = control.moment_after(
                self.sandbox,
                months=months,
                days=days,
                seconds=hours * 3600 + seconds,
                to=int(to.timestamp()) if isinstance(to, datetime) else to,
            )
        self.sandbox.advance_to(moment)
        return self.now

    # --------------------------------------------------------------------- the chaos
    def chaos(self, **switches: Any) -> dict[str, Any]:
        """Set the switches, as POST /_sandbox/chaos does: `stripe.chaos(seed=1, drop=0.3)`; none heal."""
        self.sandbox.chaos.set(switches)
        return self.sandbox.chaos.shown()

    def heal(self) -> None:
        """Everything works again."""
        self.sandbox.chaos.heal()

    # ------------------------------------------------------------ what a customer does
    def card_starts_failing(self, customer: Any, card: str = control.FAILING_CARD) -> None:
        """Every later charge of the customer (an id or an object) is declined; see control.swap_card."""
        self._swap_card(customer, card)

    def card_works_again(self, customer: Any, card: str = control.WORKING_CARD) -> None:
        """A new card that works takes the place of the failing one."""
        self._swap_card(customer, card)

    def _swap_card(self, customer: Any, card: str) -> None:
        customer_id = customer if isinstance(customer, str) else customer["id"]
        try:
            control.swap_card(self.sandbox, customer_id, card)
        finally:
            self.sandbox.deliveries.release()

    def pay(self, session_id: str, card: str = "4242424242424242", challenge: str = "succeed") -> dict[str, Any]:
        """Pay an open Checkout Session as its page does; return the completed session.

        `challenge` ("succeed" or "fail") answers a card that asks for 3D Secure. Raises CardDeclined.
        """
        with self.acting():
            return control.pay_session(self.sandbox, session_id, card, challenge)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Around what a customer does: the present, the lock, webhooks afterwards, CardDeclined for a 402."""
        try:
            with self.sandbox.lock:
                self.sandbox.run_due_work()
                yield
        except StripeError as error:
            if error.status == 402:
                raise CardDeclined(error) from None
            raise
        finally:
            self.sandbox.deliveries.release()

    def card_details(self, number: str) -> dict[str, Any]:
        """What is typed besides the number: a date in the future and a CVC."""
        return control.card_details(self.sandbox, number)

    def portal(self, session: Any) -> CustomerPortal:
        """The customer in a session of the portal (an id or an object): `stripe.portal(session).cancel()`."""
        return CustomerPortal(self, session)

    def pay_invoice(
        self, invoice: Any, card: str | None = None, *, challenge: str = "succeed", keep: bool = True
    ) -> dict[str, Any]:
        """Pay an open invoice on its hosted page, with the card on file or with another by its number.

        With `keep` that other card pays all future bills too. `challenge` ("succeed" or "fail") answers a card
        that asks for 3D Secure. Returns the invoice. Raises CardDeclined.
        """
        invoice_id = invoice if isinstance(invoice, str) else invoice["id"]
        with self.acting(), self.sandbox.transaction():
            document = self.sandbox.get("invoice", invoice_id)
            with self.sandbox.in_time_of(document):
                if card is None:
                    attempt = hosted_invoices.pay_with_card_on_file(self.sandbox, document)
                else:
                    details = self.card_details(card)
                    attempt = hosted_invoices.pay_with_card(self.sandbox, document, details, {}, keep=keep)
                if not attempt.paid and not attempt.requires_action:
                    raise attempt.error(self.sandbox)
        if attempt.requires_action:
            self.authenticate(attempt.intent, challenge)
        return self.get(invoice_id)

    def authenticate(self, intent: Any, challenge: str = "succeed") -> dict[str, Any]:
        """Answer the bank (3D Secure) for a payment or setup intent (an id or an object) that waits for it.

        `challenge` is "succeed" or "fail". Returns the intent. Raises CardDeclined when it fails, or when the card
        is declined after it.
        """
        intent_id = intent if isinstance(intent, str) else intent["id"]
        with self.acting():
            document = self.sandbox.store.get(intent_id)
            if document is None:
                raise KeyError(intent_id)
            authentication_page.answer(self.sandbox, document, challenge == "succeed")
        shown = self.get(intent_id)
        failed = shown.get("last_payment_error") or shown.get("last_setup_error")
        if failed:
            raise CardDeclined(card_error(failed["message"], failed["code"], decline_code=failed.get("decline_code")))
        return shown

    def enter_code(self, session_id: str, code: str) -> dict[str, Any]:
        """Type a promotion code into the Checkout page. Raises StripeError for one that does not apply."""
        with self.sandbox.lock, self.sandbox.transaction():
            session = self.sandbox.get("checkout.session", session_id, "session")
            return self.sandbox.render(checkout_sessions.enter_code(self.sandbox, session, code))

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
    def register_webhook(self, url: str, enabled_events: list[str] | None = None) -> dict[str, Any]:
        """Deliver to a live server, signed with `webhook_secret`. Returns the endpoint."""
        with self.sandbox.transaction():
            endpoint = webhook_endpoints.new(self.sandbox, url, enabled_events or ["*"], secret=self.webhook_secret)
            return self.sandbox.render(endpoint)

    def pause_webhooks(self) -> None:
        self.sandbox.deliveries.pause(True)

    def resume_webhooks(self) -> None:
        self.sandbox.deliveries.pause(False)

    def signed(self, event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """(body, headers) of an attempt to deliver this event now, signed with `webhook_secret`."""
        return signed(event, int(self.sandbox.clock.wall()), self.webhook_secret)

    def roll_webhook_secret(self, endpoint_id: str, expire_seconds: float = 24 * 3600) -> str:
        """Give an endpoint a new secret, and return it; the former one signs along for a while."""
        return control.roll_secret(self.sandbox, endpoint_id, expire_seconds)["secret"]

    def take_deliveries(self) -> list[Delivery]:
        """The events made since the last call, signed, in order; whether or not an endpoint is registered.

        Under chaos some are missing, double, or out of order, and those that are late come with a later call.
        """
        with self.sandbox.lock:
            if self.sandbox.deliveries.paused:
                return []
            events = self.events()
            fresh, self._taken = events[self._taken :], len(events)
            return [Delivery(event, *self.signed(event)) for event in self._disturbed(fresh)]

    def _disturbed(self, fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What chaos makes of these events on their way."""
        arriving: list[dict[str, Any]] = []
        late, self._late = self._late, []
        waiting: list[tuple[int, list[dict[str, Any]]]] = []  # (how many still go first, event once or twice)
        for event in fresh:
            fate = self.sandbox.chaos.for_delivery("taken", event["type"])
            copies = [event, event] if "duplicate" in fate else [event]
            passed = [(left - 1, held) for left, held in waiting]
            waiting = [(left, held) for left, held in passed if left > 0]
            if "drop" in fate:
                copies = []
            elif "delay" in fate:
                self._late += copies
                copies = []
            elif "reorder" in fate:
                waiting.append((fate.overtaken_by, copies))
                copies = []
            arriving += copies
            for left, held in passed:
                if left <= 0:
                    arriving += held
        self.sandbox.chaos.settle()
        return [*arriving, *(event for _, held in waiting for event in held), *late]


_COUNTED = (
    "requests",
    "valid requests",
    "invalid requests, refused",
    "responses",
    "error responses",
    "events",
    "events with previous_attributes",
)


def _known_to_the_contract(body: Any) -> Any:
    """An answer in which deleted objects that were expanded ({id, object, deleted}, as Stripe gives them, where the
    contract has no room for them) stand by their id."""
    if isinstance(body, list):
        return [_known_to_the_contract(item) for item in body]
    if not isinstance(body, dict):
        return body
    return {
        key: value["id"]
        if isinstance(value, dict) and value.keys() == {"id", "object", "deleted"}
        else _known_to_the_contract(value)
        for key, value in body.items()
    }


@dataclass
class Recorder:
    """Checks every request, answer and event of a sandbox against the contract, and counts them.

    A request that the contract forbids must have been refused with a 4xx; every 200 must be what the contract
    promises for that operation, every error an error of its shape; an event's object one of its kind, and its
    previous_attributes what such an object can have had.
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
            route = self._contract.route(exchange.method, exchange.path)
            self._check_request(exchange, route[0] if route else None)
            self.counts["responses"] += 1
            if exchange.status == 200 and route:
                body = _known_to_the_contract(exchange.body)
                found = self._contract.answer_errors(exchange.method, route[0], body)
            elif exchange.status == 200:
                found = ["Stripe has no such URL"]
            else:
                self.counts["error responses"] += 1
                error = exchange.body.get("error", {})
                found = self._contract.error_errors(error)
                if error.get("code") and error["code"] not in self._contract.doc["error_codes"]:
                    found.append(f"Stripe has no error code {error['code']}")
            self._note(f"answer to {exchange.method} {exchange.path}", found)

    def _check_request(self, exchange: Exchange, template: str | None) -> None:
        errors: list[Any] = ["no such URL"]
        if template:
            operation = self._contract.operation_at(exchange.method, template)
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
            shown = event["data"]["object"]
            if event["type"] == "invoice.upcoming" and "id" not in shown:
                shown = {"id": "none", **shown}  # the one object that has no id: it is not there yet
            found = self._contract.response_errors(event) + self._contract.response_errors(shown)
            previous = event["data"].get("previous_attributes")
            if previous is not None:
                self.counts["events with previous_attributes"] += 1
                found += self._contract.previous_errors(shown["object"], previous)
            self._note(f"event {event['type']}", found)

    def totals(self) -> dict[str, Any]:
        """What was counted and found, as plain JSON; another recorder can `add` it."""
        return {"counts": dict(self.counts), "problems": self.problems, "unemulated": dict(self.unemulated)}

    def add(self, totals: dict[str, Any]) -> None:
        """Count in what a recorder of another process has seen."""
        with self._lock:
            self.counts.update(totals["counts"])
            self.problems += totals["problems"]
            self.unemulated.update(totals["unemulated"])

    def _note(self, what: str, errors: list[str]) -> None:
        self.problems += [f"{what}: {error}" for error in errors]

    def summary(self) -> str:
        counts = ", ".join(f"{self.counts[name]} {name}" for name in _COUNTED if self.counts[name])
        return f"Stripe contract: {counts or 'no traffic'}; {len(self.problems)} violations"
