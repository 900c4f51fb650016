"""python -m stripe_sandbox: serve the local Stripe until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from . import API_VERSION
from .sandbox import DEFAULT_SECRET_KEY, DEFAULT_WEBHOOK_SECRET, Sandbox, Settings
from .server import configuration, listen


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    def env(name: str, default: str | None = None) -> str | None:
        return os.environ.get(f"STRIPE_SANDBOX_{name}") or default

    parser = argparse.ArgumentParser(
        prog="python -m stripe_sandbox",
        description="A local Stripe. Every option can also stand in the environment: STRIPE_SANDBOX_<NAME>.",
    )
    parser.add_argument("--host", default=env("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=env("PORT", "12111"))
    parser.add_argument("--database", default=env("DATABASE", "var/stripe_sandbox.sqlite3"), help="a file, or :memory:")
    parser.add_argument("--secret-key", default=env("SECRET_KEY", DEFAULT_SECRET_KEY), help="sk_test_...")
    parser.add_argument("--webhook-url", default=env("WEBHOOK_URL"), help="where events are delivered")
    parser.add_argument("--webhook-secret", default=env("WEBHOOK_SECRET", DEFAULT_WEBHOOK_SECRET), help="whsec_...")
    parser.add_argument(
        "--public-url",
        default=env("PUBLIC_URL"),
        help="what links to hosted pages begin with (http://host:port)",
    )
    parser.add_argument(
        "--business-name",
        default=env("BUSINESS_NAME", Settings.business_name),
        help="whom Checkout pages say you pay",
    )
    parser.add_argument(
        "--retry-gaps",
        default=env("RETRY_GAPS", ",".join(f"{gap:g}" for gap in Settings.retry_gaps_seconds)),
        help="seconds between the attempts to deliver a webhook, growing: 2,10 makes three attempts",
    )
    parser.add_argument(
        "--allow-reset",
        action="store_true",
        default=env("ALLOW_RESET", "") in ("1", "true"),
        help="let POST /_sandbox/reset forget everything",
    )
    return parser.parse_args(argv)


class _Server(uvicorn.Server):
    """uvicorn raises the signal that stopped it once more at the end; here a clean stop exits with 0."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 after a signal, 1 when the port is taken."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="stripe_sandbox: %(levelname)s %(message)s", stream=sys.stderr)
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        print(f"stripe_sandbox: cannot listen on {arguments.host}:{arguments.port}: {error}", file=sys.stderr)
        return 1
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = (arguments.public_url or f"http://{host}:{listener.getsockname()[1]}").rstrip("/")
    if arguments.database != ":memory:":
        Path(arguments.database).parent.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(
        Settings(
            database=arguments.database,
            secret_key=arguments.secret_key,
            webhook_url=arguments.webhook_url,
            webhook_secret=arguments.webhook_secret,
            public_url=url,
            business_name=arguments.business_name,
            allow_reset=arguments.allow_reset,
            retry_gaps_seconds=tuple(float(gap) for gap in arguments.retry_gaps.split(",") if gap.strip()),
        )
    )
    sandbox.start()
    hooks = f", webhooks to {arguments.webhook_url}" if arguments.webhook_url else ""
    server = _Server(
        configuration(sandbox), f"Local Stripe {API_VERSION} listens on {url} ({arguments.database}{hooks})"
    )
    try:
        server.run(sockets=[listener])
    finally:
        sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
