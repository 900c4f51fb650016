"""Up to 1,000 events at once: each answered for itself, in order, as if it had come alone."""

from datetime import timedelta

import pytest

from datilio.errors import InvalidInput
from usage.batches import Invalid, record_batch
from usage.holds import hold
from usage.models import UsageAlert, UsageCounter, UsageDay, UsageEvent, UsageKey
from usage.tests.conftest import NOON
from usage.uses import use_of

pytestmark = pytest.mark.django_db


def event(user, key, feature="synthetic_rows", amount=10, **fields):
    return use_of(getattr(user, "pk", user), feature, amount, source="test", key=key, **fields)


def batch(*events, now=NOON):
    return record_batch(events, source="test", now=now)


def told(answers):
    return [answer.error.code if answer.error else answer.status for answer in answers]


def used():
    return {(row.user_id, row.feature): row.used for row in UsageCounter.objects.exclude(used=0)}


def test_all_are_counted_and_answered_in_order(alice, bob, give_plan):
    give_plan(bob, give_plan(alice).plan)
    moment = NOON - timedelta(days=2)
    answers = batch(
        event(alice, 'a "quoted", {braced} \\ key'),
        event(bob, "b", amount=7, timestamp=moment),
        event(alice, "c", "ai_token", 5000, model="m-1"),
        event(alice, "d", "file_upload", 3, size_mb=1),
    )
    assert told(answers) == ["accepted"] * 4
    assert [answer.key for answer in answers] == ['a "quoted", {braced} \\ key', "b", "c", "d"]
    rows = {row["key"]: row for row in UsageEvent.objects.values()}
    for answer in answers:
        assert answer.usage == {
            name: rows[answer.key][name] for name in ("id", "user_id", "feature", "amount", "timestamp")
        }
    assert (rows["b"]["timestamp"], rows["c"]["model"], rows["c"]["limit_then"]) == (moment, "m-1", None)
    assert (rows["b"]["used_after"], rows["b"]["limit_then"]) == (7, 1000)
    assert used() == {
        (alice.pk, "synthetic_rows"): 10,
        (bob.pk, "synthetic_rows"): 7,
        (alice.pk, "ai_token"): 5000,
        (alice.pk, "file_upload"): 3,
    }
    assert UsageDay.objects.get(user=bob).day == moment.date()
    assert dict(UsageKey.objects.values_list("key", "event_id")) == {key: row["id"] for key, row in rows.items()}


def test_the_limit_is_given_to_those_who_come_first(alice, give_plan, make_plan):
    give_plan(alice)
    make_plan("Large", price_monthly=90, synthetic_rows_per_month=5000)
    answers = batch(*(event(alice, f"k{n}", amount=amount) for n, amount in enumerate([600, 500, 300, 101, 100])))
    assert told(answers) == ["accepted", "limit_exceeded", "accepted", "limit_exceeded", "accepted"]
    details = answers[1].error.details
    assert (details["used"], details["limit"], details["upgrade_plan"]) == (600, 1000, "Large")
    assert details["resets_at"] == "2026-04-12T00:00:00Z"
    assert details["upgrade_url"].endswith("/pricing")
    assert used() == {(alice.pk, "synthetic_rows"): 1000}
    assert [row.used_after for row in UsageEvent.objects.order_by("id")] == [600, 900, 1000]
    assert sorted(UsageAlert.objects.values_list("threshold", flat=True)) == [80, 95, 100]


def test_files_that_go_make_room_for_those_after_them(alice, give_plan):
    give_plan(alice)
    answers = batch(
        event(alice, "1", "file_upload", 10),
        event(alice, "2", "file_upload", 1),
        event(alice, "3", "file_upload", -4),
        event(alice, "4", "file_upload", 1),
        event(alice, "5", "file_upload", -20),
    )
    assert told(answers) == ["accepted", "limit_exceeded", "accepted", "accepted", "nothing_to_remove"]
    assert used() == {(alice.pk, "file_upload"): 7}
    assert UsageDay.objects.get().amount == 7


def test_a_batch_that_is_sent_again_counts_nothing(alice, give_plan):
    give_plan(alice)
    events = [event(alice, f"k{n}") for n in range(5)]
    first = batch(*events)
    again = batch(*events, event(alice, "new"), now=NOON + timedelta(hours=1))
    assert told(again) == ["duplicate"] * 5 + ["accepted"]
    assert [answer.usage for answer in again[:5]] == [answer.usage for answer in first]
    assert used() == {(alice.pk, "synthetic_rows"): 60}


@pytest.mark.parametrize("counted", range(25))
def test_one_of_many_that_was_counted_before_is_found_wherever_it_stands(counted, alice, give_plan, use):
    """Not all keys are looked for at first."""
    give_plan(alice)
    first = use(alice, "synthetic_rows", 10, key=f"k{counted}").event
    answers = batch(*(event(alice, f"k{n}") for n in range(25)))
    assert told(answers) == ["accepted"] * counted + ["duplicate"] + ["accepted"] * (24 - counted)
    assert answers[counted].usage == first
    assert used() == {(alice.pk, "synthetic_rows"): 250}
    assert UsageEvent.objects.count() == UsageKey.objects.count() == 25


