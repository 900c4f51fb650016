"""A batch of many customers looks each of them up, whether the server plans it for these customers or for any."""

import json
from copy import copy

import pytest
from django.db import connection

from billing.models import UserPlan
from usage.batches import record_batch
from usage.models import SpendCap
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


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("feature", ["synthetic_rows", "ai_token"])
def test_nothing_is_gone_through_for_each(mode, feature, many):
    explained = []

    def explain(execute, sql, params, many, context):
        if "befores" in sql:
            with connection.cursor() as cursor:
                cursor.execute("SAVEPOINT before_it")
                found = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, many, context)
                [[told]] = list(found)
                cursor.execute("ROLLBACK TO before_it")
            [whole] = json.loads(told) if isinstance(told, str) else told
            explained.append(rows_gone_through(whole["Plan"]))
        return execute(sql, params, many, context)

    def batch(number):
        return record_batch(
            [use_of(user.pk, feature, 1, source="test", key=f"{number}-{user.pk}") for user in many],
            source="test",
            now=NOON,
        )

    batch(1)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL plan_cache_mode = {mode}")
    with connection.execute_wrapper(explain):
        assert {answer.status for answer in batch(2)} == {"accepted"}
    # About sixty small steps for each of them; going through the others for each would be 500 of them at once.
    assert len(explained) == 1 and explained[0] < 100 * MANY, explained
