"""The sandbox's clock. All code asks it for the time; nothing else calls time.time().

There are several timelines. The global one is real time plus an offset, which Sandbox.advance moves forward
and the store keeps. Every test clock (https://docs.stripe.com/billing/testing/test-clocks) is a timeline of
its own, that stands still until it is advanced. At any moment the code lives on one of them: `timeline` names
it, `now()` tells its time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

GLOBAL = ""  # the timeline of everything that belongs to no test clock


class Clock:
    """Business time, which can be set apart from real time, and real time for what happens on the wire.

    Every moment is a Unix timestamp in whole seconds, as in Stripe's objects.
    """

    def __init__(self) -> None:
        self._frozen: int | None = None
        self._global_frozen: int | None = None
        self._stopped_at: int | None = None
        self.offset = 0  # how far the global timeline is ahead of real time, in seconds
        self.timeline = GLOBAL

    def now(self) -> int:
        """The moment the objects live in: `created`, periods, expiries."""
        return self._frozen if self._frozen is not None else self._started_from() + self.offset

    def global_now(self) -> int:
        """The global timeline's time, also while the code lives on a test clock's."""
        frozen = self._global_frozen
        return frozen if frozen is not None else self._started_from() + self.offset

    def _started_from(self) -> int:
        """Real time, where the global timeline runs with it."""
        return self._stopped_at if self._stopped_at is not None else int(time.time())

    def stop(self, moment: int | None) -> None:
        """Let the global timeline stand still at `moment`, for tests: it moves when it is set, and not in between.
        None lets it run with real time again.
        """
        self._stopped_at = moment

    def offset_at(self, moment: int) -> int:
        """How far ahead of real time the global timeline is when it stands at `moment`."""
        return moment - (self._stopped_at if self._stopped_at is not None else int(self.wall()))

    def wall(self) -> float:
        """Real time, for what another process checks against its own clock: signatures, retry gaps."""
        return time.time()

    def wall_at(self, moment: int) -> float:
        """When, in real time, the global timeline will reach `moment` by itself. Where it stands still: it has (0) or
        never will.
        """
        if self._stopped_at is not None:
            return 0.0 if moment <= self._stopped_at + self.offset else math.inf
        return float(moment - self.offset)

    @contextmanager
    def at(self, moment: int, timeline: str | None = None) -> Iterator[None]:
        """Live at `moment` for a while, on this timeline or another.

        Work that fell due earlier happens with the time it fell due.
        """
        before = self._frozen, self._global_frozen, self.timeline
        self._frozen = moment
        if timeline is not None:
            self.timeline = timeline
        if self.timeline == GLOBAL:
            self._global_frozen = moment
        try:
            yield
        finally:
            self._frozen, self._global_frozen, self.timeline = before
