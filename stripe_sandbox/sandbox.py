"""One local Stripe: settings, store, clock, events, deliveries, and the transaction around a request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from . import contract, ids
from .chaos import Chaos
from .clock import GLOBAL, Clock
from .deliveries import Deliveries
from .due_work import DueWork
from .errors import no_such
from .events import Events
from .not_emulated import NotEmulated
from .store import Document, Store

log = logging.getLogger("stripe_sandbox")

_PAUSE_SECONDS = 0.0005
# So long the clock stands still for webhooks that have a draft's hour to be answered in.
_HEARD_WITHIN_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 0.005

# Obeys the pattern that dj-stripe demands of keys. It opens nothing but a local Stripe.
DEFAULT_SECRET_KEY = "sk_test_localStripeNoMoneyMoves0000"
DEFAULT_WEBHOOK_SECRET = "whsec_localStripeNoMoneyMoves0000"


@dataclass
class Settings:
    """What a sandbox is started with."""

    database: str = ":memory:"
    secret_key: str = DEFAULT_SECRET_KEY
    webhook_url: str | None = None
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    public_url: str = "http://127.0.0.1:12111"  # what links to hosted pages begin with
    business_name: str = "Local Stripe"  # the account's name, shown on hosted pages
    allow_reset: bool = False
    # Real Stripe sends invoice_payment.paid 10-20 s after the rest; long enough here to be seen as "later".
    follow_up_seconds: int = 2
    # Gaps after the first and second failed attempt; real test mode tries 3 times over a few hours.
    retry_gaps_seconds: tuple[float, ...] = (2.0, 10.0)
    # Stripe finalizes a renewal's draft about an hour after it was made.
    finalize_after_seconds: int = 3600
    # invoice.upcoming and customer.subscription.trial_will_end come this long before.
    upcoming_days: int = 7
    trial_will_end_days: int = 3
    # When a failed renewal is tried again, in days after the first failure. Stripe's own times are chosen by
    # a model; a fixed list can be tested.
    dunning_days: tuple[int, ...] = (3, 5, 7)
    # What becomes of the subscription after the last of them: "cancel", "unpaid" or "past_due".
    after_dunning: str = "cancel"


@dataclass
class Exchange:
    """One API request and its answer, as observers (such as testing.Recorder) get it."""

    method: str
    path: str
    pairs: list[tuple[str, str]]
    status: int
    body: dict[str, Any]


@dataclass
class Request:
    """What events tell about the API request that caused them."""

    id: str | None = None
    idempotency_key: str | None = None


class Snapshot(dict[str, Any]):
    """An object as Stripe shows it at one moment: composed, without the sandbox's own notes."""


