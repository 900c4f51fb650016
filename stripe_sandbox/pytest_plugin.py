"""pytest fixtures: put `pytest_plugins = ["stripe_sandbox.pytest_plugin"]` into the root conftest.py.

stripe_server  one local Stripe for the whole session (with pytest-xdist: one per worker)
stripe         the same, emptied before each test

Every request, answer and event of the session is checked against Stripe's contract: the counts stand in
pytest's summary, and a violation fails the test in which it happened. `--no-stripe-contract` switches that
off.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .testing import Recorder, SandboxServer

_RECORDER = pytest.StashKey[Recorder]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-stripe-contract",
        action="store_true",
        help="do not check the local Stripe's traffic against Stripe's contract",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RECORDER] = Recorder()


@pytest.fixture(scope="session")
def stripe_recorder(pytestconfig: pytest.Config) -> Recorder:
    """What has been seen of the session's traffic so far."""
    return pytestconfig.stash[_RECORDER]


@pytest.fixture(scope="session")
def stripe_server(pytestconfig: pytest.Config, stripe_recorder: Recorder) -> Iterator[SandboxServer]:
    """A local Stripe for the whole test session."""
    server = SandboxServer()
    if not pytestconfig.getoption("--no-stripe-contract"):
        stripe_recorder.watch(server.sandbox)
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    recorder = config.stash[_RECORDER]
    if recorder.counts:
        terminalreporter.write_sep("-", "local Stripe")
        terminalreporter.write_line(recorder.summary())
        for what, number in recorder.unemulated.most_common(20):
            terminalreporter.write_line(f"  not emulated, {number} times: {what}")
