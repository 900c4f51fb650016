"""Batches, single events, holds and their expiry against each other: never over, never lost, never twice."""

import random
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db.models import Sum

from datilio.errors import DomainError
from usage.batches import record_batch
from usage.errors import LimitExceeded
from usage.holds import give_back_expired_holds, hold, release, settle
from usage.models import UsageCounter, UsageDay, UsageEvent, UsageHold, UsageKey
from usage.tests.conftest import NOON
from usage.uses import use_of

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOON + timedelta(minutes=6)


def event(user, key, feature="synthetic_rows", amount=1):
    return use_of(user.pk, feature, amount, source="test", key=key)


def batch(*events):
    return record_batch(events, source="test", now=NOON)


def nobody_failed(outcomes):
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []


def the_books_agree():
    """Counters are the sum of their events, days too, and every event has its key."""
    for counter in UsageCounter.objects.all():
        events = UsageEvent.objects.filter(
            user=counter.user, feature=counter.feature, window_start=counter.window_start
        )
        assert counter.used == (events.aggregate(total=Sum("amount"))["total"] or 0)
    for day in UsageDay.objects.all():
        events = UsageEvent.objects.filter(user=day.user_id, feature=day.feature, timestamp__date=day.day)
        assert day.amount == events.aggregate(total=Sum("amount"))["total"]
    keyed = UsageEvent.objects.exclude(source__startswith="hold:")
    assert set(UsageKey.objects.values_list("event_id", flat=True)) == set(keyed.values_list("id", flat=True))


@pytest.mark.slow
def test_batches_and_singles_share_a_limit_exactly(at_once, alice, give_plan, use):
    give_plan(alice)

    def some(i):
        if i % 2:
            answers = batch(*(event(alice, f"b{i}-{n}", amount=7) for n in range(60)))
            return sum(answer.status == "accepted" for answer in answers)
        counted = 0
        for n in range(60):
            with suppress(LimitExceeded):
                use(alice, "synthetic_rows", 7, key=f"s{i}-{n}")
                counted += 1
        return counted

    outcomes = at_once(6, some)
    nobody_failed(outcomes)
    assert sum(outcomes) == 142
    assert UsageCounter.objects.get().used == 994
    the_books_agree()


@pytest.mark.slow
def test_the_same_batch_at_once_counts_once(at_once, alice, bob, give_plan):
    give_plan(bob, give_plan(alice).plan)
    events = [event((alice, bob)[n % 2], f"k{n}") for n in range(40)]
    outcomes = at_once(6, lambda i: batch(*random.Random(i).sample(events, 40)))
    nobody_failed(outcomes)
    statuses = [answer.status for answers in outcomes for answer in answers]
    assert (statuses.count("accepted"), statuses.count("duplicate")) == (40, 200)
    ids = {(answer.key, answer.usage["id"]) for answers in outcomes for answer in answers}
    assert len(ids) == 40
    the_books_agree()


def test_one_key_for_different_customers_in_two_batches_counts_for_one(at_once, alice, bob, give_plan):
    give_plan(bob, give_plan(alice).plan)
    outcomes = at_once(
        6, lambda i: batch(*(event((alice, bob)[i % 2], f"k{n}") for n in (range(20), range(19, -1, -1))[i % 2]))
    )
    nobody_failed(outcomes)
    assert UsageEvent.objects.count() == UsageKey.objects.count() == 20
    assert sum(UsageCounter.objects.values_list("used", flat=True)) == 20
    the_books_agree()


def test_a_single_and_a_batch_with_the_same_event(at_once, alice, give_plan, use):
    give_plan(alice)
    outcomes = at_once(6, lambda i: batch(event(alice, "k")) if i % 2 else use(alice, "synthetic_rows", 1, key="k"))
    nobody_failed(outcomes)
    assert UsageCounter.objects.get().used == UsageEvent.objects.count() == 1


def test_holds_share_a_limit_exactly(at_once, alice, give_plan, make_plan):
    give_plan(alice, make_plan(ai_prompts_per_day=9))

    def some(i):
        made = []
        for n in range(4):
            with suppress(LimitExceeded):
                made.append(hold(alice.pk, "ai_prompt", 1, source="test", key=f"h{i}-{n}", tokens=10, now=NOON))
        return made

    outcomes = at_once(6, some)
    nobody_failed(outcomes)
    assert sum(len(made) for made in outcomes) == 9
    assert {row.feature: row.held for row in UsageCounter.objects.all()} == {"ai_prompt": 9, "ai_token": 90}