@pytest.mark.parametrize("counted", [0, 1, 24])
def test_what_was_counted_before_is_a_duplicate_although_nothing_fits_any_more(counted, alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 10, key=f"k{counted}")
    use(alice, "synthetic_rows", 990, key="the rest")
    answers = batch(*(event(alice, f"k{n}") for n in range(25)))
    assert told(answers) == ["limit_exceeded"] * counted + ["duplicate"] + ["limit_exceeded"] * (24 - counted)
    assert used() == {(alice.pk, "synthetic_rows"): 1000}


def test_one_of_many_with_another_body_counts_nothing(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 11, key="k1")
    answers = batch(*(event(alice, f"k{n}") for n in range(25)))
    assert told(answers) == ["accepted", "idempotency_key_reused"] + ["accepted"] * 23
    assert used() == {(alice.pk, "synthetic_rows"): 11 + 240}


def test_a_key_twice_in_one_batch(alice, give_plan):
    give_plan(alice)
    answers = batch(event(alice, "k"), event(alice, "k"), event(alice, "k", amount=11))
    assert told(answers) == ["accepted", "duplicate", "idempotency_key_reused"]
    assert answers[1].usage == answers[0].usage
    assert answers[0].usage["id"] == UsageEvent.objects.get().pk


def test_a_refused_key_may_be_tried_again_in_the_same_batch(alice, give_plan):
    give_plan(alice)
    answers = batch(
        event(alice, "full", "file_upload", 10),
        event(alice, "k", "file_upload", 1),
        event(alice, "gone", "file_upload", -1),
        event(alice, "k", "file_upload", 1),
    )
    assert told(answers) == ["accepted", "limit_exceeded", "accepted", "accepted"]


def test_what_cannot_be_counted_fails_nobody_else(alice, bob, give_plan):
    give_plan(alice)
    answers = batch(
        Invalid("bad", InvalidInput({"amount": ["No."]})),
        event(bob, "no-plan"),
        event(2**62, "nobody"),
        event(alice, "late", timestamp=NOON - timedelta(days=36)),
        event(alice, "future", timestamp=NOON + timedelta(hours=1)),
        event(alice, "large", "file_upload", 1, size_mb=6),
        event(alice, "good"),
    )
    assert told(answers) == [
        "invalid_input",
        "no_active_plan",
        "user_not_found",
        "invalid_input",
        "invalid_input",
        "limit_exceeded",
        "accepted",
    ]
    assert UsageEvent.objects.get().key == "good"


def test_a_single_event_and_a_batch_know_each_others_keys(alice, give_plan, use):
    give_plan(alice)
    single = use(alice, "synthetic_rows", 10, key="s")
    assert batch(event(alice, "s"))[0].usage == single.event
    batch(event(alice, "b"))
    assert use(alice, "synthetic_rows", 10, key="b").replay


def test_what_is_held_counts_and_what_has_expired_does_not(alice, give_plan):
    give_plan(alice)
    hold(alice.pk, "synthetic_rows", 995, source="test", key="h", now=NOON)
    assert told(batch(event(alice, "k"))) == ["limit_exceeded"]
    assert told(batch(event(alice, "k"), now=NOON + timedelta(minutes=6))) == ["accepted"]


def test_without_room_nothing_but_empty_counters_is_left(alice, give_plan):
    give_plan(alice)
    batch(event(alice, "k", amount=1001))
    assert used() == {}
    for model in (UsageEvent, UsageKey, UsageDay, UsageAlert):
        assert not model.objects.exists()


@pytest.mark.parametrize("count", [0, 1001])
def test_from_one_to_a_thousand(alice, count):
    with pytest.raises(InvalidInput) as refused:
        batch(*(event(alice, f"k{n}") for n in range(count)))
    assert list(refused.value.details["errors"]) == ["events"]


@pytest.mark.only_on("postgresql")  # sqlite counts one by one
def test_the_statements_do_not_grow_with_the_batch(alice, bob, give_plan, django_assert_max_num_queries):
    give_plan(bob, give_plan(alice).plan)
    events = [event((alice, bob)[n % 2], f"k{n}", "ai_token", 1) for n in range(1000)]
    # Plans, savepoint, the one that writes, release.
    with django_assert_max_num_queries(4):
        assert told(batch(*events)) == ["accepted"] * 1000
    assert used() == {(alice.pk, "ai_token"): 500, (bob.pk, "ai_token"): 500}


@pytest.mark.only_on("postgresql")
def test_nor_do_they_where_tokens_have_a_price_and_something_is_refused(
    alice, give_plan, django_assert_max_num_queries
):
    give_plan(alice, token_price_cents=100)
    events = [event(alice, f"k{n}", "ai_token", n + 1, model="m-1") for n in range(200)]
    # Plans, savepoint, counters made and read, keys, prices, plans on sale, the one that writes, release.
    with django_assert_max_num_queries(12):
        answers = batch(*events, event(alice, "too much", amount=1001))
    assert told(answers) == ["accepted"] * 200 + ["limit_exceeded"]
