"""Live many histories and say whether every promise was kept.

    python -m benchmarks.histories 10000            over two processes
    python -m benchmarks.histories --seed 4711      one again, exactly; a failing one is made as short as it can be
    python -m benchmarks.histories 500 --first 9000 --processes 1

What a history is: billing/tests/histories/. The database is sqlite in memory; dj-stripe's mirror is left out (the tests
have it). Exit code 1 when a promise was broken.
"""

import argparse
import contextlib
import gc
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any


class _NoMigrations:
    """Tables straight from the models: dj-stripe's migrations take a minute."""

    def __contains__(self, app: str) -> bool:
        return True

    def __getitem__(self, app: str) -> None:
        return None


@contextlib.contextmanager
def _a_world() -> Iterator[tuple[Any, Any]]:
    """(World, a function that puts the database back to the World's beginning)."""
    import logging

    import django

    django.setup()
    from django.conf import settings
    from django.db import connection

    # What chaos makes our code log is expected here.
    logging.disable(logging.CRITICAL)
    settings.MIGRATION_MODULES = _NoMigrations()
    connection.settings_dict["TEST"]["NAME"] = None  # in memory
    connection.creation.create_test_db(verbosity=0, serialize=False)
    from billing.tests.histories.world import World

    with World() as world:
        template = sqlite3.connect(":memory:")
        connection.ensure_connection()
        connection.connection.backup(template)
        yield world, lambda: template.backup(connection.connection)


def _work(first: int, step: int, count: int, reports: Any, profile: bool = False) -> None:
    os.environ["STATE_DIR"] = tempfile.mkdtemp(prefix="histories-")
    from_zero: Counter[str] = Counter()
    with _a_world() as (world, roll_back):
        from billing.tests.histories import steps, story

        reports.put(("ready", None))
        # A history makes and drops a hundred thousand small dicts; looking for cycles among them after each 700 is a
        # tenth of the time.
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        for seed in range(first, first + count, step):
            history = steps.draw(seed)
            roll_back()
            why = story.why_it_fails(world, history)
            from_zero.update(name for name, _ in history.steps)
            reports.put(("lived", (seed, why, len(history.steps))))
        reports.put(("done", dict(from_zero)))


def _many(count: int, first: int, processes: int) -> int:
    reports: Any = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=_work, args=(first + n, processes, count - n, reports)) for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    lived, steps, broken, busy = 0, 0, [], processes
    what: Counter[str] = Counter()
    began = told = time.monotonic()
    while busy:
        try:
            kind, value = reports.get(timeout=5)
        except Exception:
            if not any(worker.is_alive() for worker in workers):
                print("a process died")
                return 2
            continue
        if kind == "done":
            busy -= 1
            what.update(value)
        elif kind == "lived":
            seed, why, length = value
            lived, steps = lived + 1, steps + length
            if why:
                broken.append(seed)
                print(f"BROKEN seed {seed}: {why[:300]}", flush=True)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(f"{lived} of {count}, {lived / (told - began):.1f}/s, {len(broken)} broken", flush=True)
    seconds = time.monotonic() - began
    for worker in workers:
        worker.join()
    print("steps: " + ", ".join(f"{name} {number}" for name, number in what.most_common()))
    print(
        f"{lived} histories ({steps} steps) in {seconds:.0f} s over {processes} processes: {lived / seconds:.1f}/s; "
        f"{len(broken)} broken"
    )
    if broken:
        print(f"again: python -m benchmarks.histories --seed {broken[0]}")
    return 1 if broken else 0


def _one(seed: int, *, shorten: bool) -> int:
    os.environ["STATE_DIR"] = tempfile.mkdtemp(prefix="histories-")
    with _a_world() as (world, roll_back):
        from billing.tests.histories import steps, story

        def fails(history: Any) -> str | None:
            roll_back()
            return story.why_it_fails(world, history)

        history = steps.draw(seed)
        print(history)
        if fails(history) is None:
            print("every promise was kept")
            return 0
        print(story.shortest(history, fails) if shorten else fails(history))
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="live this one only")
    parser.add_argument("--whole", action="store_true", help="with --seed: do not shorten it")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")
    os.environ.pop("DATABASE_URL", None)
    if given.seed is not None:
        return _one(given.seed, shorten=not given.whole)
    return _many(given.count, given.first, given.processes)


if __name__ == "__main__":
    sys.exit(main())
