"""What limits know of a plan: one look and a look at many say the same, on every database."""

from usage.models import SpendCap
from usage.plan_facts import _FIELDS, plan_facts_now, plan_facts_of_many, same_version, spend_cap_cents


def told(user_plan):
    """Every field that limits are made of, and the cap."""
    values = {}
    for name in _FIELDS:
        owner = user_plan.plan if name.startswith("plan__") else user_plan
        values[name] = getattr(owner, name.removeprefix("plan__"))
    return values | {"id": user_plan.pk, "plan": user_plan.plan.pk, "cap": spend_cap_cents(user_plan)}


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
