"""`make run`: everything on this machine, in the foreground, until Ctrl-C.

Prepares and seeds the database, starts the local Stripe, the app and what does the periodic work (a Celery worker if
CELERY_BROKER_URL names a broker), publishes the plans, says where to look, and stops all of it again. Standard library
only, so the first line appears at once. docs/decisions/0003 says why this is not honcho.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import hashlib
import http.client
import json
import os
import re
import select
import selectors
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
READY_WITHIN = 60.0
# What must be over when five seconds are: the polite request, then the other kind.
STOP_WITHIN = 3.5
# Preparing, seeding and publishing are done again when one of these changes.
DECIDES_THE_DATA = (
    "requirements-prod.txt",
    "*/models.py",
    "*/migrations/*.py",
    "*/management/commands/*.py",
    "billing/catalog.py",
    "*/seed*.py",
)
LOCAL_STRIPE_KEY = "sk_test_DatilioLocalSandbox0000000000"
LOCAL_WEBHOOK_SECRET = "whsec_DatilioLocalSandbox"
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """The start is off; the message tells the user what to do."""


class Stop(Exception):
    """Somebody asked for the end: Ctrl-C, SIGTERM, a closed terminal."""


def say(text: str = "") -> None:
    """Print, whoever is still listening: the end of a terminal must not keep us from stopping the rest."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), f"{text}\n".encode())


class DieWithParent:
    """Linux sends SIGTERM to the caller when its parent dies, even by `kill -9`. Elsewhere: nothing."""

    def __init__(self) -> None:
        self.prctl = None
        with contextlib.suppress(OSError, AttributeError):
            self.prctl = ctypes.CDLL(None, use_errno=True).prctl

    def __call__(self, parent: int) -> None:
        if self.prctl is not None:
            self.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)


