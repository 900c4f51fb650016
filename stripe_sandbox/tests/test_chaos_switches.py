"""Every switch can be set from the page, by the API and from Python, and `{}` heals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stripe_sandbox import chaos

OTHER_SIZES = {"slow_seconds": 0.5, "delay_seconds": 7, "requests_per_second": 25}


@pytest.mark.parametrize("switch", chaos.PROBABILITIES)
def test_each_switch_from_everywhere(stripe, http, switch):
    shown = http.post("/_sandbox/chaos", json={"seed": 5, switch: 0.25}).json()
    assert (shown["seed"], shown[switch], shown["active"]) == (5, 0.25, True)
    assert all(shown[other] == 0 for other in chaos.PROBABILITIES if other != switch)

    page = http.post("/_sandbox/page/chaos", data={"seed": "6", switch: "75"}, headers={"Origin": stripe.url})
    assert page.status_code == 303
    shown = http.get("/_sandbox/chaos").json()
    assert (shown["seed"], shown[switch]) == (6, 0.75)

    shown = stripe.chaos(seed=7, **{switch: 1})
    assert (shown["seed"], shown[switch]) == (7, 1)

    healed = http.post("/_sandbox/chaos", json={}).json()
    assert (healed[switch], healed["active"]) == (0, False)


@pytest.mark.parametrize(("size", "value"), OTHER_SIZES.items())
def test_each_size_from_everywhere(stripe, http, size, value):
    default = chaos.SIZES[size][0]
    assert http.post("/_sandbox/chaos", json={size: value}).json()[size] == value
    assert stripe.chaos()[size] == default
    http.post("/_sandbox/page/chaos", data={"seed": "0", size: str(value)}, headers={"Origin": stripe.url})
    assert http.get("/_sandbox/chaos").json()[size] == value
    assert http.post("/_sandbox/chaos", json={}).json()[size] == default


def test_what_is_left_out_is_off(http):
    http.post("/_sandbox/chaos", json={"seed": 1, "drop": 1, "slow": 1, "slow_seconds": 5})
    shown = http.post("/_sandbox/chaos", json={"seed": 2, "delay": 0.5}).json()
    assert (shown["drop"], shown["slow"], shown["slow_seconds"], shown["delay"]) == (0, 0, 2.0, 0.5)


def test_a_name_that_is_no_switch_is_told_the_switches(http):
    error = http.post("/_sandbox/chaos", json={"server_eror": 0.5}).json()["error"]
    assert error["message"].startswith("Received unknown parameter: server_eror")
    for name in ("seed", *chaos.PROBABILITIES, *chaos.SIZES):
        assert name in error["message"]


def test_one_wrong_switch_leaves_all_as_they_were(http):
    http.post("/_sandbox/chaos", json={"seed": 3, "drop": 0.5})
    assert http.post("/_sandbox/chaos", json={"duplicate": 1, "delay": 2}).status_code == 400
    shown = http.get("/_sandbox/chaos").json()
    assert (shown["seed"], shown["drop"], shown["duplicate"]) == (3, 0.5, 0)


HISTORY = """
from stripe_sandbox import chaos
from stripe_sandbox.api import ApiRequest, handle
from stripe_sandbox.sandbox import Sandbox

sandbox = Sandbox()
sandbox.chaos.set({"seed": 11, **{name: 0.3 for name in chaos.PROBABILITIES}})
headers = {"authorization": f"Bearer {sandbox.settings.secret_key}"}
for _ in range(40):
    for path in ("/v1/customers", "/v1/accounts"):
        method = "POST" if path == "/v1/customers" else "GET"
        handle(sandbox, ApiRequest(method, path, b"", headers, b""), sandbox.chaos.for_request(method, path))
    sandbox.chaos.for_delivery("endpoint 1", "customer.created")
    sandbox.chaos.settle()
print(sandbox.chaos.history())
"""


@pytest.mark.slow
def test_another_process_lives_the_same_history():
    """Whatever Python's hashes of strings are seeded with."""
    histories = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", HISTORY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        histories.append(done.stdout)
    assert histories[0] == histories[1]
    for name in chaos.PROBABILITIES:
        assert name in histories[0]
