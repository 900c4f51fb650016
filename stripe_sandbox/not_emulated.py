"""What was asked of the sandbox that it does not have: GET /_sandbox/not-emulated shows it.

Unknown URLs and parameters stand here too: at Stripe they are errors just the same, but whoever wonders why
his request fails wants to know which of the two it is.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("stripe_sandbox")

_MOST = 500  # different ones; a fuzzer must not fill the memory


class NotEmulated:
    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], dict[str, Any]] = {}

    def note(self, method: str, path: str, message: str, param: str | None, now: int) -> None:
        """Count a request that was refused because the sandbox, or Stripe, knows no such thing."""
        log.warning("not emulated: %s %s: %s", method, path[:200], message[:300])
        key = (method, path, param or message)
        if key not in self._found and len(self._found) >= _MOST:
            return
        entry = self._found.setdefault(
            key,
            {"method": method, "path": path, "param": param, "message": message, "count": 0, "first_at": now},
        )
        entry["count"] += 1
        entry["last_at"] = now

    def listing(self) -> list[dict[str, Any]]:
        """The most recent first."""
        return sorted(self._found.values(), key=lambda entry: -entry["last_at"])

    def clear(self) -> None:
        self._found.clear()