class Child:
    """One started process, in a group of its own: Ctrl-C reaches us alone, and we reach all of it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, lasts: bool) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.lasts = lasts

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(f"    {line}" for line in self.log.read_text(errors="replace").splitlines()[-count:])

    def how_it_ended(self) -> str:
        code = self.process.returncode
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


class Supervisor:
    """Starts children, writes down what they say, notices the first that dies, and leaves none behind."""

    def __init__(self, log_dir: Path, environment: dict[str, str]) -> None:
        self.log_dir = log_dir
        self.environment = environment
        self.children: list[Child] = []
        self.on_terminal = sys.stdout.isatty()
        self.stops_asked = 0
        self.last_asked = 0.0
        self.die_with_parent = DieWithParent()
        self.selector = selectors.DefaultSelector()
        # Signals arrive as bytes on a socket: nothing is ever interrupted half done.
        self.woken, self.wakes = socket.socketpair()
        for end in (self.woken, self.wakes):
            end.setblocking(False)
        self.selector.register(self.woken, selectors.EVENT_READ)

    def listen_for_signals(self) -> None:
        signal.set_wakeup_fd(self.wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup make run` has SIGHUP ignored, and means it.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._stop_asked)
        if "MAKELEVEL" in os.environ:
            # make passes SIGTERM on; of a make that is killed outright only the kernel can tell.
            self.die_with_parent(os.getppid())

    def _stop_asked(self, *_: object) -> None:
        # One wish may arrive twice at once: by the process group, and passed on by make.
        now = time.monotonic()
        if now - self.last_asked > 0.3:
            self.stops_asked += 1
        self.last_asked = now

    def start(self, name: str, *command: str | Path, lasts: bool = True, echo: bool = False) -> Child:
        """Start a child. One that does not `last` is expected to end, with 0; `echo` shows its output here too."""
        log = self.log_dir / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            log.replace(self.log_dir / f"{name}.previous.log")
        log.write_text(f"$ {shlex.join(str(part) for part in command)}\n" if not lasts else "")
        supervisor = os.getpid()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: self.die_with_parent(supervisor),
        )
        child = Child(name, process, log, lasts)
        self.children.append(child)
        for pipe, is_output in ((process.stdout, True), (process.stderr, False)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ, Reader(child, is_output and echo))
        return child

    def pump(self, seconds: float) -> None:
        """Wait for something to happen, write down what the children said."""
        for key, _ in self.selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self.woken.recv(4096)
            elif not key.data.read(key.fd):
                self.selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]

    def terminal_is_gone(self) -> bool:
        """Of a closed window the kernel tells only the first process in it, and make keeps that to itself."""
        if not self.on_terminal:
            return False
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))

    def check(self) -> None:
        """Raise when the user wants an end, or when a child has come to one that it should not have."""
        if self.stops_asked or self.terminal_is_gone():
            raise Stop
        for child in self.children:
            if child.ended and (child.lasts or child.process.returncode != 0):
                self.pump(0.1)  # its last words may still be in the pipe
                raise Failed(
                    f"{child.name} {child.how_it_ended()}. Its last lines:\n{child.last_lines()}\n"
                    f"The whole log: {shown(child.log)}"
                )

    def wait_until(self, done: Callable[[], bool], what: str, seconds: float = READY_WITHIN) -> None:
        deadline = time.monotonic() + seconds
        while True:
            # In this order: what ends between the two is done only when the next look has found that it ended well.
            is_done = done()
            self.check()
            if is_done:
                return
            if time.monotonic() > deadline:
                raise Failed(f"{what} is not ready after {seconds:.0f} s; see {shown(self.log_dir)}")
            self.pump(0.05)

    def finish(self, *commands: Child) -> None:
        """Wait for commands to end well. No time limit: a slow migration is not a fault."""
        self.wait_until(lambda: all(c.ended for c in commands), "", seconds=float("inf"))

    def run_until_stopped(self) -> None:
        while True:
            self.check()
            self.pump(1)

    def stop(self) -> None:
        """End every child and all that it started: SIGTERM, then SIGKILL after a while or a second Ctrl-C."""
        asked_before = self.stops_asked
        deadline = time.monotonic() + STOP_WITHIN
        for child in self.children:
            child.signal(signal.SIGTERM)
        while not all(child.ended for child in self.children):
            if time.monotonic() > deadline or self.stops_asked > asked_before:
                break
            self.pump(0.05)
        for child in self.children:
            child.signal(signal.SIGKILL)  # the group: also what a child has left behind
        for child in self.children:
            child.process.wait()


class Reader:
    """Takes one pipe's lines to the child's log, and those worth a glance to the console."""

    # Django tells of every 404 as a warning; that is for the log.
    WORTH_A_GLANCE = re.compile(r"\b(ERROR|CRITICAL)\b|\bWARNING\b(?! django\.request)")

    def __init__(self, child: Child, to_console: bool) -> None:
        self.child = child
        self.to_console = to_console
        self.rest = b""

    def read(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        if data:
            *lines, self.rest = (self.rest + data).split(b"\n")
        else:
            lines = [self.rest] if self.rest else []
        if lines:
            with self.child.log.open("ab") as log:
                log.write(b"\n".join(lines) + b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                if self.to_console or self.WORTH_A_GLANCE.search(text):
                    say(f"{self.child.name:>6} | {text}")
        return bool(data)


def shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


class Settings:
    """The few variables that the start itself needs; all else goes through to the children as it is."""

    def __init__(self, environment: dict[str, str]) -> None:
        if environment.get("DATILIO_ENV", "embedded") != "embedded":
            raise Failed("`make run` is the embedded default; README.md has the checklist for production.")
        self.port = self._port(environment, "PORT", 8000)
        self.stripe_port = self._port(environment, "STRIPE_SANDBOX_PORT", 12111)
        self.state_dir = Path(environment.get("STATE_DIR") or ROOT / "var").absolute()
        self.database_url = environment.get("DATABASE_URL", "")
        self.broker_url = environment.get("CELERY_BROKER_URL", "")
        self.stripe_key = environment.get("STRIPE_SECRET_KEY", "")
        self.webhook_secret = environment.get("STRIPE_WEBHOOK_SECRET") or LOCAL_WEBHOOK_SECRET
        self.local_stripe = not self.stripe_key
        if self.local_stripe and self.port == self.stripe_port:
            raise Failed(f"PORT and STRIPE_SANDBOX_PORT are both {self.port}; they must differ.")
        self.address = environment.get("BASE_URL", f"http://{HOST}:{self.port}").rstrip("/")
        self.children_environment = {
            **environment,
            "PORT": str(self.port),
            "STRIPE_SANDBOX_PORT": str(self.stripe_port),
            "STATE_DIR": str(self.state_dir),
            "PYTHONUNBUFFERED": "1",
        }

    @staticmethod
    def _port(environment: dict[str, str], name: str, default: int) -> int:
        text = environment.get(name) or str(default)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise Failed(f"{name} must be a number from 1 to 65535, not {text!r}.")
        return int(text)

    def check_ports(self) -> None:
        wanted = {"PORT": self.port}
        if self.local_stripe:
            wanted["STRIPE_SANDBOX_PORT"] = self.stripe_port
        for name, port in wanted.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise Failed(
                        f"Port {port} on {HOST} cannot be had ({os.strerror(error.errno or 0)}). "
                        f"Choose another:  make run {name}={port + 1 if port < 65535 else 8000}"
                    ) from None


@contextlib.contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Two of us in one folder would fight over its databases."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        (state_dir / "log").mkdir(exist_ok=True)
        lock = os.open(state_dir / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise Failed(f"STATE_DIR {state_dir} cannot be written: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode().strip() or "?"
            raise Failed(
                f"`make run` is already at work in {shown(state_dir)} (process {pid}). Stop that one first, "
                "or give this one its own STATE_DIR, PORT and STRIPE_SANDBOX_PORT."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(lock)


class Stamp:
    """Remembers that the data is prepared, seeded and published, and for which files and which databases.

    A database on a server always gets the commands: they are idempotent, and it may have been dropped since.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file = settings.state_dir / "prepared.json"

    def _now(self) -> dict[str, object] | None:
        settings = self.settings
        if settings.database_url:
            return None
        digest = hashlib.sha256()
        for pattern in DECIDES_THE_DATA:
            for name in sorted(glob.glob(pattern, root_dir=ROOT)):
                digest.update(name.encode() + (ROOT / name).read_bytes())
        digest.update(repr((sys.version, settings.stripe_key)).encode())
        try:
            path = settings.state_dir / "db.sqlite3"
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                last = database.execute("SELECT count(*), max(id) FROM django_migrations").fetchone()
            stripe = settings.state_dir / "stripe_sandbox.sqlite3"
            inodes = [path.stat().st_ino, stripe.stat().st_ino if settings.local_stripe else 0]
        except (sqlite3.Error, OSError):
            return None
        return {"files": digest.hexdigest(), "migrations": list(last), "inodes": inodes}

    def is_right(self) -> bool:
        try:
            kept = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return False
        return kept == self._now()

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)

    def write(self) -> None:
        now = self._now()
        if now is not None:
            draft = self.file.with_suffix(".new")
            draft.write_text(json.dumps(now))
            draft.replace(self.file)


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_everything(supervisor: Supervisor, settings: Settings) -> None:
    manage = (sys.executable, ROOT / "manage.py")
    stamp = Stamp(settings)
    prepared = stamp.is_right()

    if settings.local_stripe:
        start_local_stripe(supervisor, settings)
    if not prepared:
        stamp.remove()
        say("Preparing the database")
        supervisor.finish(supervisor.start("prepare", *manage, "prepare_database", lasts=False))
    start_app(supervisor, settings)
    if not prepared:
        supervisor.finish(supervisor.start("seed", *manage, "seed_demo", lasts=False))
    if settings.broker_url:
        start_worker(supervisor)
    if settings.local_stripe:
        supervisor.wait_until(lambda: answers(settings.stripe_port, "/_sandbox/health"), "The local Stripe")
    if settings.stripe_key.startswith(("sk_live_", "rk_live_")):
        say("A live Stripe key: publish the plans yourself, with  manage.py publish_catalog")
    elif not prepared:
        supervisor.finish(supervisor.start("publish", *manage, "publish_catalog", lasts=False))
        stamp.write()
    supervisor.wait_until(lambda: answers(settings.port, "/healthz"), "The app")
    if not settings.broker_url:
        # Last: nobody waits for it.
        start_periodic_work(supervisor)


