"""What will happen by itself when its time has come: one queue per timeline, driven by the clock.

A kind of work is a function of lifecycle/ that looks at the object again when it runs, because the object may
have changed since (a session that was completed does not expire). What falls due in the same second happens by
rank (an end comes before a renewal), then in the order in which it was planned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .clock import GLOBAL

if TYPE_CHECKING:
    from .sandbox import Sandbox

log = logging.getLogger("stripe_sandbox")

# How long others may have to wait for the lock while the clock is being moved far ahead.
BATCH_SECONDS = 0.02

HANDLERS: dict[str, Callable[[Sandbox, str], None]] = {}
RANKS: dict[str, int] = {}


class _Broken(Exception):
    """A piece of work failed inside a larger transaction."""


def due(kind: str, rank: int = 5) -> Callable[[Callable[[Sandbox, str], None]], Callable[[Sandbox, str], None]]:
    """Register the function (sandbox, object id) that does this kind of work."""

    def register(function: Callable[[Sandbox, str], None]) -> Callable[[Sandbox, str], None]:
        HANDLERS[kind] = function
        RANKS[kind] = rank
        return function

    return register


class DueWork:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.done = 0  # pieces of work of the global timeline since the start, by whichever thread

    def add(self, at: int, kind: str, object_id: str, timeline: str | None = None) -> None:
        """Do this kind of work on the object once its timeline (the present one) has reached `at`."""
        assert kind in HANDLERS, kind
        self._sandbox.store.execute(
            "INSERT INTO due_work (at, rank, kind, object_id, timeline) VALUES (?, ?, ?, ?, ?)",
            (
                at,
                RANKS[kind],
                kind,
                object_id,
                self._sandbox.clock.timeline if timeline is None else timeline,
            ),
        )

    def forget(self, kind: str, object_id: str) -> None:
        """Take back what was planned for the object."""
        self._sandbox.store.execute("DELETE FROM due_work WHERE object_id = ? AND kind = ?", (object_id, kind))

    def forget_timeline(self, timeline: str) -> None:
        """The test clock was deleted: nothing happens on it any more."""
        self._sandbox.store.execute("DELETE FROM due_work WHERE timeline = ?", (timeline,))

    def next_at(self, timeline: str = GLOBAL) -> int | None:
        """When the next work of a timeline falls due, None when nothing waits."""
        return self._sandbox.store.execute("SELECT min(at) FROM due_work WHERE timeline = ?", (timeline,)).fetchone()[0]

    def is_due(self) -> bool:
        next_at = self.next_at()
        return next_at is not None and next_at <= self._sandbox.clock.now()

    def run(self) -> int:
        """Do all that fell due on the global timeline by now; return how much."""
        before = self.done
        while self.run_next(self._sandbox.clock.now()):
            pass
        return self.done - before

    def next_kind(self, until: int) -> str | None:
        """The kind of the global timeline's next work, None when nothing falls due by `until`."""
        row = self._next(until, GLOBAL)
        return row["kind"] if row else None

    def _next(self, until: int, timeline: str) -> Any:
        """Its row (seq, at, kind, object_id), None when there is none."""
        return self._sandbox.store.execute(
            "SELECT seq, at, kind, object_id FROM due_work WHERE timeline = ? AND at <= ? "
            "ORDER BY at, rank, seq LIMIT 1",
            (timeline, until),
        ).fetchone()

    def run_batch(self, until: int, reached: Callable[[int], None], pauses: Callable[[], bool] = lambda: False) -> bool:
        """Do the next few milliseconds' worth of the global timeline's work that falls due by `until`, in one
        transaction, and tell `reached` how far that came. Not what comes when `pauses` says so.

        Returns whether that was all. A transaction for each piece would spend a third
        of the time on commits. When one fails, the batch is taken back and its pieces are done again each by itself,
        so that the others stand and only the broken one is lost.
        """
        sandbox, before = self._sandbox, self.done
        ends = time.perf_counter() + BATCH_SECONDS
        try:
            with sandbox.transaction():
                while (moment := self.run_next(until)) is not None:
                    if time.perf_counter() >= ends or pauses():
                        break
                reached(until if moment is None else moment)
            return moment is None
        except _Broken:
            tried, self.done = self.done - before + 1, before
        for _ in range(tried):
            moment = self.run_next(until)
            with sandbox.transaction():
                reached(until if moment is None else moment)
        return False

    def run_next(self, until: int, timeline: str = GLOBAL) -> int | None:
        """Do the next work of a timeline that falls due by `until`, at its own moment and in its own
        transaction. Returns that moment, None when there was nothing to do.
        """
        sandbox = self._sandbox
        row = self._next(until, timeline)
        if row is None:
            return None
        try:
            with sandbox.clock.at(row["at"], timeline), sandbox.transaction():
                sandbox.store.execute("DELETE FROM due_work WHERE seq = ?", (row["seq"],))
                HANDLERS[row["kind"]](sandbox, row["object_id"])
        except Exception as error:  # one broken piece of work must not stop all others for ever
            if sandbox.in_transaction:  # a step of something larger, which is taken back as a whole
                raise _Broken(f"{row['kind']} of {row['object_id']}") from error
            log.exception("due work %s of %s failed", row["kind"], row["object_id"])
            sandbox.store.execute("DELETE FROM due_work WHERE seq = ?", (row["seq"],))
        self.done += timeline == GLOBAL
        return row["at"]
