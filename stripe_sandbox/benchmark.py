"""python -m stripe_sandbox.benchmark: fresh processes with a database file, measured at their client.

The medians of simple calls, over one keep-alive connection with http.client, so that no SDK's own time is
counted; then, in a process of its own, how long a year of many subscriptions takes (1,000, or as many as the
argument says; 0: none). The machine's load stands beside it, for others may be using it, and the process's CPU time,
which they disturb less.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from .sandbox import DEFAULT_SECRET_KEY

ROUNDS = 300


class Caller:
    """One connection to the process."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address)
        self._headers = {
            "Authorization": f"Bearer {DEFAULT_SECRET_KEY}",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def __call__(self, method: str, path: str, **data: Any) -> dict[str, Any]:
        self._connection.request(method, path, urlencode(data) if data else None, self._headers)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        assert response.status == 200, body
        return body

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body).encode(), headers)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        assert response.status == 200, body
        return body


def main() -> None:
    subscriptions = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with fresh_process() as (call, _):
        measure(call)
    if subscriptions:
        # What was measured before left subscriptions of its own behind, and they would live that year as well.
        with fresh_process() as (call, pid):
            measure_year(call, subscriptions, pid)


@contextmanager
def fresh_process() -> Iterator[tuple[Caller, int]]:
    """A local Stripe of its own: its caller and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "stripe_sandbox", "--port", "0", "--database", f"{folder}/stripe.sqlite3"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        found = re.search(r"http://(\S+)", process.stdout.readline())
        assert found
        print(f"{'start-up':34} {(time.perf_counter() - started) * 1000:8.1f} ms")
        try:
            yield Caller(found[1]), process.pid
        finally:
            process.terminate()
            process.wait()


def measure(call: Caller, rounds: int = ROUNDS) -> None:
    """Print the median and the 95th percentile of each kind of call."""
    product = call("POST", "/v1/products", name="Pro")["id"]
    price = call(
        "POST",
        "/v1/prices",
        product=product,
        currency="usd",
        unit_amount=2900,
        **{"recurring[interval]": "month"},
    )["id"]
    customer = call("POST", "/v1/customers", email="ada@example.com")["id"]

    def session() -> dict[str, Any]:
        line = {"line_items[0][price]": price, "line_items[0][quantity]": 1}
        return call(
            "POST",
            "/v1/checkout/sessions",
            mode="subscription",
            customer=customer,
            success_url="http://x/",
            **line,
        )

    meter = {"display_name": "Tokens", "event_name": "tokens", "default_aggregation[formula]": "sum"}
    call("POST", "/v1/billing/meters", **meter)
    usage = {"payload[stripe_customer_id]": customer, "payload[value]": 1}
    paid = call.control(f"/_sandbox/checkout/{session()['id']}/pay")
    subscription, invoice = paid["subscription"], paid["invoice"]
    kinds = {
        "GET customer": lambda: call("GET", f"/v1/customers/{customer}"),
        "POST customer": lambda: call("POST", "/v1/customers", email="b@example.com"),
        "GET subscription": lambda: call("GET", f"/v1/subscriptions/{subscription}"),
        "GET subscription, expanded": lambda: call(
            "GET", f"/v1/subscriptions/{subscription}?expand[]=customer&expand[]=latest_invoice.payments"
        ),
        "GET invoice": lambda: call("GET", f"/v1/invoices/{invoice}"),
        "GET prices by product": lambda: call("GET", f"/v1/prices?product={product}"),
        "GET events (10)": lambda: call("GET", "/v1/events"),
        "search customers": lambda: call("GET", "/v1/customers/search?query=email:'ada@example.com'"),
        "POST meter event": lambda: call("POST", "/v1/billing/meter_events", event_name="tokens", **usage),
        "POST checkout session": session,
        "pay a session (12 events)": lambda: call.control(f"/_sandbox/checkout/{session()['id']}/pay"),
    }
    for name, action in kinds.items():
        taken = []
        for _ in range(rounds):
            started = time.perf_counter()
            action()
            taken.append((time.perf_counter() - started) * 1000)
        taken.sort()
        print(f"{name:34} {statistics.median(taken):8.2f} ms   p95 {taken[int(len(taken) * 0.95)]:8.2f} ms")


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used, from Linux's /proc; 0 elsewhere."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_year(call: Caller, number: int, pid: int) -> int:
    """Print how long it takes to make monthly subscriptions and to live a year with them. Returns the pieces of work.

    Every 20th card fails from the first renewal on: that subscription is tried again, and canceled.
    """
    product = call("POST", "/v1/products", name="Pro")["id"]
    month = {"product": product, "currency": "usd", "unit_amount": 2900, "recurring[interval]": "month"}
    price = call("POST", "/v1/prices", **month)["id"]
    started = time.perf_counter()
    for index in range(number):
        customer = call("POST", "/v1/customers", email=f"c{index}@example.com")["id"]
        call.control(f"/_sandbox/customers/{customer}/card", card="4242424242424242")
        call("POST", "/v1/subscriptions", customer=customer, **{"items[0][price]": price})
        if index % 20 == 19:
            call.control(f"/_sandbox/customers/{customer}/card", card="4000000000000341")
    made, cpu = time.perf_counter(), cpu_seconds(pid)
    done = call.control("/_sandbox/clock", advance_months=12)["work_done"]
    took, cpu = time.perf_counter() - made, cpu_seconds(pid) - cpu
    print(f"{f'{number} subscriptions made':34} {made - started:8.1f} s")
    print(f"{'their year':34} {took:8.1f} s    CPU {cpu:.1f} s, {done} pieces of work, load {os.getloadavg()[0]:.1f}")
    return done


if __name__ == "__main__":
    main()