def start_local_stripe(supervisor: Supervisor, settings: Settings) -> None:
    command = [sys.executable, "-m", "stripe_sandbox", "--host", HOST, "--port", str(settings.stripe_port)]
    command += ["--database", str(settings.state_dir / "stripe_sandbox.sqlite3")]
    command += ["--secret-key", LOCAL_STRIPE_KEY, "--business-name", "Datilio"]
    command += ["--webhook-url", f"http://{HOST}:{settings.port}/api/stripe/webhook"]
    command += ["--webhook-secret", settings.webhook_secret]
    supervisor.start("stripe", *command)


def start_app(supervisor: Supervisor, settings: Settings) -> None:
    # One process, because the in-process cache counts the rate limits.
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1"]
    command += ["--blocking-threads", "4", "--no-ws", "--host", HOST, "--port", str(settings.port)]
    command += ["--log-level", "warning", "--workers-kill-timeout", "2"]
    # Its log goes to standard error; what it prints are mails, and those are wanted on the console.
    supervisor.start("app", *command, "datilio.wsgi:application", echo=True)


# The file in which beat remembers what it has done is not worth its risk here: one that a full disk has cut off ends
# beat, and with it this run and every later one.
BEAT_WITHOUT_A_FILE = ("--scheduler", "celery.beat:Scheduler")


