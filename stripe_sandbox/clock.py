"""The sandbox's clock. All code asks it for the time; nothing else calls time.time()."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Business time, which can be set apart from real time, and real time for what happens on the wire.

    Every moment is a Unix timestamp in whole seconds, as in Stripe's objects.
    """

    def __init__(self) -> None:
        self._frozen: int | None = None

    def now(self) -> int:
        """The moment the objects live in: `created`, periods, expiries."""
        return self._frozen if self._frozen is not None else int(time.time())

    def wall(self) -> float:
        """Real time, for what another process checks against its own clock: signatures, retry gaps."""
        return time.time()

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """Live at `moment` for a while: work that fell due earlier happens with the time it fell due."""
        before, self._frozen = self._frozen, moment
        try:
            yield
        finally:
            self._frozen = before
