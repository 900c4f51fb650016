"""A batch of many customers looks each of them up, whether the server plans it for these customers or for any."""

import json
from copy import copy

import pytest
from django.db import connection, transaction

from billing.models import UserPlan
from usage.batches import record_batch
from usage.models import SpendCap
from usage.prepared import Statement
from usage.tests.conftest import NOON
from usage.uses import use_of

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.django_db, pytest.mark.slow]

MANY = 500


def rows_gone_through(node):
    """By this node of an EXPLAIN and all below: how many it gave, and how many it threw away, each time it ran."""
    given = node["Actual Rows"] + node.get("Rows Removed by Join Filter", 0) + node.get("Rows Removed by Filter", 0)
    return node["Actual Loops"] * given + sum(map(rows_gone_through, node.get("Plans", [])))


@pytest.fixture
def many(give_plan, django_user_model):
    users = django_user_model.objects.bulk_create(
        django_user_model(email=f"user{n}@example.com", password="!") for n in range(MANY)
    )
    plans = [give_plan(users[0], token_price_cents=500)]
    for number, user in enumerate(users[1:]):
        plans.append(copy(plans[0]))
        plans[-1].pk, plans[-1].user_id, plans[-1].stripe_subscription_id = None, user.pk, f"sub_of_{user.pk}"
        if number % 2:
            # A bill of their own: nothing in common with anybody.
            plans[-1].current_period_end = NOON.replace(minute=1, microsecond=number)
    UserPlan.objects.bulk_create(plans[1:])
    SpendCap.objects.bulk_create(SpendCap(user=user, cents=1000) for user in users[::3])
    return users


def explained(sql, params, mode):
    """The server's plan, as it went. Prepared: what a cursor explains is always planned for its own parameters."""
    statement = Statement(sql, dict.fromkeys(params, str))
    values = ", ".join("'" + value.replace("'", "''") + "'" for value in params.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode = {mode}")
        cursor.execute(f"PREPARE it AS {statement.numbered.decode()}")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE it({values})")
        [[[whole]]] = cursor.fetchall()
        cursor.execute("DEALLOCATE it")
    return whole["Plan"]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("feature", ["synthetic_rows", "ai_token"])
def test_nothing_is_gone_through_for_each(mode, feature, many):
    asked = []

    def listen(execute, sql, params, many, context):
        if "befores" in sql:
            asked.append((sql, params))
        return execute(sql, params, many, context)

    def batch(number):
        answers = record_batch(
            [use_of(user.pk, feature, 1, source="test", key=f"{number}-{user.pk}") for user in many],
            source="test",
            now=NOON,
        )
        assert {answer.status for answer in answers} == {"accepted"}

    batch(1)
    with transaction.atomic():
        with connection.execute_wrapper(listen):
            batch(2)
        transaction.set_rollback(True)
    [(sql, params)] = asked
    plan = explained(sql, params, mode)
    assert ("'test'::text" in json.dumps(plan)) == (mode == "force_custom_plan")
    # About sixty small steps for each of them; going through the others for each would be 500 of them at once.
    assert rows_gone_through(plan) < 100 * MANY
