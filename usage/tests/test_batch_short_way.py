"""A batch of which all is new and fits is one statement; whatever is in its way, it is answered as with care."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction

from billing.models import UserPlan
from usage import batches
from usage.batch_statements import Counter, CounterKind, Group, Kind
from usage.batches import Invalid, record_batch
from usage.errors import NoActivePlan
from usage.models import SpendCap, UsageAlert, UsageCounter, UsageEvent, UsageWarningChoice
from usage.plan_facts import plan_facts_of_many
from usage.tests.conftest import NOON
from usage.uses import use_of

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.django_db(transaction=True)]


def event(user, key, feature="synthetic_rows", amount=10, **fields):
    return use_of(user.pk, feature, amount, source="test", key=key, **fields)


def batch(*events):
    return record_batch(events, source="test", now=NOON)


def told(answers):
    return [answer.error.code if answer.error else answer.status for answer in answers]


@pytest.fixture
def with_care(monkeypatch):
    """How many batches were worked out with care."""
    taken, run = [], batches._Batch.run_with_care
    monkeypatch.setattr(batches._Batch, "run_with_care", lambda self: taken.append(1) or run(self))
    return taken


def on_its_own_connection(function, *arguments):
    try:
        return function(*arguments)
    finally:
        connection.close()


def somebody_waits_for_us():
    """Before ten seconds are over, for what this transaction has locked."""
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)) LIMIT 1"
            )
            if cursor.fetchone():
                return True
        time.sleep(0.01)
    return False


def test_what_cannot_be_read_is_no_obstacle(alice, bob, give_plan, with_care):
    give_plan(bob, give_plan(alice).plan)
    answers = batch(
        event(alice, "a"),
        Invalid("bad", NoActivePlan(feature="ai_prompt")),
        event(bob, "b", "ai_token", 7),
        event(alice, "c", "file_upload", 2),
    )
    assert told(answers) == ["accepted", "no_active_plan", "accepted", "accepted"]
    assert [answer.usage["id"] for answer in answers if answer.usage] == list(
        UsageEvent.objects.order_by("id").values_list("id", flat=True)
    )
    assert with_care == []


def test_nothing_but_what_cannot_be_read(with_care):
    assert told(batch(Invalid(None, NoActivePlan(feature="ai_prompt")))) == ["no_active_plan"]
    assert with_care == []


def test_numbers_go_on_from_what_was_used(alice, give_plan, use, with_care):
    give_plan(alice)
    use(alice, "synthetic_rows", 500)
    assert told(batch(*(event(alice, f"k{n}", amount=100) for n in range(5)))) == ["accepted"] * 5
    assert list(UsageEvent.objects.order_by("id").values_list("used_after", flat=True)) == [
        500,
        600,
        700,
        800,
        900,
        1000,
    ]
    assert UsageCounter.objects.get().used == 1000
    assert with_care == []


def test_a_plan_that_allows_less_by_now(alice, give_plan, with_care):
    plan = give_plan(alice).plan
    plan_facts_of_many([alice.pk])
    plan.synthetic_rows_per_month = 25
    plan.save()
    assert told(batch(*(event(alice, f"k{n}") for n in range(3)))) == ["accepted", "accepted", "limit_exceeded"]
    assert with_care == [1]


def test_a_plan_that_has_ended_by_now(alice, give_plan, with_care):
    give_plan(alice)
    plan_facts_of_many([alice.pk])
    UserPlan.objects.update(is_live=False)
    assert told(batch(event(alice, "k"))) == ["no_active_plan"]
    assert not UsageCounter.objects.exists() and with_care == [1]


def test_a_cap_in_dollars_that_was_set_a_moment_ago(alice, give_plan, with_care):
    give_plan(alice, token_price_cents=100)
    plan_facts_of_many([alice.pk])
    SpendCap.objects.create(user=alice, cents=150)
    answers = batch(event(alice, "a", "ai_token", 1_000_000), event(alice, "b", "ai_token", 1_000_000))
    assert told(answers) == ["accepted", "spend_cap_reached"]
    assert with_care == [1]


def test_a_limit_that_another_reaches_first(alice, give_plan, use, with_care):
    """He has the counter, and has not said yet what he does with it."""
    give_plan(alice)
    use(alice, "synthetic_rows", 10)
    events = [event(alice, f"k{n}") for n in range(10)]
    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        use(alice, "synthetic_rows", 960)
        answers = threads.submit(on_its_own_connection, batch, *events)
        assert somebody_waits_for_us()
    assert told(answers.result()) == ["accepted"] * 3 + ["limit_exceeded"] * 7
    assert UsageCounter.objects.get().used == 1000 and UsageEvent.objects.count() == 5
    assert with_care == [1]


def test_each_threshold_reached_is_warned_of(alice, bob, give_plan, with_care, monkeypatch):
    rung = []
    monkeypatch.setattr(batches, "ring_for", rung.append)
    give_plan(bob, give_plan(alice).plan)
    UsageWarningChoice.objects.create(user=alice, feature="synthetic_rows", own_threshold=30, mails=True)
    batch(*(event(user, f"{user.pk}-{n}", amount=100) for n in range(8) for user in (alice, bob)))
    assert set(UsageAlert.objects.values_list("user_id", "threshold")) == {(alice.pk, 30), (alice.pk, 80), (bob.pk, 80)}
    assert rung == [{alice.pk, bob.pk}]
    batch(event(alice, "more", amount=100))
    assert UsageAlert.objects.count() == 3 and len(rung) == 1
    assert with_care == []


def test_files_of_two_months_are_warned_of_in_their_own(alice, give_plan, with_care):
    """They add up without an end, and are warned of by the month in which they came."""
    give_plan(alice)
    before = NOON - timedelta(days=20)
    batch(event(alice, "a", "file_upload", 5, timestamp=before), event(alice, "b", "file_upload", 4))
    assert [(row.window_start > before, row.threshold) for row in UsageAlert.objects.all()] == [(True, 80)]
    assert with_care == [1]


def test_one_round_trip(alice, bob, give_plan, with_care, django_assert_num_queries):
    give_plan(bob, give_plan(alice).plan)
    plan_facts_of_many([alice.pk, bob.pk])
    # BEGIN and COMMIT, which are not needed where nobody counts.
    with django_assert_num_queries(3):
        batch(*(event((alice, bob)[n % 2], f"k{n}", "ai_token") for n in range(1000)))
    assert with_care == []


def test_counters_that_another_makes_are_locked_in_order(alice, bob, give_plan, make_plan, use, monkeypatch):
    """A batch that locked those behind them first would wait for somebody who waits for it."""
    monkeypatch.setattr(batches, "_TRIES", 1)
    give_plan(bob, give_plan(alice, make_plan(ai_prompts_per_day=10)).plan)
    batch(event(bob, "is there", "file_upload", 1))
    for turn in range(20):
        moment = NOON - timedelta(days=turn)

        def work(i, turn=turn, moment=moment):
            # Giving back is done with care. Prompts of a day: a new counter of Alice's, on each turn.
            return batch(
                event(alice, f"a{turn}-{i}", "ai_prompt", 1, timestamp=moment),
                event(bob, f"b{turn}-{i}", "file_upload", 1),
                event(bob, f"c{turn}-{i}", "file_upload", -1),
            )

        with ThreadPoolExecutor(3) as threads:
            with transaction.atomic():
                use(alice, "ai_prompt", 1, timestamp=moment)
                working = [threads.submit(on_its_own_connection, work, i) for i in range(3)]
                assert somebody_waits_for_us()
            answers = [work(3), *(one.result(timeout=30) for one in working)]
        assert [told(answer) for answer in answers] == [["accepted"] * 3] * 4


def test_nothing_of_it_waits_for_the_garbage_collector(alice, give_plan):
    give_plan(alice)
    batch(event(alice, "k0"))
    gc.collect()
    gc.disable()
    try:
        batch(*(event(alice, f"k{amount}", amount=amount) for amount in range(1, 21)))
        assert [one for one in gc.get_objects() if isinstance(one, (Counter, CounterKind, Group, Kind))] == []
    finally:
        gc.enable()
