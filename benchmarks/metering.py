"""What counting usage costs, as ratios measured side by side in one run. `python -m benchmarks.metering --help`."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.house import copy_of, database, make_customers, rate, settle_down, together, until, using
from benchmarks.load import granian, hammer, is_whole, post, prefork, redis

Row = tuple[str, str, str, str]


# --- one event --------------------------------------------------------------------------------------------------------


def record_for(number: int, users: range, seconds: float) -> float:
    """`record` for random users: events a second."""
    from usage.metering import record

    dice = random.Random()

    def one() -> int:
        # As pgbench does, from a generator of its own: a UUID asks the kernel.
        key = f"{dice.getrandbits(128):032x}"
        record(dice.choice(users), "synthetic_rows", 1, source="bench", key=key, now=datetime.now(UTC))
        return 1

    return until(seconds, one)


def _know_the_plans(users: range, *_: Any) -> None:
    from usage.plan_facts import plan_facts_of_many

    plan_facts_of_many(list(users))


record_for.prepare = _know_the_plans  # type: ignore[attr-defined]


def pgbench(url: str, script: str, clients: int, seconds: float) -> float:
    """Transactions a second of a script of one statement, prepared, which is pgbench's fastest way."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = ["pgbench", "-n", "-M", "prepared", "-f", file.name, "-c", str(clients), "-j", str(min(clients, 2))]
        out = subprocess.run(
            [*command, "-T", str(int(seconds)), url], check=True, capture_output=True, text=True, timeout=600
        ).stdout
    found = re.search(r"tps = ([\d.]+)", out)
    assert found, out
    return float(found[1])


def the_same_statement(users: range) -> str:
    """What `record` sends for an event, as a script: the same text with other names for its parameters."""
    from django.utils import timezone

    from usage.plan_facts import plan_facts_now
    from usage.statements import statement_and_params
    from usage.uses import place_of, use_of

    use = use_of(users[0], "synthetic_rows", 1, source="pgbench", key="key")
    facts = plan_facts_now(users[0])
    sql, params = statement_and_params(use, place_of(use, facts, timezone.now()))
    varying = {"user_id": ":u", "user_plan_id": ":u", "key": "'p' || :k"}

    def written(match: re.Match[str]) -> str:
        name = match[1]
        return varying.get(name) or _literal(params[name])

    body = re.sub(r"%\((\w+)\)s", written, sql)
    return f"\\set u random({users[0]}, {users[-1]})\n\\set k random(1, 1000000000000000)\n{body};\n"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return f"CAST({value} AS bigint)"
    if isinstance(value, datetime):
        # Without colons, in which pgbench would look for its variables.
        return f"CAST('{value:%Y%m%dT%H%M%S.%f}Z' AS timestamptz)"
    return f"'{value}'" if isinstance(value, str) else f"CAST('{value}' AS date)"


def single(url: str, users: range, rounds: int, seconds: float) -> list[Row]:
    script, rows = the_same_statement(users), []
    for clients, wanted in ((1, 0.7), (2, 0.7), (8, 0.5)):
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(pgbench(url, script, clients, seconds))
            ours.append(sum(together(clients, record_for, users, seconds)))
        rows.append(_row(f"record, {clients} client{'s' * (clients > 1)}", ours, "pgbench, same SQL", theirs, wanted))
    return rows


def _row(ours_name: str, ours: list[float], theirs_name: str, theirs: list[float], wanted: float) -> Row:
    # Side by side: each round's own ratio, so that a machine that is busy for a while is busy for both.
    ratio = rate([one / other for one, other in zip(ours, theirs, strict=True)])
    mark = "" if ratio >= wanted else "  TOO LITTLE"
    return (
        f"{ours_name}: {rate(ours):,.0f}/s",
        f"{theirs_name}: {rate(theirs):,.0f}/s",
        f"{ratio:.2f}",
        f">= {wanted:g}{mark}",
    )


# --- batches ----------------------------------------------------------------------------------------------------------


def batches_for(number: int, users: range, seconds: float) -> float:
    """Batches of 1,000 for random users: events a second."""
    from django.utils import timezone

    from usage.batches import record_batch
    from usage.uses import use_of

    dice = random.Random()

    def one() -> int:
        # Random keys from one drawing: a thousand UUIDs cost as much as a tenth of counting them.
        drawn = secrets.token_hex(16 * 1000)
        keys = [drawn[start : start + 32] for start in range(0, len(drawn), 32)]
        uses = [
            use_of(user_id, "synthetic_rows", 1, source="bench", key=key)
            for user_id, key in zip(dice.choices(users, k=1000), keys, strict=True)
        ]
        answers = record_batch(uses, source="bench", now=timezone.now())
        assert all(answer.status == "accepted" for answer in answers)
        return 1000

    return until(seconds, one)


