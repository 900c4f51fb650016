"""Webhook deliveries: signed, sent from their own thread, tried again with growing gaps, all on record.

https://docs.stripe.com/webhooks. The thread starts on a delivery only after the request that caused it was
answered (`release`): an application that holds a lock while it waits for an answer must not wait for its own
webhook. First attempts go out in the order of the events, but for what chaos.py does to them; a retry does
not hold up later events. Like real Stripe this delivers at least once: a process that dies between sending
and noting sends again after its restart.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import ids
from .chaos import CALM, Fate
from .errors import StripeError
from .store import Document

if TYPE_CHECKING:
    from .sandbox import Sandbox

log = logging.getLogger("stripe_sandbox")

TIMEOUT_SECONDS = 10.0
IDLE_SECONDS = 30.0
# One that others shall overtake (chaos) waits for them no longer than this: there may be no others.
OVERTAKING_SECONDS = 1.0
_ANSWER_BYTES_READ = 65536


def sign(body: bytes, timestamp: int, *secrets: str) -> str:
    """The Stripe-Signature header: t=<unix> and for each secret v1=<hex hmac_sha256(secret, "t.body")>."""
    signatures = [
        hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest() for secret in secrets
    ]
    return ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signatures)])


def signed(event: dict[str, Any], timestamp: int, *secrets: str) -> tuple[bytes, dict[str, str]]:
    """Return (body, headers) of one attempt to deliver a rendered event; several secrets while one rolls."""
    body = json.dumps(event, indent=2).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": sign(body, timestamp, *secrets),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    return body, headers


def secrets_of(endpoint: Document, now: float) -> list[str]:
    """The endpoint's secret, and while it rolls the one before as well."""
    former = endpoint.get("_former_secret")
    return [endpoint["_secret"], *([former["secret"]] if former and former["until"] > now else [])]


@dataclass
class _Attempt:
    status: int | None
    error: str | None
    milliseconds: float


