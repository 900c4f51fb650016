"""`make run` as its user meets it: real processes, real ports, real signals."""

import contextlib
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datilio.run import ROOT

pytestmark = pytest.mark.slow

# Of the environment of whoever runs the tests, only what a new terminal has.
PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
RUN = [sys.executable, "-I", str(ROOT / "datilio" / "run.py")]
READY = "Datilio Billing is running"


def free_ports(count: int) -> list[int]:
    """Below those that the system gives away by itself: one is free between two starts, too, whoever connects."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


class Home:
    """A STATE_DIR with its two ports, and what is alive in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.stripe_port = free_ports(2)

    def environment(self, **more: str) -> dict[str, str]:
        own = {"STATE_DIR": self.folder, "PORT": self.port, "STRIPE_SANDBOX_PORT": self.stripe_port}
        return PLAIN | {name: str(value) for name, value in own.items()} | more

    def processes(self) -> dict[int, str]:
        """Every process on this machine that was started for this STATE_DIR, however it is related to us."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and f"STATE_DIR={self.folder}\0".encode() in (
                    (entry / "environ").read_bytes()
                ):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def process(self, part: str) -> int:
        return min(pid for pid, command in self.processes().items() if part in command)

    def get(self, port: int, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status

    def ports_are_free(self) -> bool:
        for port in (self.port, self.stripe_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return False
        return True

    def assert_nothing_is_left(self, within: float = 5) -> None:
        wait_for(lambda: not self.processes(), within, self.processes)
        # A process that is killed gives its memory back, by which we know it, before its ports.
        wait_for(self.ports_are_free, within, lambda: "a port is still taken")


def run_by_make(folder: Path) -> list[str]:
    """The command line of the Makefile's own recipe, with this Python instead of .venv's."""
    recipe = re.search(r"^\t@exec .*run\.py.*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    (folder / "Makefile").write_text(f"run:\n{recipe[0]}\n")
    return ["make", "-C", str(ROOT), "-f", str(folder / "Makefile"), f"PY={sys.executable}", "run"]


def wait_for(done: Callable[[], bool], seconds: float, otherwise: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


class Started:
    """A started `make run`, with what it has printed so far."""

    def __init__(self, home: Home, command: list[str], **more: str) -> None:
        self.home = home
        self.file = home.folder.parent / f"{home.folder.name}.out"
        with self.file.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=home.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Under nohup the tests ignore it; a terminal does not.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    @property
    def output(self) -> str:
        return self.file.read_text()

    def wait_until_ready(self) -> None:
        wait_for(lambda: READY in self.output or self.process.poll() is not None, 90, lambda: self.output)
        assert READY in self.output, self.output

    def wait_for_end(self) -> tuple[int, float]:
        began = time.monotonic()
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - began


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("run") / "state")


@pytest.fixture
def start(home: Home) -> Iterator[Callable[..., Started]]:
    running: list[Started] = []

    def start(command: list[str] = RUN, at: Home = home, **more: str) -> Started:
        running.append(Started(at, command, **more))
        return running[-1]

    yield start
    for each in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()
        for pid in each.home.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        each.home.assert_nothing_is_left(within=10)


@pytest.fixture
def running(start: Callable[..., Started]) -> Started:
    started = start()
    started.wait_until_ready()
    return started


def test_from_nothing_to_the_first_page_and_gone_again(home: Home, start: Callable[..., Started]) -> None:
    shutil.rmtree(home.folder, ignore_errors=True)
    first = start()
    first.wait_until_ready()
    assert "Preparing the database" in first.output
    for told in (f"http://127.0.0.1:{home.port}", "customer@datilio.example", "4242 4242 4242 4242", "make demo-api"):
        assert told in first.output
    assert home.get(home.port, "/healthz") == 200
    assert home.get(home.port, "/pricing") == 200
    assert home.get(home.stripe_port, "/_sandbox/health") == 200
    assert home.process("beat")  # nothing else does the periodic work here

    first.process.send_signal(signal.SIGTERM)
    code, seconds = first.wait_for_end()
    assert (code, seconds < 5) == (0, True), first.output
    home.assert_nothing_is_left()

    second = start()
    second.wait_until_ready()
    assert "Preparing" not in second.output
    assert home.get(home.port, "/pricing") == 200


def test_a_deleted_database_is_made_again(home: Home, start: Callable[..., Started]) -> None:
    home.folder.mkdir(exist_ok=True)
    for file in home.folder.glob("db.sqlite3*"):
        file.unlink()
    started = start()
    started.wait_until_ready()
    assert "Preparing the database" in started.output
    assert home.get(home.port, "/pricing") == 200


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ctrl_c_and_a_closed_terminal_stop_everything(home: Home, running: Started, name: str) -> None:
    running.process.send_signal(signal.Signals[name])
    code, seconds = running.wait_for_end()
    assert (code, seconds < 5) == (0, True), running.output
    assert "Stopped" in running.output
    home.assert_nothing_is_left()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_window_that_is_closed_stops_everything(home: Home, tmp_path: Path) -> None:
    command = run_by_make(tmp_path)
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, home.environment())
    said = b""
    while READY.encode() not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(child, 0)
    home.assert_nothing_is_left()


def test_a_request_at_work_does_not_hold_up_the_end(home: Home, running: Started) -> None:
    with socket.create_connection(("127.0.0.1", home.port)) as idle, socket.socket() as stripe:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        stripe.connect(("127.0.0.1", home.stripe_port))
        stripe.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        running.process.terminate()
        code, seconds = running.wait_for_end()
    assert (code, seconds < 5) == (0, True), running.output
    home.assert_nothing_is_left()


def test_children_die_with_a_supervisor_that_is_killed_outright(home: Home, running: Started) -> None:
    running.process.kill()
    running.wait_for_end()
    home.assert_nothing_is_left()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_everything_ends_when_make_does(home: Home, start: Callable[..., Started], tmp_path: Path, name: str) -> None:
    started = start(run_by_make(tmp_path))
    started.wait_until_ready()
    started.process.send_signal(signal.Signals[name])  # to make alone, not to its group
    started.wait_for_end()
    home.assert_nothing_is_left()


def test_when_one_dies_the_rest_is_stopped_and_told_about(home: Home, running: Started) -> None:
    os.kill(home.process("stripe_sandbox"), signal.SIGKILL)
    code, _ = running.wait_for_end()
    assert code == 1
    assert "stripe was killed by SIGKILL. Its last lines:" in running.output
    home.assert_nothing_is_left()


def test_a_second_run_in_the_same_folder_is_refused(home: Home, running: Started) -> None:
    ports = dict(zip(("PORT", "STRIPE_SANDBOX_PORT"), map(str, free_ports(2)), strict=True))
    second = subprocess.run(RUN, cwd=ROOT, env=home.environment(**ports), capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"already at work in {home.folder} (process {running.process.pid})" in second.stdout
    assert home.get(home.port, "/healthz") == 200


@pytest.mark.parametrize("name", ["PORT", "STRIPE_SANDBOX_PORT"])
def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "state")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            RUN, cwd=ROOT, env=home.environment(**{name: str(port)}), capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be had (Address already in use)" in done.stdout
    assert f"make run {name}={port + 1}" in done.stdout
    assert not (home.folder / "db.sqlite3").exists()
    assert not list((home.folder / "log").iterdir())


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PORT", "eight", "PORT must be a number from 1 to 65535, not 'eight'."),
        ("STRIPE_SANDBOX_PORT", "70000", "STRIPE_SANDBOX_PORT must be a number from 1 to 65535, not '70000'."),
        ("STATE_DIR", "/proc/none", "STATE_DIR /proc/none cannot be written"),
        ("DATILIO_ENV", "production", "`make run` is the embedded default"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path, variable: str, value: str, told: str) -> None:
    environment = Home(tmp_path / "state").environment(**{variable: value})
    done = subprocess.run(RUN, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, "")
    assert told in done.stdout
