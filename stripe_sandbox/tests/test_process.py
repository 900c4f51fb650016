"""python -m stripe_sandbox: starts, stops, remembers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stripe_sandbox.sandbox import DEFAULT_SECRET_KEY

ROOT = Path(__file__).parents[2]
KEY = {"Authorization": f"Bearer {DEFAULT_SECRET_KEY}"}


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL, once it has printed its line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stripe_sandbox", "--port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", line)
        assert found, f"{line!r} {process.stderr and process.stderr.read()}"
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_restart_keeps_everything_and_sends_what_was_not_sent(tmp_path):
    database = str(tmp_path / "deep" / "stripe.sqlite3")
    with running("--database", database, "--webhook-url", "http://127.0.0.1:1/", "--retry-gaps", "60") as (
        process,
        url,
    ):
        created = httpx.post(f"{url}/v1/customers", data={"name": "Ada"}, headers=KEY | {"Idempotency-Key": "k"})
        customer = created.json()["id"]
        httpx.post(f"{url}/_sandbox/webhooks", json={"paused": True})
        httpx.post(f"{url}/v1/products", data={"name": "Pro"}, headers=KEY)
        process.kill()  # without a chance to tidy up

    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.settimeout(10)
        target = f"http://127.0.0.1:{receiver.getsockname()[1]}/hook"
        with running("--database", database, STRIPE_SANDBOX_WEBHOOK_URL=target) as (_, url):
            kept = httpx.get(f"{url}/v1/customers/{customer}", headers=KEY).json()
            assert kept["name"] == "Ada"
            again = httpx.post(f"{url}/v1/customers", data={"name": "Ada"}, headers=KEY | {"Idempotency-Key": "k"})
            assert again.headers["Idempotent-Replayed"] == "true"
            deliveries = httpx.get(f"{url}/_sandbox/deliveries").json()
            assert deliveries["paused"] is True
            assert [delivery["type"] for delivery in deliveries["data"]] == [
                "product.created",
                "customer.created",
            ]
            assert len(httpx.get(f"{url}/v1/webhook_endpoints", headers=KEY).json()["data"]) == 1
            httpx.post(f"{url}/_sandbox/webhooks", json={"paused": False})
            connection, _ = receiver.accept()
            with connection:
                assert b"POST /hook" in connection.recv(1000)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_an_open_connection(number):
    with (
        running("--database", ":memory:") as (process, url),
        httpx.Client(base_url=url, headers=KEY) as client,
    ):
        assert client.get("/v1/customers").status_code == 200
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(5) == 0
        assert time.monotonic() - started < 3


@pytest.mark.slow
def test_a_taken_port_is_said_plainly():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "stripe_sandbox",
                "--port",
                str(taken.getsockname()[1]),
                "--database",
                ":memory:",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr


@pytest.mark.slow
def test_it_imports_nothing_of_the_project_or_of_django():
    code = (
        "import sys, stripe_sandbox.__main__, stripe_sandbox.testing\nfrom stripe_sandbox import "
        "resources\nprint([m for m in sys.modules if m.split('.')[0] in ('django', 'datilio', 'accounts', "
        "'billing', 'usage', 'stripe', 'djstripe')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