batches_for.prepare = _know_the_plans  # type: ignore[attr-defined]


def batch(url: str, users: range, rounds: int, seconds: float) -> list[Row]:
    rows = []
    for name, some in (("10,000 users", users), ("100 users", users[:100])):
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.extend(together(1, record_for, some, seconds))
            ours.extend(together(1, batches_for, some, seconds))
        rows.append(_row(f"batches of 1,000, {name}", ours, "record, one by one", theirs, 15))
    return rows


# --- over HTTP --------------------------------------------------------------------------------------------------------


def http(url: str, users: range, rounds: int, seconds: float) -> list[Row]:
    """The site as in production: rate limits in Redis, and no caller refused: 64 backends, each with its own key and
    address."""
    from usage.api_keys import make_api_key

    keys = [make_api_key(f"bench {uuid.uuid4().hex}", ["usage:write"])[1] for _ in range(64)]
    dice = random.Random()

    def event() -> dict[str, Any]:
        return {"user_id": dice.choice(users), "feature": "synthetic_rows", "amount": 1, "key": uuid.uuid4().hex}

    def headers() -> str:
        backend = dice.randrange(len(keys))
        return f"Authorization: Api-Key {keys[backend]}\r\nX-Forwarded-For: 10.0.0.{backend}\r\n"

    def one() -> bytes:
        return post("/api/usage/events", json.dumps(event()).encode(), headers())

    def thousand() -> bytes:
        body = json.dumps({"events": [event() for _ in range(1000)]}).encode()
        return post("/api/usage/events", body, headers())

    batches = [thousand() for _ in range(40)]

    def next_batch() -> bytes:
        # Made before: making one costs about as much as counting it. When they run out, new ones.
        return batches.pop() if batches else thousand()

    bare_rates, one_rates, batch_rates, inside_rates = [], [], [], []
    with (
        redis() as redis_url,
        granian("benchmarks.bare:application", {}) as (bare, _),
        granian("datilio.wsgi:application", _site(redis_url)) as (site, _),
    ):
        for port, request in ((bare, one), (site, one), (site, next_batch)):
            # Until every thread has its connection.
            hammer(port, request, 4)
        _let_workers_know(site, users, headers)
        for _ in range(rounds):
            bare_rates.append(hammer(bare, one, seconds)[0])
            answers, statuses = hammer(site, one, seconds)
            assert set(statuses) == {201}, statuses
            one_rates.append(answers)
        for _ in range(rounds):
            batches.extend(thousand() for _ in range(60))
            answers, statuses = hammer(site, next_batch, seconds, connections=2)
            assert set(statuses) == {200}, statuses
            batch_rates.append(answers * 1000)
            inside_rates.append(sum(together(2, batches_for, users, seconds)))
    return [
        _row("one event over HTTP", one_rates, "bare view, same server", bare_rates, 0.25),
        _row("batches over HTTP", batch_rates, "record_batch, 2 processes", inside_rates, 0.5),
    ]


def _let_workers_know(port: int, users: range, headers: Callable[[], str]) -> None:
    """Every user's plan, as after hours of work: a process asks for it at the user's first event. Every thousand of
    users comes by each of connections that are open together: idle workers do not share out single ones."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(16)
        ]
        for start in range(0, len(users), 1000):
            for connection in connections:
                events = [
                    {"user_id": user_id, "feature": "synthetic_rows", "amount": 1, "key": uuid.uuid4().hex}
                    for user_id in users[start : start + 1000]
                ]
                request = post("/api/usage/events", json.dumps({"events": events}).encode(), headers())
                connection.sendall(request)
                assert _answer_of(connection).startswith(b"HTTP/1.1 200")


def _answer_of(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not is_whole(answer):
        chunk = connection.recv(1 << 20)
        assert chunk, "The server closed the connection."
        answer += chunk
    return bytes(answer)


def _site(redis_url: str | None) -> dict[str, str]:
    return {"TRUSTED_PROXY_COUNT": "1", "LOG_LEVEL": "ERROR"} | ({"REDIS_URL": redis_url} if redis_url else {})


# --- reading ----------------------------------------------------------------------------------------------------------


def reads_for(number: int, users: range, seconds: float) -> float:
    """Limits and the first page of random users: pairs a second."""
    from django.utils import timezone

    from usage.history import usage_of
    from usage.limits import limits_of

    dice = random.Random()

    def one() -> int:
        user_id = dice.choice(users)
        limits_of(user_id, timezone.now())
        usage_of(user_id, limit=50)
        return 1

    return until(seconds, one)


def _events(users: range, count: int) -> None:
    """`count` events of the last 90 days for these users, put straight into the table."""
    from django.db import connection

    from usage.partitions import make_partition_of

    for days in (0, 30, 60, 90):
        make_partition_of(datetime.now(UTC) - timedelta(days=days))
    step = 500_000
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for start in range(0, count, step):
            cursor.execute(
                "INSERT INTO usage_usageevent (user_id, feature, amount, timestamp, source, key, model, window_start, "
                "used_after) SELECT %s + n %% %s, (ARRAY['synthetic_rows', 'ai_prompt', 'ai_token'])[1 + n %% 3], 1, "
                "now() - n %% 7776000 * interval '1 second', 'bench', 'fill-' || n, '', now(), n "
                "FROM generate_series(%s::bigint, %s::bigint) n",
                [users[0], len(users), start, min(start + step, count) - 1],
            )
        cursor.execute("VACUUM ANALYZE usage_usageevent")


def reads(url: str, users: range, rounds: int, seconds: float, millions: int = 10) -> list[Row]:
    """The same two reads of customers with 60 events each, in two databases in turn: one has nothing else, in the other
    they are beside 10 million events of others."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from usage.history import usage_of
    from usage.limits import limits_of

    few = make_customers(1000)
    _events(few, 60_000)
    with copy_of(url) as without:
        _events(make_customers(), millions * 1_000_000)
        beside, alone = [], []
        for _ in range(rounds):
            beside.extend(together(1, reads_for, few, seconds))
            with using(without):
                alone.extend(together(1, reads_for, few, seconds))
    with CaptureQueriesContext(connection) as queries:
        limits_of(few[0], timezone.now())
        usage_of(few[0], limit=50)
    return [
        _row(f"limits and first page beside {millions} million", beside, "beside none", alone, 0.8),
        ("  queries for both", f"{len(queries)}", "", "the same always"),
    ]