class Deliveries:
    """The queue of deliveries, and the thread that works it off."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._released = 0

    # ----------------------------------------------------------------- queueing
    def enqueue(self, event: Document) -> None:
        """Queue the event for every endpoint that wants its type."""
        for number, endpoint in enumerate(self._sandbox.store.all_of("webhook_endpoint"), 1):
            wanted = endpoint["enabled_events"]
            if endpoint["status"] == "enabled" and ("*" in wanted or event["type"] in wanted):
                fate = self._sandbox.chaos.for_delivery(f"endpoint {number}", event["type"])
                self._insert(event, endpoint, fate)
                if "duplicate" in fate:
                    self._insert(event, endpoint, CALM)

    def _insert(self, event: Document, endpoint: Document, fate: Fate) -> None:
        now = self._sandbox.clock.wall()
        seq = self._sandbox.store.execute(
            "INSERT INTO deliveries (id, event, endpoint, state, next_at, created, overtaken_by, chaos) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                "whd_" + ids.token(24),
                event["id"],
                endpoint["id"],
                "dropped" if "drop" in fate else "pending",
                # 0: all first attempts come before any retry, in the order of the events
                now + fate.delay_seconds if fate.delay_seconds else 0,
                now,
                fate.overtaken_by,
                " ".join(sorted(fate.faults)),
            ),
        ).lastrowid
        # Whoever waits to be overtaken has been so once more; after the last one it goes right behind it.
        self._sandbox.store.execute(
            "UPDATE deliveries SET overtaken_by = overtaken_by - 1, place = ? WHERE endpoint = ? AND seq < ? "
            "AND overtaken_by > 0 AND state = 'pending'",
            ((seq or 0) + 0.5, endpoint["id"], seq),
        )

    def release(self) -> None:
        """Let everything queued so far be sent: the request that caused it has been answered."""
        with self._sandbox.lock:
            row = self._sandbox.store.execute("SELECT max(seq) FROM deliveries").fetchone()
            self._released = row[0] or 0
        self._wake.set()

    def pending_of(self, event_id: str) -> int:
        """event.pending_webhooks: endpoints that have not yet answered 2xx."""
        row = self._sandbox.store.execute(
            "SELECT count(*) FROM deliveries WHERE event = ? AND state != 'delivered'", (event_id,)
        )
        return row.fetchone()[0]

    def refused(self, event_id: str) -> bool:
        """Whether an endpoint was told of the event and has not answered 2xx so far."""
        row = self._sandbox.store.execute(
            "SELECT 1 FROM deliveries WHERE event = ? AND state IN ('pending', 'failed') AND attempts > 0 LIMIT 1",
            (event_id,),
        )
        return row.fetchone() is not None

    def has_unsent(self) -> bool:
        """Whether a first attempt waits for nothing but its turn. For a caller that holds the lock."""
        if self.paused or self._thread is None:
            return False
        row = self._sandbox.store.execute(
            "SELECT 1 FROM deliveries WHERE state = 'pending' AND attempts = 0 AND next_at = 0 AND overtaken_by = 0 "
            "LIMIT 1"
        )
        return row.fetchone() is not None

    # -------------------------------------------------------------- the control
    @property
    def paused(self) -> bool:
        return bool(self._sandbox.store.setting("webhooks_paused"))

    def pause(self, paused: bool) -> None:
        """While paused everything queues; afterwards it is sent."""
        with self._sandbox.transaction():
            self._sandbox.store.set_setting("webhooks_paused", paused)
        self._wake.set()

    def listing(self, limit: int = 100, event: str | None = None) -> list[dict[str, Any]]:
        """Deliveries, newest first, each with its attempts."""
        store = self._sandbox.store
        with self._sandbox.lock:
            rows = store.execute(
                "SELECT * FROM deliveries WHERE (? IS NULL OR event = ?) ORDER BY seq DESC LIMIT ?",
                (event, event, limit),
            ).fetchall()
            return [self._shown(dict(row)) for row in rows]

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        store = self._sandbox.store
        attempts = store.execute(
            "SELECT at, status, error, milliseconds FROM delivery_attempts WHERE delivery = ? ORDER BY seq",
            (row["id"],),
        )
        event, endpoint = store.get(row["event"]), store.get(row["endpoint"])
        return {
            "id": row["id"],
            "event": row["event"],
            "type": event["type"] if event else None,
            "endpoint": row["endpoint"],
            "url": endpoint.get("url") if endpoint else None,
            "state": row["state"],  # pending, delivered, failed (gave up), dropped (by chaos)
            "chaos": row["chaos"].split(),
            "created": row["created"],
            "next_attempt": row["next_at"] or None if row["state"] == "pending" else None,
            "attempts": [dict(attempt) for attempt in attempts],
        }

    def redeliver(self, delivery_id: str) -> dict[str, Any]:
        """Queue a delivery again, whatever came of it. Raises 404 for an unknown id."""
        with self._sandbox.transaction():
            changed = self._sandbox.store.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 0, next_at = 0, overtaken_by = 0 WHERE id = ?",
                (delivery_id,),
            ).rowcount
            if not changed:
                raise StripeError(404, f"No such delivery: '{delivery_id}'", code="resource_missing", param="id")
            row = self._sandbox.store.execute("SELECT * FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
            shown = self._shown(dict(row))
        self._wake.set()
        return shown

    # --------------------------------------------------------------- the thread
    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stripe-sandbox-deliveries", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the attempt that is under way; what is not sent stays queued in the database."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            # Not for longer than half a second: an attempt may hang for ten, and is repeated after a restart.
            self._thread.join(0.5)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                if self._sandbox.run_due_work():
                    self.release()
                delivery = self._next()
                if delivery is None:
                    self._wake.wait(self._idle_seconds())
                else:
                    self._deliver(*delivery)
            except Exception:
                if self._stopping:
                    return
                log.exception("the delivery thread stumbled")
                time.sleep(0.2)

    def _next(self) -> tuple[dict[str, Any], Document, Document] | None:
        with self._sandbox.lock:
            if self._stopping or self.paused:
                return None
            row = self._sandbox.store.execute(
                "SELECT * FROM deliveries WHERE state = 'pending' AND next_at <= ? AND seq <= ? AND "
                "(overtaken_by = 0 OR created <= ?) ORDER BY next_at, coalesce(place, seq) LIMIT 1",
                (now := self._sandbox.clock.wall(), self._released, now - OVERTAKING_SECONDS),
            ).fetchone()
            if row is None:
                return None
            event, endpoint = self._sandbox.store.get(row["event"]), self._sandbox.store.get(row["endpoint"])
            if event is None or endpoint is None or endpoint.get("status") != "enabled":  # deleted or switched off
                with self._sandbox.transaction():
                    self._sandbox.store.execute("UPDATE deliveries SET state = 'failed' WHERE id = ?", (row["id"],))
                self._wake.set()
                return None
            return dict(row), self._sandbox.render(event), endpoint

    def _idle_seconds(self) -> float:
        with self._sandbox.lock:
            moments = [self._sandbox.clock.wall() + IDLE_SECONDS]
            due = self._sandbox.due_work.next_at()
            if due is not None:
                moments.append(self._sandbox.clock.wall_at(due))
            if not self.paused:
                retry = self._sandbox.store.execute(
                    "SELECT min(max(next_at, CASE WHEN overtaken_by THEN created + ? ELSE 0 END)) "
                    "FROM deliveries WHERE state = 'pending' AND seq <= ?",
                    (OVERTAKING_SECONDS, self._released),
                ).fetchone()[0]
                if retry is not None:
                    moments.append(retry)
            return max(0.0, min(moments) - self._sandbox.clock.wall())

    def _deliver(self, delivery: dict[str, Any], event: Document, endpoint: Document) -> None:
        started = time.monotonic()
        now = self._sandbox.clock.wall()
        body, headers = signed(event, int(now), *secrets_of(endpoint, now))
        status, error = _post(endpoint["url"], body, headers)
        self._note(delivery, _Attempt(status, error, round((time.monotonic() - started) * 1000, 1)))

    def _note(self, delivery: dict[str, Any], attempt: _Attempt) -> None:
        now = self._sandbox.clock.wall()
        # A redirect is a failure: Stripe does not follow where a secret's signature should not go.
        ok = attempt.status is not None and 200 <= attempt.status < 300
        tries = delivery["attempts"] + 1
        gaps = self._sandbox.settings.retry_gaps_seconds
        state, next_at = "delivered" if ok else "failed", 0.0
        if not ok and tries <= len(gaps):
            state, next_at = "pending", now + gaps[tries - 1]
        if not ok:
            log.warning(
                "webhook %s: attempt %d answered %s",
                delivery["event"],
                tries,
                attempt.status or attempt.error,
            )
        with self._sandbox.transaction():
            store = self._sandbox.store
            # attempts as it was when sent: a redelivery asked for meanwhile keeps its fresh start
            store.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, next_at = ? WHERE id = ? AND attempts = ?",
                (state, tries, next_at, delivery["id"], delivery["attempts"]),
            )
            store.execute(
                "INSERT INTO delivery_attempts (delivery, at, status, error, milliseconds) "
                "SELECT id, ?, ?, ?, ? FROM deliveries WHERE id = ?",  # none after a reset meanwhile
                (now, attempt.status, attempt.error, attempt.milliseconds, delivery["id"]),
            )


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
    """Return (status, None) or (None, what went wrong)."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            response.read(_ANSWER_BYTES_READ)
            return response.status, None
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"[:300]