class Sandbox:
    """Everything a resource function needs. All changes happen inside `transaction()`, one at a time."""

    # Called with every new sandbox of this process, such as Recorder.watch in a test run.
    watchers: ClassVar[list[Callable[[Sandbox], object]]] = []

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.contract = contract.load()
        self.clock = Clock()
        self.store = Store(self.settings.database)
        self.request = Request()
        self.lock = threading.RLock()
        # Who is told of every request with its answer, and of every event once it is committed.
        self.observers: list[Callable[[Exchange], None]] = []
        self.event_observers: list[Callable[[Document], None]] = []
        self.chaos = Chaos(self)
        self.not_emulated = NotEmulated()
        self.events = Events(self)
        self.due_work = DueWork(self)
        self.deliveries = Deliveries(self)
        self._depth = 0
        for watch in self.watchers:
            watch(self)
        self._prepare()

    def _prepare(self) -> None:
        from .resources import accounts, webhook_endpoints  # resources need this module's types

        self.clock.offset = self.store.setting("clock_offset") or 0
        with self.transaction():
            accounts.ensure(self)
            webhook_endpoints.ensure_configured(self)
        self.deliveries.release()

    # ------------------------------------------------------------- transactions
    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the one lock and write all or nothing.

        An exception with `keeps_changes` is an outcome, not a failure: what was written before it stays.
        """
        with self.lock:
            if self._depth:  # a step inside a larger one
                yield
                return
            self.store.begin()
            self._depth += 1
            try:
                yield
            except BaseException as error:
                if getattr(error, "keeps_changes", False):
                    self._commit()
                else:
                    self.store.rollback()
                    self.events.forget()
                raise
            else:
                self._commit()
            finally:
                self._depth -= 1

    def _commit(self) -> None:
        self.store.commit()
        self.events.show()

    @contextmanager
    def caused_by(self, request: Request) -> Iterator[None]:
        """Events made inside carry this request's id and idempotency key."""
        before, self.request = self.request, request
        try:
            yield
        finally:
            self.request = before

    @property
    def in_transaction(self) -> bool:
        return self._depth > 0

    def run_due_work(self) -> int:
        """Let happen what fell due by now (renewals, expiries, follow-up events); return how much."""
        with self.lock:
            if self._depth or not self.due_work.is_due():
                return 0
            return self.due_work.run()

    # -------------------------------------------------------------------- time
    def now(self) -> int:
        """The present, for those who do not hold the lock: whoever does may live at another moment just now (what
        fell due earlier, a test clock), and the clock is one for all threads.
        """
        with self.lock:
            return self.clock.now()

    def advance(self, seconds: int) -> int:
        """Move the global clock forward; return how many pieces of work were done. See `advance_to`."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        return self.advance_to(self.now() + seconds)

    def advance_to(self, moment: int, *, webhooks_in_time: bool = False) -> int:
        """Move the global clock to `moment` (a Unix timestamp) and return when all that falls due until then
        has happened: renewals, retries, trials' ends, expiries, each in order and with its own timestamp.

        Returns how many pieces of work that were. The clock stays ahead of real time by that much, also after
        a restart; only `reset` sets it back. Customers on a test clock are not touched: those clocks have
        their own /advance. The lock is free every few milliseconds, so that requests and webhooks go on
        meanwhile; they see the clock as far as it has come. Raises ValueError for a moment in the past.

        webhooks_in_time: before a draft's hour is over, what was queued by then is sent. In real time an endpoint has
        that hour to add to the draft.
        """
        if moment < self.now():
            raise ValueError("time does not run backwards")
        done, arrived, patient = self.due_work.done, False, webhooks_in_time

        def pauses() -> bool:
            return patient and self._draft_closes_unheard(moment)

        while not arrived:
            with self.lock:
                arrived = self.due_work.run_batch(moment, self._set_clock, pauses)
            if not arrived:
                time.sleep(_PAUSE_SECONDS)  # or this thread would have the lock again before any other wakes up
                patient = patient and self._let_webhooks_be_heard(moment)
        self.deliveries.release()
        return self.due_work.done - done

    def _draft_closes_unheard(self, until: int) -> bool:
        return self.due_work.next_kind(until) == "invoice.finalizes" and self.deliveries.has_unsent()

    def _let_webhooks_be_heard(self, until: int) -> bool:
        """Returns whether it is worth waiting again: not for an endpoint that hangs."""
        with self.lock:
            if not self._draft_closes_unheard(until):
                return True
        self.deliveries.release()
        ends = time.monotonic() + _HEARD_WITHIN_SECONDS
        while time.monotonic() < ends:
            with self.lock:
                if not self.deliveries.has_unsent():
                    return True
            time.sleep(_LOOK_EVERY_SECONDS)
        return False

    def _set_clock(self, moment: int) -> None:
        offset = self.clock.offset_at(moment)
        if offset > self.clock.offset:
            self.clock.offset = offset
            self.store.set_setting("clock_offset", offset)

    def timeline_of(self, document: Document) -> str:
        """The test clock on which an object lives, by itself or through its customer; GLOBAL for none."""
        if document["object"] == "test_helpers.test_clock":
            return document["id"]
        if "test_clock" in document:
            return document["test_clock"] or GLOBAL
        customer = self.store.get(document["customer"]) if document.get("customer") else None
        return (customer or {}).get("test_clock") or GLOBAL

    @contextmanager
    def in_time_of(self, document: Document | None) -> Iterator[None]:
        """Live on the object's timeline: what belongs to a test clock happens at its frozen time."""
        timeline = self.timeline_of(document) if document else GLOBAL
        clock = self.store.get(timeline) if timeline != GLOBAL else None
        if clock is None or clock.get("deleted") or self.clock.timeline == timeline:
            yield
            return
        with self.clock.at(clock["frozen_time"], timeline):
            yield

    def reset(self) -> None:
        """Forget everything but the configuration. Takes milliseconds."""
        with self.lock:
            with self.transaction():
                self.store.clear()
            self.chaos.forget_everything()
            self.not_emulated.clear()
            self._prepare()

    def save_state(self) -> Any:
        """Everything that is there now, to come back to with `restore_state` as often as one likes."""
        with self.lock:
            return self.store.copy()

    def restore_state(self, saved: Any) -> None:
        """Be as it was then; chaos and the log of what is not emulated stay. About a millisecond."""
        with self.lock:
            self.store.become(saved)
            self.clock.offset = self.store.setting("clock_offset") or 0

    # ----------------------------------------------------------------- objects
    def new(self, object_type: str, values: dict[str, Any], object_id: str | None = None) -> Document:
        """Insert a document with its id, type, `created` and `livemode`."""
        document = {
            "id": object_id or ids.new(object_type),
            "object": object_type,
            "created": self.clock.now(),
            "livemode": False,
            **values,
        }
        return self.store.insert(document)

    def get(self, object_type: str, object_id: Any, param: str = "id", in_path: bool = False) -> Document:
        """Return the live object. Raises resource_missing, also for a deleted one."""
        document = self.store.get(object_id) if isinstance(object_id, str) else None
        if document is None or document["object"] != object_type or document.get("deleted") is True:
            raise no_such(object_type, str(object_id)[:200], param, in_path)
        return document

    def render(self, document: Document) -> Snapshot:
        """The object as Stripe sends it, unexpanded. A snapshot stays what it was."""
        from .resources import COMPOSERS

        if isinstance(document, Snapshot):
            return document
        shown = Snapshot({key: value for key, value in document.items() if key[0] != "_"})
        compose = COMPOSERS.get(document["object"])
        if compose and document.get("deleted") is not True:
            compose(self, document, shown)
        return shown

    def change(self, document: Document, event: str | None = None, changes: dict[str, Any] | None = None) -> Document:
        """Save changes; where something visible changed and `event` is given, announce it with
        previous_attributes.

        `document` is updated in place and returned.
        """
        before = self.render(document) if event else {}
        document.update(changes or {})
        self.store.save(document)
        if event:
            after = self.render(document)
            previous = previous_attributes(before, after)
            if previous:
                self.events.emit(event, after, previous)
        return document

    def announce(self, document: Document, event: str, before: dict[str, Any]) -> None:
        """Tell what changed since `before` was rendered, also in what the object embeds; nothing if nothing."""
        after = self.render(document)
        previous = previous_attributes(before, after)
        if previous:
            self.events.emit(event, after, previous)

    def start(self) -> None:
        """Begin to deliver webhooks and to let due work happen on its own."""
        self.deliveries.start()

    def stop(self) -> None:
        self.deliveries.stop()
        with self.lock:
            self.store.close()


def previous_attributes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What Stripe puts into event.data.previous_attributes: old values of changed keys, into sub-objects."""
    previous: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("object") != "list":
            previous[key] = previous_attributes(old, new)
        else:
            previous[key] = old
    return dict(sorted(previous.items()))