# --- never over, never lost -------------------------------------------------------------------------------------------


def attempts_for(number: int, user_id: int, attempts: int) -> tuple[int, int]:
    """Attempts to use one: even processes in batches of 1,000, odd ones one by one. (how many, granted)."""
    from django.utils import timezone

    from usage.batches import record_batch
    from usage.errors import LimitExceeded
    from usage.metering import record
    from usage.uses import use_of

    granted = 0
    if number % 2:
        for n in range(attempts):
            with suppress(LimitExceeded):
                record(user_id, "synthetic_rows", 1, source="bench", key=f"{number}-{n}", now=timezone.now())
                granted += 1
        return attempts, granted
    for start in range(0, attempts, 1000):
        uses = [
            use_of(user_id, "synthetic_rows", 1, source="bench", key=f"{number}-{n}")
            for n in range(start, min(start + 1000, attempts))
        ]
        answers = record_batch(uses, source="bench", now=timezone.now())
        granted += sum(answer.status == "accepted" for answer in answers)
    return attempts, granted


def holds_for(number: int, user_id: int, count: int) -> int:
    """Holds of 10 seconds that end in every way: settled in time, late, at the very moment, released, forgotten.
    Returns what was truly used."""
    from django.utils import timezone

    from usage.holds import give_back_expired_holds, hold, settle

    dice, used, held = random.Random(number), 0, []
    for n in range(count):
        made = hold(
            user_id,
            "ai_prompt",
            1,
            source="bench",
            key=f"h{number}-{n}",
            expires_in=timedelta(seconds=10),
            now=timezone.now(),
        )
        held.append(made.hold)
    for one in held:
        # Clocks are told, not waited for: a moment around its expiry, before or after the sweep.
        moment = one["expires_at"] + timedelta(seconds=dice.choice((-1, 0, 0, 1)))
        if dice.random() < 0.5:
            give_back_expired_holds(moment)
        if dice.random() < 0.7:
            used += 1
            settle(one["id"], 1, source="bench", now=moment)
            settle(one["id"], 1, source="bench", now=moment)
    give_back_expired_holds(max(one["expires_at"] for one in held))
    return used


