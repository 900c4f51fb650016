"""What will happen by itself when its time has come: one queue, driven by the clock.

A kind of work is a function of lifecycle.py that looks at the object again when it runs, because the object
may have changed since (a session that was completed does not expire). Renewals and trials' ends will be kinds
too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sandbox import Sandbox

log = logging.getLogger("stripe_sandbox")

HANDLERS: dict[str, Callable[[Sandbox, str], None]] = {}


def due(kind: str) -> Callable[[Callable[[Sandbox, str], None]], Callable[[Sandbox, str], None]]:
    """Register the function (sandbox, object id) that does this kind of work."""

    def register(function: Callable[[Sandbox, str], None]) -> Callable[[Sandbox, str], None]:
        HANDLERS[kind] = function
        return function

    return register


class DueWork:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def add(self, at: int, kind: str, object_id: str) -> None:
        """Do this kind of work on the object once the clock has reached `at`."""
        assert kind in HANDLERS, kind
        self._sandbox.store.execute(
            "INSERT INTO due_work (at, kind, object_id) VALUES (?, ?, ?)", (at, kind, object_id)
        )

    def next_at(self) -> int | None:
        """When the next work falls due, None when nothing waits."""
        return self._sandbox.store.execute("SELECT min(at) FROM due_work").fetchone()[0]

    def is_due(self) -> bool:
        next_at = self.next_at()
        return next_at is not None and next_at <= self._sandbox.clock.now()

    def run(self) -> int:
        """Do all that fell due, in order of time, each at its own moment and in its own transaction."""
        sandbox, done = self._sandbox, 0
        while True:
            row = sandbox.store.execute(
                "SELECT seq, at, kind, object_id FROM due_work WHERE at <= ? ORDER BY at, seq LIMIT 1",
                (sandbox.clock.now(),),
            ).fetchone()
            if row is None:
                return done
            try:
                with sandbox.clock.at(row["at"]), sandbox.transaction():
                    sandbox.store.execute("DELETE FROM due_work WHERE seq = ?", (row["seq"],))
                    HANDLERS[row["kind"]](sandbox, row["object_id"])
            except Exception:  # one broken piece of work must not stop all others for ever
                log.exception("due work %s of %s failed", row["kind"], row["object_id"])
                sandbox.store.execute("DELETE FROM due_work WHERE seq = ?", (row["seq"],))
            done += 1
