"""An answer leaves in one packet: head and body apart would meet the client's delayed ACK, 40 ms a call."""

from __future__ import annotations

import socket
import statistics
import time
from urllib.parse import urlsplit


def connected(stripe) -> socket.socket:
    parts = urlsplit(stripe.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(stripe) -> bytes:
    key = f"Authorization: Bearer {stripe.secret_key}"
    return f"GET /v1/account HTTP/1.1\r\nHost: 127.0.0.1\r\n{key}\r\n\r\n".encode()


def test_head_and_body_come_together(stripe):
    with connected(stripe) as connection:
        connection.sendall(request(stripe))
        head, _, body = connection.recv(1_000_000).partition(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    assert len(body) == int(length.split(b":")[1])


def test_calls_on_one_connection_take_no_40_milliseconds(stripe):
    taken = []
    with connected(stripe) as connection:
        for _ in range(30):
            started = time.perf_counter()
            connection.sendall(request(stripe))
            connection.recv(1_000_000)
            taken.append(time.perf_counter() - started)
    assert statistics.median(taken) < 0.02
