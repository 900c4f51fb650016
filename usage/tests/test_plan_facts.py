"""What limits know of a plan: one look and a look at many say the same, on every database."""

from copy import copy

import pytest
from django.db import connection, transaction

from billing.models import UserPlan
from usage.batches import record_batch
from usage.models import SpendCap
from usage.plan_facts import _FIELDS, plan_facts, plan_facts_now, plan_facts_of_many, same_version
from usage.tests.conftest import NOON
from usage.uses import use_of


def told(facts):
    """Every field that limits are made of, and the cap."""
    user_plan, values = facts.user_plan, {}
    for name in _FIELDS:
        owner = user_plan.plan if name.startswith("plan__") else user_plan
        values[name] = getattr(owner, name.removeprefix("plan__"))
    return values | {"id": user_plan.pk, "plan": user_plan.plan.pk, "cap": facts.spend_cap_cents}


def test_one_look_says_what_a_look_at_many_says(alice, bob, give_plan, django_assert_num_queries):
    give_plan(alice)
    SpendCap.objects.create(user=alice, cents=1234)
    with django_assert_num_queries(1):
        one = plan_facts_now(alice.pk)
    with django_assert_num_queries(1):
        many = plan_facts_of_many([alice.pk, bob.pk])
    assert told(one) == told(many[alice.pk])
    assert told(one)["cap"] == 1234 and told(one)["status"] == "active"
    assert same_version(one, many[alice.pk])
    assert bob.pk not in many and plan_facts_now(bob.pk) is None


def test_nothing_is_asked_later(alice, give_plan, django_assert_num_queries):
    give_plan(alice)
    one = plan_facts_now(alice.pk)
    with django_assert_num_queries(0):
        told(one)


@pytest.mark.django_db(transaction=True)
def test_what_a_transaction_asked_is_remembered_when_it_commits(alice, give_plan, django_assert_num_queries):
    give_plan(alice)
    with transaction.atomic():
        asked = plan_facts_of_many([alice.pk])
    with django_assert_num_queries(0):
        assert plan_facts(alice.pk) is asked[alice.pk]


@pytest.mark.django_db(transaction=True)
def test_what_was_taken_back_is_not_remembered(alice, give_plan):
    give_plan(alice)
    before = plan_facts_now(alice.pk)
    with transaction.atomic():
        UserPlan.objects.update(status="past_due")
        assert plan_facts_of_many([alice.pk])[alice.pk].user_plan.status == "past_due"
        transaction.set_rollback(True)
    assert plan_facts(alice.pk) is before


@pytest.mark.django_db(transaction=True)
def test_a_batch_leaves_no_user_to_be_asked_for_again(alice, give_plan, django_assert_num_queries):
    give_plan(alice)
    plan_facts_now(alice.pk)
    use = use_of(alice.pk, "synthetic_rows", 1, source="test", key="one")
    record_batch([use], source="test", now=NOON)
    with django_assert_num_queries(0):
        assert plan_facts(alice.pk) is not None


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_of_many_only_those_that_changed_are_read_anew(alice, bob, give_plan, make_plan, django_assert_num_queries):
    plan = make_plan()
    for user in (alice, bob):
        give_plan(user, plan)
    both = [alice.pk, bob.pk]
    before = plan_facts_of_many(both)
    with django_assert_num_queries(1):
        assert plan_facts_of_many(both) == before
    UserPlan.objects.filter(user=alice).update(status="past_due")
    with django_assert_num_queries(2):
        after = plan_facts_of_many(both)
    assert after[alice.pk].user_plan.status == "past_due" and after[bob.pk] is before[bob.pk]
    SpendCap.objects.create(user=bob, cents=7)
    assert plan_facts_of_many(both)[bob.pk].spend_cap_cents == 7
    UserPlan.objects.filter(user=bob).update(is_live=False)
    assert plan_facts_of_many(both).keys() == {alice.pk}
    plan.file_limit = 99
    plan.save()
    assert plan_facts_of_many([alice.pk, 0])[alice.pk].user_plan.plan.file_limit == 99


@pytest.mark.only_on("postgresql")
def test_a_batch_looks_at_its_own_customers_and_at_no_others(
    give_plan, django_user_model, django_capture_on_commit_callbacks
):
    users = django_user_model.objects.bulk_create(
        django_user_model(email=f"user{n}@example.com", password="!") for n in range(3000)
    )
    plans = [give_plan(users[0])]
    for user in users[1:]:
        plans.append(copy(plans[0]))
        plans[-1].pk, plans[-1].user_id, plans[-1].stripe_subscription_id = None, user.pk, f"sub_of_{user.pk}"
    UserPlan.objects.bulk_create(plans[1:])
    some = [user.pk for user in users[:1000]]
    with django_capture_on_commit_callbacks(execute=True):
        plan_facts_of_many(some)
    plans_of_the_server = []

    def explain(execute, sql, params, many, context):
        if "billing_userplan" in sql:
            plans_of_the_server.append("\n".join(line for (line,) in execute(f"EXPLAIN {sql}", params, many, context)))
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_userplan, billing_plan")
    with connection.execute_wrapper(explain):
        assert len(plan_facts_of_many(some)) == 1000
        record_batch(
            [use_of(user, "ai_token", 1, source="test", key=f"k{user}") for user in some], source="test", now=NOON
        )
    assert len(plans_of_the_server) == 2
    for one in plans_of_the_server:
        assert "Index Scan using billing_userplan_pkey" in one and "Seq Scan on billing_userplan" not in one, one
