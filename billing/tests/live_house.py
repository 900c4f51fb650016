"""The web process and the local Stripe as `make run` starts them, on free ports, with people who may be killed with it.

For what only real processes show: requests at the same moment (benchmarks/parallel.py) and a web process that dies at
any moment (benchmarks/kills.py). sqlite in a folder of its own, or a database of its own on the server of DATABASE_URL.
"""

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import stripe

from datilio.run import HOST, LOCAL_STRIPE_KEY, LOCAL_WEBHOOK_SECRET, ROOT

LIVE = ("trialing", "active", "past_due", "unpaid")
READY_WITHIN = 120
_PEOPLE = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from accounts.models import User
from accounts.tokens import issue_tokens
from billing.catalog import publish_plan, seed_plans
from billing.customers import ensure_customer
from billing.models import Plan
for plan in seed_plans():
    publish_plan(plan)
people = []
for number in range(COUNT):
    user = User.objects.create_user(f"live{number}@example.com", None)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    people.append([issue_tokens(user).access, session.session_key, ensure_customer(user)])
plans = dict(Plan.objects.values_list("name", "pk"))
print("PEOPLE" + json.dumps([people, plans]))
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Person:
    """One customer: their API calls, and what Stripe says of them."""

    def __init__(self, house: "LiveHouse", token: str, session_key: str, customer: str) -> None:
        self._house, self._token, self._session_key, self.customer = house, token, session_key, customer

    def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """(status, answer); (0, {}) when the connection died."""
        return self._ask("POST", f"/api/{path}", json=body, headers={"Authorization": f"Bearer {self._token}"})

    def choose(self, path: str, plan: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return self.post(path, plan_id=self._house.plans[plan], duration_months=1, **more)

    def plan(self) -> dict[str, Any] | None:
        status, answer = self._ask("GET", "/api/user/plan", headers={"Authorization": f"Bearer {self._token}"})
        assert status == 200, answer
        return answer["user_plan"]

    def come_back(self, session: str) -> tuple[int, dict[str, Any]]:
        """The way back from Stripe's page."""
        path = f"/billing/checkout/return?session_id={session}"
        return self._ask("GET", path, cookies={"sessionid": self._session_key})

    def _ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        try:
            answer = httpx.request(method, self._house.address + path, timeout=60, **more)
        except httpx.TransportError:
            return 0, {}
        return answer.status_code, answer.json() if "json" in answer.headers["Content-Type"] else {}

    # --- at Stripe
    def has_a_card(self) -> None:
        v1 = self._house.stripe.v1
        card = v1.payment_methods.attach("pm_card_visa", {"customer": self.customer})
        v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": card.id}})

    def pay(self, checkout_url: str) -> str:
        """On Stripe's page; returns the session."""
        session = checkout_url.rsplit("/", 1)[-1]
        httpx.post(f"{self._house.stripe_address}/_sandbox/checkout/{session}/pay", json={}, timeout=60)
        return session

    def live_subscriptions(self) -> list[Any]:
        found = self._house.stripe.v1.subscriptions.list({"customer": self.customer, "status": "all"}).data
        return [one for one in found if one["status"] in LIVE]

    def charged(self) -> list[int]:
        return [one["amount"] for one in self._house.stripe.v1.charges.list({"customer": self.customer}).data]

    def open_sessions(self) -> int:
        found = self._house.stripe.v1.checkout.sessions.list({"customer": self.customer, "limit": 100}).data
        return sum(one["status"] == "open" for one in found)

    def our_row_is_true(self) -> bool:
        """Does our API tell of the one subscription that Stripe has?"""
        live, ours = self.live_subscriptions(), self.plan()
        if not live or ours is None:
            return not live and ours is None
        end = ours["current_period_end"]
        theirs = live[0]["items"]["data"][0]["current_period_end"]
        return len(live) == 1 and time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(theirs)) == end


