"""Chaos by seed: switches that make the API and the webhooks as unreliable as a network can be.

Each switch is a probability. Every decision is drawn from a generator of its own, keyed by (seed, fault, what
it is about, its ordinal): the third POST /v1/customers and the second customer.created meet the same fate in
every run with that seed, however threads and other requests come in between. Ordinals begin anew when the
switches are set. Nothing of this is stored: a restart heals.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import StripeError, invalid

if TYPE_CHECKING:
    from .sandbox import Sandbox

# What can happen to an API request, in the order in which it is looked at.
REQUEST_FAULTS: dict[str, str] = {
    "rate_limited": "Answer 429 and do nothing",
    "no_answer": "Do nothing and close the connection without an answer",
    "server_error": "Answer 500, change nothing; a repeat with the same Idempotency-Key gets the 500 again",
    "slow": "Do it, and answer late",
    "die_after_write": "Do it, and close the connection without an answer (POST and DELETE)",
}
# What can happen to the delivery of an event to an endpoint.
DELIVERY_FAULTS: dict[str, str] = {
    "drop": "Never send it by itself",
    "duplicate": "Send it twice",
    "delay": "Send it late",
    "reorder": "Let the next one to three go first",
}
PROBABILITIES = (*REQUEST_FAULTS, *DELIVERY_FAULTS)
# Their sizes, and the plain limit that Stripe has and chaos does not need: 25 a second in a Stripe sandbox.
SIZES: dict[str, tuple[float, float]] = {  # name -> (default, largest)
    "slow_seconds": (2.0, 60.0),
    "delay_seconds": (3.0, 3600.0),
    "requests_per_second": (0, 1000),
}
_LARGEST_SEED = 2**53 - 1
_LONGEST_HISTORY = 10_000
_MOST_OVERTAKING = 3


@dataclass(frozen=True)
class Fate:
    """What shall happen to one request or delivery: names of faults, and their sizes."""

    faults: frozenset[str] = frozenset()
    delay_seconds: float = 0.0
    overtaken_by: int = 0  # how many later deliveries go first

    def __contains__(self, fault: str) -> bool:
        return fault in self.faults


CALM = Fate()


@dataclass
class _Scripted:
    """A fault that a test has asked for by name, for the next delivery that fits."""

    fault: str
    stream: str  # "endpoint" or "taken"
    type: str | None


class Chaos:
    """The switches, what they decided so far, and the faults that tests have scripted."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.seed = 0
        self._probability: dict[str, float] = {}
        self._size = {name: default for name, (default, _) in SIZES.items()}
        self._ordinals: Counter[tuple[str, ...]] = Counter()
        self._history: list[dict[str, Any]] = []
        self._scripted: list[_Scripted] = []
        # What was decided in the transaction that is under way: it may be taken back.
        self._tentative: list[tuple[tuple[str, ...] | None, _Scripted | None]] = []
        self._history_before: int | None = None
        self._arrivals: deque[float] = deque()

    # ----------------------------------------------------------------- switches
    @property
    def active(self) -> bool:
        return bool(self._probability) or self._size["requests_per_second"] > 0

    @property
    def slow_seconds(self) -> float:
        return self._size["slow_seconds"]

    def set(self, given: dict[str, Any]) -> None:
        """Set the switches to exactly these; what is left out is off. {} heals. Raises 400."""
        for name, value in given.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name == "seed":
                if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_SEED:
                    raise invalid("seed must be a whole number from 0 on.", "seed")
            elif name in PROBABILITIES:
                if not is_number or not 0 <= value <= 1:
                    raise invalid(f"{name} must be a probability from 0 to 1.", name)
            elif name in SIZES:
                if not is_number or not 0 <= value <= SIZES[name][1]:
                    raise invalid(f"{name} must be from 0 to {SIZES[name][1]:g}.", name)
            else:
                known = ", ".join(("seed", *PROBABILITIES, *SIZES))
                message = f"Received unknown parameter: {name[:80]}. The switches are {known}."
                raise invalid(message, name[:80], "parameter_unknown")
        with self._sandbox.lock:
            self.heal()
            if not given:
                return
            self.seed = given.get("seed", 0)
            self._probability = {name: given[name] for name in PROBABILITIES if given.get(name)}
            self._size.update({name: given[name] for name in SIZES if name in given})
            self._ordinals.clear()
            self._history.clear()

    def heal(self) -> None:
        """Everything off, scripted faults included. The history stays until the switches are set again."""
        with self._sandbox.lock:
            self._probability = {}
            self._size = {name: default for name, (default, _) in SIZES.items()}
            self._scripted.clear()
            self._arrivals.clear()

    def forget_everything(self) -> None:
        with self._sandbox.lock:
            self.heal()
            self.seed = 0
            self._ordinals.clear()
            self._history.clear()

    def shown(self) -> dict[str, Any]:
        """The switches as they are, and what they did."""
        return {
            "active": self.active,
            "seed": self.seed,
            **{name: self._probability.get(name, 0) for name in PROBABILITIES},
            **self._size,
            "history": self.history(),
        }

    def history(self, latest_first: bool = False) -> list[dict[str, Any]]:
        """What was disturbed: {what, stream, ordinal, faults}.

        In an order of its own (by what and ordinal), not by time: two requests that ran at once have no
        order, and the same seed shall give the same history.
        """
        with self._sandbox.lock:
            if latest_first:
                return self._history[::-1]
            return sorted(self._history, key=lambda entry: (entry["stream"], entry["what"], entry["ordinal"]))

    # ---------------------------------------------------------------- decisions
    def for_request(self, method: str, path: str) -> Fate:
        """The fate of an API request. A URL that Stripe does not have has none."""
        if not self._probability or not any(name in self._probability for name in REQUEST_FAULTS):
            return CALM
        found = self._sandbox.contract.route(method, path)
        if found is None:
            return CALM
        what = f"{method} {found[0]}"
        with self._sandbox.lock:
            ordinal = self._next_ordinal("request", what)
            faults = {
                fault
                for fault in REQUEST_FAULTS
                if (fault != "die_after_write" or method != "GET") and self._hits(fault, "request", what, ordinal)
            }
            for first in ("rate_limited", "no_answer"):  # nothing is done: what else could happen does not
                if first in faults:
                    faults = {first}
            self._note("request", what, ordinal, faults)
        return Fate(frozenset(faults))

    def over_the_limit(self) -> bool:
        """Whether this request exceeds requests_per_second (real time; not part of the history)."""
        limit = self._size["requests_per_second"]
        if not limit:
            return False
        now = self._sandbox.clock.wall()
        while self._arrivals and self._arrivals[0] <= now - 1:
            self._arrivals.popleft()
        if len(self._arrivals) >= limit:
            return True
        self._arrivals.append(now)
        return False

    def for_delivery(self, stream: str, event_type: str) -> Fate:
        """The fate of one event on its way: `stream` is an endpoint's number, or "taken" for tests that take
        deliveries themselves. Call inside a transaction, or `settle` afterwards.
        """
        if not self._probability and not self._scripted:
            return CALM
        what, faults = event_type, set()
        if self._history_before is None:
            self._history_before = len(self._history)
        ordinal = 0
        if self._probability:
            ordinal = self._next_ordinal(stream, what)
            self._tentative.append(((stream, what), None))
            faults = {fault for fault in DELIVERY_FAULTS if self._hits(fault, stream, what, ordinal)}
        kind = "taken" if stream == "taken" else "endpoint"
        for scripted in self._scripted:
            if scripted.stream == kind and scripted.type in (None, event_type):
                self._scripted.remove(scripted)
                self._tentative.append((None, scripted))
                faults.add(scripted.fault)
                break
        if "drop" in faults:
            faults = {"drop"}
        if not faults:
            return CALM
        self._note(stream, what, ordinal, faults)
        generator = self._generator("size", stream, what, ordinal)
        seconds = self._size["delay_seconds"] * generator.uniform(0.5, 1)
        overtaken_by = generator.randint(1, _MOST_OVERTAKING)
        return Fate(
            frozenset(faults),
            seconds if "delay" in faults else 0.0,
            overtaken_by if "reorder" in faults else 0,
        )

    def _next_ordinal(self, stream: str, what: str) -> int:
        self._ordinals[stream, what] += 1
        return self._ordinals[stream, what]

    def _hits(self, fault: str, stream: str, what: str, ordinal: int) -> bool:
        probability = self._probability.get(fault, 0)
        return probability > 0 and self._generator(fault, stream, what, ordinal).random() < probability

    def _generator(self, *key: Any) -> random.Random:
        return random.Random("/".join(map(str, (self.seed, *key))))

    def _note(self, stream: str, what: str, ordinal: int, faults: Collection[str]) -> None:
        if faults and len(self._history) < _LONGEST_HISTORY:
            self._history.append({"stream": stream, "what": what, "ordinal": ordinal, "faults": sorted(faults)})

    # ------------------------------------------------- scripted faults, transactions
    def script(self, fault: str, stream: str, event_type: str | None = None, count: int = 1) -> None:
        """Let the next `count` deliveries (of a type) meet this fault, whatever the switches say."""
        assert fault in DELIVERY_FAULTS, fault
        with self._sandbox.lock:
            self._scripted += [_Scripted(fault, stream, event_type) for _ in range(count)]

    def settle(self) -> None:
        """What was decided for events stands: their transaction was committed."""
        self._tentative.clear()
        self._history_before = None

    def forget(self) -> None:
        """Their transaction was rolled back: these events never were, so they had no fate either."""
        for key, scripted in reversed(self._tentative):
            if key is not None:
                self._ordinals[key] -= 1
            if scripted is not None:
                self._scripted.insert(0, scripted)
        if self._history_before is not None:
            del self._history[self._history_before :]
        self.settle()


def rate_limited() -> StripeError:
    """429 as Stripe words it; api.py adds the header that tells the reason."""
    return StripeError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        executed=False,
    )


def server_error() -> StripeError:
    return StripeError(500, "An unknown error occurred. (Chaos of the local Stripe: server_error.)", type="api_error")
