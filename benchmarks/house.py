"""A database of its own for a benchmark, with 10,000 customers in it, and processes that work on it together."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
USERS = 10_000
# Started anew, not forked: a forked process would share its parent's connection.
_PROCESSES = multiprocessing.get_context("spawn")


@contextlib.contextmanager
def database(server_url: str) -> Iterator[str]:
    """A fresh database on the server with our tables; dropped afterwards. Django is set up for it. Yields its URL."""
    name = f"datilio_bench_{secrets.token_hex(4)}"
    server = urlsplit(server_url)
    with (
        psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as session,
        tempfile.TemporaryDirectory() as state,
    ):
        session.execute(f"CREATE DATABASE {name}")
        try:
            url = server._replace(path=f"/{name}").geturl()
            os.environ |= {"DATABASE_URL": url, "STATE_DIR": state, "LOG_LEVEL": "ERROR"}
            subprocess.run(
                [sys.executable, str(ROOT / "manage.py"), "prepare_database"], check=True, stdout=subprocess.DEVNULL
            )
            setup()
            yield url
        finally:
            from django.db import connection

            connection.close()
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def copy_of(url: str) -> Iterator[str]:
    """Another database that is what this one is now; dropped afterwards. Yields its URL."""
    from django.db import connection

    here = urlsplit(url)
    name = here.path.removeprefix("/")
    connection.close()
    with psycopg.connect(here._replace(path="/postgres").geturl(), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
        try:
            yield here._replace(path=f"/{name}_copy").geturl()
        finally:
            session.execute(f"DROP DATABASE {name}_copy WITH (FORCE)")


@contextlib.contextmanager
def using(url: str) -> Iterator[None]:
    """Processes that are started inside work on this database."""
    before = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = url
    try:
        yield
    finally:
        os.environ["DATABASE_URL"] = before


def setup() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")
    import django

    django.setup()


def settle_down() -> None:
    """What was written before is on the disk: it is no part of what is measured next."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("CHECKPOINT")
        cursor.execute("RESET statement_timeout")


def make_customers(count: int = USERS, **limits: Any) -> range:
    """Customers of one plan, with ids in a row, as have their UserPlans. `limits`: unlimited if not given."""
    from django.contrib.auth import get_user_model

    from billing.models import Plan, UserPlan

    User = get_user_model()
    start = datetime.now(UTC) - timedelta(days=3)
    tag = secrets.token_hex(3)
    plan = Plan.objects.create(
        name=f"Bench {tag}", state="published", price_monthly=10, stripe_product_id=f"prod_{tag}", **limits
    )
    first = (User.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    users = User.objects.bulk_create(
        [User(pk=first + n, email=f"{tag}-{n}@example.com", password="!") for n in range(count)], batch_size=2000
    )
    UserPlan.objects.bulk_create(
        [
            UserPlan(
                pk=user.pk,
                user=user,
                plan=plan,
                stripe_subscription_id=f"sub_{tag}_{user.pk}",
                stripe_price_id="price",
                duration_months=1,
                amount_cents=1000,
                status="active",
                is_live=True,
                start_date=start,
                current_period_start=start,
                current_period_end=start + timedelta(days=31),
                synced_at=start,
            )
            for user in users
        ],
        batch_size=2000,
    )
    return range(first, first + count)


# --- processes --------------------------------------------------------------------------------------------------------


def _worker(function: Callable[..., Any], ready: Any, results: Any, number: int, arguments: tuple[Any, ...]) -> None:
    setup()
    prepare = getattr(function, "prepare", None)
    if prepare is not None:
        prepare(*arguments)
    # As in datilio/wsgi.py.
    gc.collect()
    gc.freeze()
    ready.wait()
    try:
        results.put((number, function(number, *arguments)))
    except BaseException as error:
        results.put((number, error))


def together(processes: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What function(0, *arguments) ... return, each in a process of its own, let loose together."""
    ready, results = _PROCESSES.Barrier(processes), _PROCESSES.Queue()
    started = [
        _PROCESSES.Process(target=_worker, args=(function, ready, results, number, arguments), daemon=True)
        for number in range(processes)
    ]
    for process in started:
        process.start()
    outcomes = dict(results.get(timeout=3600) for _ in started)
    for process in started:
        process.join()
    for outcome in outcomes.values():
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcomes[number] for number in range(processes)]


def until(seconds: float, work: Callable[[], int]) -> float:
    """Call `work`, which says how much it did, for so long. Returns how much a second."""
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        done += work()
    return done / elapsed


def rate(rates: list[float]) -> float:
    return statistics.median(rates)