def test_one_hold_for_one_key(at_once, alice, give_plan):
    give_plan(alice)
    outcomes = at_once(6, lambda i: hold(alice.pk, "ai_prompt", 1, source="test", key="h", now=NOON))
    nobody_failed(outcomes)
    assert len({outcome.hold["id"] for outcome in outcomes}) == 1
    assert UsageCounter.objects.get().held == 1


def test_settling_at_once_counts_once(at_once, alice, give_plan):
    give_plan(alice)
    made = hold(alice.pk, "ai_prompt", 1, source="test", key="h", tokens=50, now=NOON)
    outcomes = at_once(6, lambda i: settle(made.hold["id"], 1, tokens=20, source="test", now=NOON))
    nobody_failed(outcomes)
    assert sum(not outcome.replay for outcome in outcomes) == 1
    assert {row.feature: (row.used, row.held) for row in UsageCounter.objects.all()} == {
        "ai_prompt": (1, 0),
        "ai_token": (20, 0),
    }


@pytest.mark.slow
def test_a_hundred_holds_racing_their_expiry_are_neither_lost_nor_doubled(at_once, alice, give_plan, make_plan):
    give_plan(alice, make_plan(ai_prompts_per_day=1000))
    ids = [
        hold(alice.pk, "ai_prompt", 1, source="test", key=f"h{n}", tokens=10, now=NOON).hold["id"] for n in range(100)
    ]

    def race(i):
        order = random.Random(i).sample(ids, 100)
        if i == 0:
            return give_back_expired_holds(LATER)
        ended = 0
        for hold_id in order:
            with suppress(DomainError):
                if i % 2:
                    ended += not settle(hold_id, 1, tokens=3, source="test", now=LATER).replay
                else:
                    release(hold_id, source="test", now=LATER)
        return ended

    outcomes = at_once(5, race)
    nobody_failed(outcomes)
    settled = UsageHold.objects.filter(state="settled").count()
    assert outcomes[1] + outcomes[3] == settled
    assert not UsageHold.objects.filter(state="open").exists()
    assert {row.feature: (row.used, row.held) for row in UsageCounter.objects.all()} == {
        "ai_prompt": (settled, 0),
        "ai_token": (3 * settled, 0),
    }
    the_books_agree()


@pytest.mark.slow
def test_everything_at_once_leaves_the_books_in_order(at_once, alice, bob, give_plan, make_plan, use):
    plan = make_plan(synthetic_rows_per_month=400, ai_prompts_per_day=100, file_limit=30)
    give_plan(bob, give_plan(alice, plan).plan)

    def chaos(i):
        dice = random.Random(i)
        unexpected = []
        for n in range(25):
            user, key = dice.choice((alice, bob)), f"k{dice.randrange(60)}"
            feature, amount = dice.choice(
                (("synthetic_rows", 5), ("file_upload", 3), ("file_upload", -2), ("ai_token", 9))
            )
            try:
                match dice.randrange(4):
                    case 0:
                        use(user, feature, amount, key=key)
                    case 1:
                        picks = [f"k{dice.randrange(60)}" for _ in range(20)]
                        batch(*(event(dice.choice((alice, bob)), pick, feature, amount) for pick in picks))
                    case 2:
                        made = hold(user.pk, "ai_prompt", 1, source="test", key=f"h{i}-{n}", tokens=7, now=NOON)
                        if dice.random() < 0.7:
                            settle(made.hold["id"], 1, tokens=2, source="test", now=NOON)
                    case 3:
                        give_back_expired_holds(LATER if dice.random() < 0.3 else NOON)
            except DomainError as error:
                if error.status >= 500:
                    unexpected.append(error)
        return unexpected

    outcomes = at_once(6, chaos)
    nobody_failed(outcomes)
    assert [error for unexpected in outcomes for error in unexpected] == []
    give_back_expired_holds(LATER)
    assert not UsageCounter.objects.exclude(held=0).exists()
    for counter in UsageCounter.objects.exclude(feature="ai_token"):
        most = {"synthetic_rows": 400, "file_upload": 30, "ai_prompt": 100}[counter.feature]
        assert 0 <= counter.used <= most
    the_books_agree()