class LiveHouse:
    """`with LiveHouse(people=3) as house:` Everything runs; .people are customers with a Stripe customer each."""

    def __init__(self, people: int) -> None:
        self._count = people
        self._folder = Path(tempfile.mkdtemp(prefix="live-house-"))
        self._port, stripe_port = _free_port(), _free_port()
        self.address, self.stripe_address = f"http://{HOST}:{self._port}", f"http://{HOST}:{stripe_port}"
        self._environment = {
            **os.environ,
            "STATE_DIR": str(self._folder),
            "PORT": str(self._port),
            "STRIPE_SANDBOX_PORT": str(stripe_port),
            "RATELIMIT_ENABLE": "false",
            "ACCESS_TOKEN_MINUTES": "600",
            "LOG_LEVEL": "ERROR",
            "EMAIL_URL": "dummymail://",
        }
        # A database of its own on the server that DATABASE_URL names: the test run's own is not there for processes.
        self._server = os.environ.get("DATABASE_URL", "")
        self._database = f"datilio_live_{secrets.token_hex(4)}" if self._server else ""
        if self._server:
            self._environment["DATABASE_URL"] = urlsplit(self._server)._replace(path=f"/{self._database}").geturl()
        self.stripe = stripe.StripeClient(LOCAL_STRIPE_KEY, base_addresses={"api": self.stripe_address})
        self._stripe_command = [
            *(sys.executable, "-m", "stripe_sandbox", "--host", HOST, "--port", str(stripe_port)),
            *("--database", str(self._folder / "stripe.sqlite3"), "--secret-key", LOCAL_STRIPE_KEY),
            *("--webhook-url", f"{self.address}/api/stripe/webhook", "--webhook-secret", LOCAL_WEBHOOK_SECRET),
        ]
        self._web: subprocess.Popen[bytes] | None = None
        self._stripe_process: subprocess.Popen[bytes] | None = None
        self.people: list[Person] = []
        self.plans: dict[str, int] = {}

    def __enter__(self) -> "LiveHouse":
        try:
            self._stripe_process = self._start(self._stripe_command)
            self._wait(lambda: httpx.get(f"{self.stripe_address}/_sandbox/health"))
            self._on_the_server(f"CREATE DATABASE {self._database}")
            self._manage("prepare_database")
            made = self._manage("shell", "-c", _PEOPLE.replace("COUNT", str(self._count)))
            self.start_web()
            people, plans = json.loads(made.split("PEOPLE", 1)[1])
            self.people = [Person(self, *one) for one in people]
            self.plans = {name.rsplit(" ", 1)[-1].lower(): pk for name, pk in plans.items()}
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: Any) -> None:
        self.kill_web()
        if self._stripe_process:
            self._stripe_process.kill()
            self._stripe_process.wait()
        self._on_the_server(f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _on_the_server(self, statement: str) -> None:
        if self._server:
            server = urlsplit(self._server)._replace(path="/postgres").geturl()
            with psycopg.connect(server, autocommit=True) as session:
                session.execute(statement)

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def _manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _wait(self, ask: Callable[[], httpx.Response]) -> None:
        ends = time.monotonic() + READY_WITHIN
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.TransportError):
                if ask().status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("it did not start: " + (self._folder / "log").read_text()[-2000:])

    def start_web(self) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "4"]
        command += ["--no-ws", "--host", HOST, "--port", str(self._port), "--log-level", "warning"]
        self._web = self._start([*command, "datilio.wsgi:application"])
        self._wait(lambda: httpx.get(f"{self.address}/healthz"))

    def kill_web(self) -> None:
        """`kill -9`, the server and its worker."""
        if self._web:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._web.pid, signal.SIGKILL)
            self._web.wait()
            self._web = None


# --- many at once -----------------------------------------------------------------------------------------------------


def at_once(calls: list[Callable[[], tuple[int, dict[str, Any]]]]) -> list[tuple[int, str]]:
    """All of them from the same moment on; (status, code of the refusal) of each."""
    start = threading.Barrier(len(calls))

    def one(call: Callable[[], tuple[int, dict[str, Any]]]) -> tuple[int, str]:
        start.wait(30)
        status, answer = call()
        return status, str(answer.get("code", ""))

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


# --- killed -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def killed_meanwhile(house: LiveHouse, seconds: float) -> Iterator[None]:
    """Within the block the web process dies so long after its beginning; afterwards it runs again."""
    killer = threading.Timer(seconds, house.kill_web)
    killer.start()
    try:
        yield
    finally:
        killer.join()
        house.start_web()


KILLS = ("purchase/plan: a first one", "purchase/plan: an upgrade", "the way back from Checkout", "the webhook")


def die_in(kind: str, house: LiveHouse, person: Person, r: random.Random, typical: float) -> list[str]:
    """One purchase of a kind in which the web process is killed, restarted, and the button pressed blindly again.

    typical: seconds that such a request takes. Returns what was broken: nothing.
    """
    person.has_a_card()
    wanted, moment = "pro", r.uniform(0, typical * 1.3)
    if kind == KILLS[0]:
        with killed_meanwhile(house, moment):
            person.choose("purchase/plan", "pro")
        last = [person.choose("purchase/plan", "pro") for _ in range(2)][-1]
    elif kind == KILLS[1]:
        wanted = "team"
        person.choose("purchase/plan", "pro")
        with killed_meanwhile(house, moment):
            person.choose("purchase/plan", "team")
        last = [person.choose("purchase/plan", "team") for _ in range(2)][-1]
    else:
        _, answer = person.choose("create-checkout-session", "pro")
        if kind == KILLS[2]:
            session = person.pay(answer["checkout_url"])
            with killed_meanwhile(house, moment):
                person.come_back(session)
        else:
            with killed_meanwhile(house, moment):  # Stripe's events come by themselves, again and again
                session = person.pay(answer["checkout_url"])
        person.come_back(session)
        last = person.choose("purchase/plan", "pro")
    broken = []
    if (last[0], last[1].get("code")) != (409, "already_subscribed"):
        broken.append(f"pressing again ended in {last}")
    live, charged = person.live_subscriptions(), person.charged()
    if len(live) != 1:
        broken.append(f"{len(live)} live subscriptions")
    price = {"pro": 2900, "team": 9900}[wanted]
    if not price - 5 <= sum(charged) <= price or len(charged) != (2 if wanted == "team" else 1):
        broken.append(f"charged {charged}")
    if not person.our_row_is_true():
        broken.append(f"our row says {person.plan()}")
    return broken
