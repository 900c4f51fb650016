"""pytest fixtures: put `pytest_plugins = ["stripe_sandbox.pytest_plugin"]` into the root conftest.py.

stripe_server  one local Stripe for the whole session (with pytest-xdist: one per worker)
stripe         the same, emptied before each test

Every request, answer and event of every local Stripe in the test processes is checked against Stripe's contract. The
counts stand in pytest's summary, those of all xdist workers added up. A violation fails the test in which it happened,
and the session, should it have happened in none. `--no-stripe-contract` switches that off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .sandbox import Sandbox
from .testing import Recorder, SandboxServer

_RECORDER = pytest.StashKey[Recorder]()
_TOTALS = "stripe_sandbox_contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-stripe-contract",
        action="store_true",
        help="do not check the local Stripe's traffic against Stripe's contract",
    )


def pytest_configure(config: pytest.Config) -> None:
    recorder = config.stash[_RECORDER] = Recorder()
    if not config.getoption("--no-stripe-contract"):
        Sandbox.watchers.append(recorder.watch)


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash[_RECORDER].watch in Sandbox.watchers:
        Sandbox.watchers.remove(config.stash[_RECORDER].watch)


@pytest.fixture(scope="session")
def stripe_recorder(pytestconfig: pytest.Config) -> Recorder:
    """What has been seen of the session's traffic so far."""
    return pytestconfig.stash[_RECORDER]


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[SandboxServer]:
    """A local Stripe for the whole test session."""
    server = SandboxServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def stripe(stripe_server: SandboxServer, stripe_recorder: Recorder) -> Iterator[SandboxServer]:
    """An empty local Stripe."""
    yield from emptied(stripe_server, stripe_recorder)


def emptied(server: SandboxServer, recorder: Recorder) -> Iterator[SandboxServer]:
    """What the fixture does, for a project that builds its own: empty, lend, fail on broken traffic."""
    server.reset()
    seen = len(recorder.problems)
    yield server
    fresh = recorder.problems[seen:]
    if fresh:
        pytest.fail("the traffic broke Stripe's contract:\n" + "\n".join(fresh[:20]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    recorder = session.config.stash[_RECORDER]
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:  # this is a worker of pytest-xdist: the controller adds up
        told[_TOTALS] = recorder.totals()
    elif recorder.problems and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist: a worker is done (or crashed, and then has told nothing)."""
    totals = getattr(node, "workeroutput", {}).get(_TOTALS)
    if totals:
        node.config.stash[_RECORDER].add(totals)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    recorder = config.stash[_RECORDER]
    if recorder.counts:
        terminalreporter.write_sep("-", "local Stripe")
        terminalreporter.write_line(recorder.summary(), red=bool(recorder.problems))
        for problem in recorder.problems[:20]:
            terminalreporter.write_line(f"  {problem}", red=True)
        for what, number in recorder.unemulated.most_common(20):
            terminalreporter.write_line(f"  not emulated, {number} times: {what}")