def start_worker(supervisor: Supervisor) -> None:
    command = [sys.executable, "-m", "celery", "--app", "datilio.celery", "worker", "--beat", *BEAT_WITHOUT_A_FILE]
    command += ["--concurrency", "2", "--loglevel", "INFO"]
    supervisor.start("worker", *command)


def start_periodic_work(supervisor: Supervisor) -> None:
    # Without a broker beat does itself what it would send (CELERY_TASK_ALWAYS_EAGER).
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "datilio.celery", "beat", *BEAT_WITHOUT_A_FILE]
    command += ["--loglevel", "WARNING"]
    supervisor.start("beat", *command, echo=True)


def welcome(settings: Settings, seconds: float) -> str:
    address = settings.address
    if settings.local_stripe:
        stripe = f"http://{HOST}:{settings.stripe_port}  (local; no money moves)"
        card = "card 4242 4242 4242 4242, any date to come, any CVC"
    else:
        stripe = "the account of STRIPE_SECRET_KEY; its webhooks belong to /api/stripe/webhook"
        card = "a test card of your Stripe account"
    return f"""
Datilio Billing is running: {address}    (after {seconds:.1f} s)

  Log in as   customer@datilio.example   password datilio-demo   {address}/accounts/login/
              staff@datilio.example      password datilio-demo   {address}/admin/
  Stripe      {stripe}
  API         {address}/api/docs

  Try this    1. Log in as the customer and buy a plan at {address}/pricing
                 ({card})
              2. Use it up on {address}/account and watch the meters
              3. In another terminal:  make demo-api   (the same through the API, call by call)

  State and logs are in {shown(settings.state_dir)}/ (delete it to begin anew). Ctrl-C stops everything.
"""


def main() -> int:
    started = time.monotonic()
    try:
        settings = Settings(dict(os.environ))
        with only_one(settings.state_dir):
            settings.check_ports()
            supervisor = Supervisor(settings.state_dir / "log", settings.children_environment)
            supervisor.listen_for_signals()
            try:
                start_everything(supervisor, settings)
                say(welcome(settings, time.monotonic() - started))
                supervisor.run_until_stopped()
            except Stop:
                say("\nStopping")
            finally:
                supervisor.stop()
            say("Stopped")
    except Failed as failure:
        say(f"\n{failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