def million(url: str, users: range, rounds: int, seconds: float, attempts: int = 1_000_000) -> list[Row]:
    from usage.models import UsageCounter, UsageEvent, UsageHold

    limit = attempts // 5
    (user_id,) = make_customers(1, synthetic_rows_per_month=limit)
    (batching, single), (in_batches, one_by_one) = (4, 4), (attempts * 24 // 100, attempts // 100)
    counts = together(batching + single, _uneven_attempts, user_id, in_batches, one_by_one)
    tried, granted = (sum(column) for column in zip(*counts, strict=True))
    counter = UsageCounter.objects.get(user_id=user_id)
    events = UsageEvent.objects.filter(user_id=user_id).count()
    (holder,) = make_customers(1)
    used = sum(together(4, holds_for, holder, 25))
    prompts = UsageCounter.objects.get(user_id=holder)
    open_holds = UsageHold.objects.filter(user_id=holder, state="open").count()
    return [
        _exactly(f"{tried:,} attempts at once on {limit:,}: granted", granted, limit),
        _exactly("  the counter", counter.used, limit),
        _exactly("  the events", events, limit),
        _exactly("100 holds racing their expiry: used", prompts.used, used),
        _exactly("  still held, still open", prompts.held + open_holds, 0),
    ]


def _uneven_attempts(number: int, user_id: int, in_batches: int, one_by_one: int) -> tuple[int, int]:
    return attempts_for(number, user_id, one_by_one if number % 2 else in_batches)


def _exactly(name: str, found: int, wanted: int) -> Row:
    return name, f"{found:,}", "", f"= {wanted:,}" + ("" if found == wanted else "  WRONG")


def kill(url: str, users: range, rounds: int, seconds: float, kills: int = 200) -> list[Row]:
    """Web processes killed with -9 while backends send, blindly, until each event and batch is answered."""
    from usage.api_keys import make_api_key
    from usage.models import UsageCounter, UsageDay, UsageEvent, UsageKey

    some = make_customers(50)
    keys = [make_api_key(f"kill {uuid.uuid4().hex}", ["usage:write"])[1] for _ in range(64)]
    with redis() as redis_url, prefork(_site(redis_url)) as (port, server):
        stop = threading.Event()
        senders = [Sender(port, some, keys, stop, number) for number in range(8)]
        for sender in senders:
            sender.start()
        killed, dice = 0, random.Random()
        while killed < kills:
            time.sleep(dice.uniform(0.05, 0.3))
            if workers := _workers_of(server.pid):
                with suppress(ProcessLookupError):
                    os.kill(dice.choice(workers), signal.SIGKILL)
                    killed += 1
        stop.set()
        for sender in senders:
            sender.join()
    sent = sum(sender.sent for sender in senders)
    mine = {"user_id__in": list(some)}
    counted = sum(UsageCounter.objects.filter(**mine).values_list("used", flat=True))
    days = sum(UsageDay.objects.filter(**mine).values_list("amount", flat=True))
    events = UsageEvent.objects.filter(**mine)
    return [
        _exactly(f"{killed} kills, {sum(s.retries for s in senders):,} retries: events", events.count(), sent),
        _exactly("  the counters", counted, sent),
        _exactly("  the days", days, sent),
        _exactly("  the keys", UsageKey.objects.filter(event_id__in=events.values("id")).count(), sent),
    ]


def _workers_of(pid: int) -> list[int]:
    """The processes that `pid` has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


class Sender(threading.Thread):
    """A backend: sends an event, or a batch of 20, again and again until it is answered."""

    def __init__(self, port: int, users: range, keys: list[str], stop: threading.Event, number: int) -> None:
        super().__init__()
        self.port, self.users, self.keys, self.stop, self.number = port, users, keys, stop, number
        self.sent = self.retries = 0

    def run(self) -> None:
        dice, n = random.Random(self.number), 0
        while not self.stop.is_set():
            n += 1
            size = dice.choice((1, 1, 20))
            events = [
                {
                    "user_id": dice.choice(self.users),
                    "feature": "ai_token",
                    "amount": 1,
                    "key": f"{self.number}-{n}-{i}",
                }
                for i in range(size)
            ]
            body = json.dumps(events[0] if size == 1 else {"events": events}).encode()
            self._until_answered(post("/api/usage/events", body, self._headers(dice)), size)
            self.sent += size

    def _headers(self, dice: random.Random) -> str:
        address = f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}"
        key = self.keys[self.number]
        return f"Authorization: Api-Key {key}\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n"

    def _until_answered(self, request: bytes, size: int) -> None:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                connection.sendall(request)
                answer = b""
                while chunk := connection.recv(1 << 16):
                    answer += chunk
                if answer[9:12] in (b"200", b"201"):
                    assert answer.count(b'"refused"') == 0, answer
                    return
                assert not answer or answer[9:12] in (b"429", b"500", b"502", b"503"), answer
            self.retries += 1
            time.sleep(0.05)


BENCHMARKS: dict[str, Callable[[str, range, int, float], list[Row]]] = {
    "single": single,
    "batch": batch,
    "http": http,
    "reads": reads,
    "million": million,
    "kill": kill,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database-url", required=True, help="A PostgreSQL server; a database is made on it and dropped."
    )
    parser.add_argument("--rounds", type=int, default=5, help="Each is measured so often, in turn; medians are shown.")
    parser.add_argument("--seconds", type=float, default=4, help="For one measurement.")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="Which; all if none is named.")
    options = parser.parse_args()
    with database(options.database_url) as url:
        users = make_customers()
        for name in options.names or BENCHMARKS:
            settle_down()
            start = time.monotonic()
            for row in BENCHMARKS[name](url, users, options.rounds, options.seconds):
                print("  ".join(f"{cell:<44}" for cell in row[:2]) + f"{row[2]:>8}  {row[3]}", flush=True)
            print(f"    ({name}: {time.monotonic() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
