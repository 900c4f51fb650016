"""Servers to ask, and a client that costs little: whole requests over connections that stay open, one process."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def granian(application: str, environment: dict[str, str], workers: int = 2) -> Iterator[tuple[int, subprocess.Popen]]:
    """An application served as in production. Yields (port, process)."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", str(workers)]
    command += ["--blocking-threads", "4", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(
        [*command, "--respawn-failed-workers", application],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextlib.contextmanager
def prefork(environment: dict[str, str]) -> Iterator[tuple[int, subprocess.Popen]]:
    """The site in processes to be killed: benchmarks/prefork.py. Yields (port, process)."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.prefork", str(port)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port)
        yield port, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def redis() -> Iterator[str | None]:
    """A Redis of our own; None where there is none to start."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(port)


def hammer(port: int, request: Callable[[], bytes], seconds: float, connections: int = 16) -> tuple[float, Counter]:
    """Ask on every connection as soon as the answer is there. Returns (answers a second, {status: how often})."""
    statuses: Counter = Counter()
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for _ in range(connections):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request())
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for key, _ in selector.select(timeout=1):
                received: bytearray = key.data
                chunk = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                if not chunk:
                    raise ConnectionError("The server closed the connection.")
                received += chunk
                if is_whole(received):
                    statuses[int(received[9:12])] += 1
                    received.clear()
                    key.fileobj.sendall(request())  # type: ignore[union-attr]
        return sum(statuses.values()) / elapsed, statuses


def is_whole(answer: bytearray) -> bool:
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = bytes(answer[:head_end]).lower()
    length = head.find(b"content-length:")
    if length < 0:
        return answer.endswith(b"0\r\n\r\n")
    return len(answer) >= head_end + 4 + int(head[length + 15 :].split(b"\r\n", 1)[0])


def post(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
