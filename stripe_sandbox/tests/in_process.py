"""A local Stripe without a wire, for tests that make thousands of calls at moments of their own choosing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote_plus

import httpx

from stripe_sandbox.api import ApiRequest, handle
from stripe_sandbox.app import create_app
from stripe_sandbox.sandbox import Sandbox, Settings


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status}: {error}")
        self.status, self.error = status, error
        self.code: str | None = error.get("code")


class _Defects(logging.Handler):
    """What the sandbox logs as its own defect: broken due work is skipped there, here it fails the test."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._found: list[str] = []
        logging.getLogger("stripe_sandbox").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(logging.Formatter().format(record))

    def check(self) -> None:
        found, self._found = self._found, []
        assert not found, "\n".join(found)


class InProcess:
    """`call(method, path, **params)` is the whole request, from form body to JSON, without sockets or threads.

    `now` is the moment at which the next call happens; what falls due until then happens first, at its own time.
    """

    def __init__(self) -> None:
        self.sandbox = Sandbox(Settings(follow_up_seconds=0))
        self.now = 0
        self._defects = _Defects()
        self._headers = {"authorization": f"Bearer {self.sandbox.settings.secret_key}"}

    def begin(self, moment: int) -> None:
        """Forget everything, and live at `moment`."""
        self.sandbox.reset()
        self.now = moment

    def call(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        form = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in _flat(params)).encode()
        with self.sandbox.clock.at(self.now):
            path, _, query = path.partition("?")
            answer = handle(self.sandbox, ApiRequest(method, f"/v1{path}", query.encode(), self._headers, form))
        body = json.loads(answer.body)
        assert answer.status < 500, body
        self._defects.check()
        if answer.status != 200:
            raise Refused(answer.status, body["error"])
        return body

    def post(self, path: str, **params: Any) -> dict[str, Any]:
        return self.call("POST", path, **params)

    def get(self, path: str) -> dict[str, Any]:
        return self.call("GET", path)

    def found(self, object_type: str) -> list[dict[str, Any]]:
        """All objects of a type as they are `now`, oldest first."""
        with self.sandbox.clock.at(self.now):
            self.sandbox.run_due_work()
            self._defects.check()
            return [self.sandbox.render(document) for document in self.sandbox.store.find(object_type)]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _flat(child, f"{key}[{name}]" if key else name)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _flat(child, f"{key}[{index}]")
    else:
        yield key, str(value).lower() if isinstance(value, bool) else str(value)


def status_for(stripe: Any, address: str, path: str) -> int:
    """What a machine at this address is answered. In a thread of its own: where a browser test ran before, this one has
    an event loop at work."""

    async def call() -> int:
        transport = httpx.ASGITransport(create_app(stripe.sandbox), client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path)).status_code

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(call())).result()
