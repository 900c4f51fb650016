"""Our gateway and the local Stripe in one process: the same bytes, no socket between them."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
from requests.structures import CaseInsensitiveDict

from billing.stripe_gateway import BoundedClient
from stripe_sandbox.chaos import CALM
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.testing import answer_without_wire


class Killed(BaseException):
    """The web process died here. No `except Exception` may hold it up, as none holds up `kill -9`."""


class NoWire(BoundedClient):
    """stripe-python's client whose requests are answered by a function call.

    Chaos on the wire is what it is on a real one: no answer is a broken connection, which the SDK tries again; a slow
    answer is a time-out, which BoundedClient does not. Retries do not sleep.

    now: Unix seconds in which Stripe lives. on_call: called before ("before") and after ("after") each request; what it
    raises ends the process. calm: no chaos, for what Stripe's own pages and dashboard do.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        now: Callable[[], int],
        *,
        on_call: Callable[[str], None] = lambda moment: None,
        calm: bool = False,
    ) -> None:
        super().__init__()
        self._sandbox, self._now, self._on_call, self._calm = sandbox, now, on_call, calm
        self.calls = 0

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[Any, int, Mapping[str, str]]:
        self.calls += 1
        self._on_call("before")
        fate = CALM if self._calm else self._sandbox.chaos.for_request(method.upper(), urlsplit(url).path)
        if "no_answer" in fate:
            raise stripe.APIConnectionError("The connection was closed.", should_retry=True)
        with self._sandbox.clock.at(self._now()):
            answer = answer_without_wire(self._sandbox, method, url, headers, post_data, fate)
        if "die_after_write" in fate:
            raise stripe.APIConnectionError("The connection was closed.", should_retry=True)
        if "slow" in fate:
            raise stripe.APIConnectionError("Request timed out.", should_retry=False)
        self._on_call("after")
        return answer.body.decode(), answer.status, CaseInsensitiveDict(answer.headers)

    def _sleep_time_seconds(self, num_retries: int, response: Any = None) -> float:
        return 0
