"""The supervisor alone, with children that misbehave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datilio.run import ROOT, Failed, Reader, Settings, Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path, dict(os.environ))


def test_a_command_that_fails_just_after_it_was_looked_at_has_failed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = supervisor.start("seed", "sh", "-c", "sleep 0.1; exit 3", lasts=False)
    look = supervisor.check

    def look_and_dawdle() -> None:
        look()
        child.process.wait()

    monkeypatch.setattr(supervisor, "check", look_and_dawdle)
    with pytest.raises(Failed, match="seed ended with exit code 3"):
        supervisor.finish(child)


def test_what_a_command_said_is_told_when_it_fails(supervisor: Supervisor) -> None:
    child = supervisor.start("seed", "sh", "-c", "echo first; echo no such plan >&2; exit 3", lasts=False)
    with pytest.raises(Failed, match=r"(?s)seed ended with exit code 3.*no such plan.*seed\.log"):
        supervisor.finish(child)
    supervisor.stop()


def test_a_command_that_ends_well_is_no_reason_to_stop(supervisor: Supervisor) -> None:
    supervisor.finish(supervisor.start("seed", "true", lasts=False))
    supervisor.check()


def test_a_server_that_ends_is_a_failure_even_with_zero(supervisor: Supervisor) -> None:
    server = supervisor.start("app", "true")
    with pytest.raises(Failed, match="app ended with exit code 0"):
        supervisor.wait_until(lambda: False, "The app")
    assert server.ended


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(supervisor: Supervisor) -> None:
    supervisor.start("app", "sleep", "60")
    with pytest.raises(Failed, match="The app is not ready after 0 s"):
        supervisor.wait_until(lambda: False, "The app", seconds=0.2)
    supervisor.stop()


def test_the_last_run_s_log_is_kept(supervisor: Supervisor) -> None:
    for word in ("one", "two"):
        supervisor.finish(supervisor.start("seed", "echo", word, lasts=False))
        supervisor.pump(0.1)
    assert "two" in (supervisor.log_dir / "seed.log").read_text()
    assert "one" in (supervisor.log_dir / "seed.previous.log").read_text()


def test_a_stopped_child_takes_what_it_started_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start("app", "sh", "-c", f"sleep 300 & echo $! > {tmp_path}/grandchild; wait")
    supervisor.wait_until(lambda: (tmp_path / "grandchild").exists(), "sh")
    supervisor.pump(0.1)
    grandchild = int((tmp_path / "grandchild").read_text())
    supervisor.stop()
    for _ in range(50):
        try:
            os.kill(grandchild, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the grandchild is still there")


STUBBORN = """
import os, sys
from pathlib import Path
from datilio.run import Stop, Supervisor
supervisor = Supervisor(Path(sys.argv[1]), dict(os.environ))
supervisor.listen_for_signals()
supervisor.start("app", "sh", "-c", "trap '' TERM INT; echo up > up; while :; do sleep 0.1; done", echo=True)
supervisor.environment.clear()
try:
    supervisor.run_until_stopped()
except Stop:
    print("stopping", flush=True)
    supervisor.stop()
    print("stopped", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "least", "most"), [(1, 3.0, 5.0), (2, 0.0, 2.5)])
def test_a_stubborn_child_is_killed_in_time_and_at_once_by_a_second_ctrl_c(
    tmp_path: Path, signals: int, least: float, most: float
) -> None:
    (tmp_path / "app.py").write_text(STUBBORN.replace("echo up > up", f"echo up > {tmp_path}/up"))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "app.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        while not (tmp_path / "up").exists():
            time.sleep(0.05)
        began = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.4)
        assert process.wait(timeout=20) == 0
        assert least < time.monotonic() - began < most
        assert process.stdout.read().split() == ["stopping", "stopped"]
    finally:
        process.kill()
        process.stdout.close()


def test_the_same_wish_twice_at_once_is_one_wish(supervisor: Supervisor) -> None:
    # A signal to the whole process group reaches us twice: from the sender, and passed on by make.
    supervisor._stop_asked()
    supervisor._stop_asked()
    assert supervisor.stops_asked == 1


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-01-01 10:00:00,000 ERROR billing.webhooks [-] no such subscription", True),
        ("2026-01-01 10:00:00,000 WARNING billing.sync [-] Stripe is slow", True),
        ("2026-01-01 10:00:00,000 WARNING django.request [-] Not Found: /favicon.ico", False),
        ("2026-01-01 10:00:00,000 INFO billing.sync [-] plan active", False),
    ],
)
def test_the_console_shows_what_is_worth_a_glance(line: str, shown: bool) -> None:
    assert bool(Reader.WORTH_A_GLANCE.search(line)) is shown


@pytest.mark.slow
def test_half_a_line_waits_for_the_other_half(supervisor: Supervisor, capfd: pytest.CaptureFixture[str]) -> None:
    supervisor.finish(
        supervisor.start("app", "sh", "-c", "printf Sub; sleep 0.2; printf 'ject: hello'", lasts=False, echo=True)
    )
    supervisor.pump(0.1)
    supervisor.pump(0.1)
    assert capfd.readouterr().out == "   app | Subject: hello\n"


def test_the_two_ports_must_differ() -> None:
    with pytest.raises(Failed, match="must differ"):
        Settings({"PORT": "9000", "STRIPE_SANDBOX_PORT": "9000"})


def test_a_stripe_key_of_one_s_own_leaves_the_local_stripe_out() -> None:
    assert Settings({}).local_stripe
    assert not Settings({"STRIPE_SECRET_KEY": "sk_test_mine"}).local_stripe
