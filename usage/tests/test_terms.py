"""Whatever makes a use count elsewhere is among the terms: a batch works out a use once for all who have the same."""

from copy import copy
from datetime import timedelta

import pytest

from datilio.errors import InvalidInput
from usage.plan_facts import _FIELDS, Facts, plan_facts, plan_facts_now
from usage.tests.conftest import NOON
from usage.uses import place_of, terms_for, use_of

pytestmark = pytest.mark.django_db

# What each fact may be as well. The user's and the row's own ids are nobody's terms.
OTHERS = {
    "plan_id": 0,
    "is_live": True,
    "status": "trialing",
    "start_date": NOON - timedelta(days=4),
    "usage_anchored_at": NOON - timedelta(days=9),
    "cancel_at": NOON + timedelta(days=9),
    "ended_at": None,
    "past_due_since": NOON - timedelta(days=1),
    "disputed_since": NOON - timedelta(days=1),
    "synced_at": NOON,
    "current_period_start": NOON - timedelta(days=2),
    "current_period_end": NOON - timedelta(days=1),
    "token_price_cents": 700,
    "plan__updated_at": NOON,
    "plan__ai_token_price_per_million": 7,
    "plan__file_limit": 7,
    "plan__file_size_limit_mb": 7,
    "plan__ai_prompts_per_day": 7,
    "plan__synthetic_rows_per_month": 7,
    "spend_cap_cents": 7,
}
USES = [
    {"feature": feature, "amount": 1, "timestamp": timestamp}
    for feature in ("file_upload", "ai_prompt", "ai_token", "synthetic_rows")
    for timestamp in (None, NOON - timedelta(days=20), NOON - timedelta(days=1))
]


def with_another(facts, name):
    """The facts as if one of them were another."""
    row, plan = copy(facts.user_plan), copy(facts.user_plan.plan)
    plan.__dict__.pop("_terms", None)
    if name.startswith("plan__"):
        row.plan = plan
        setattr(plan, name.removeprefix("plan__"), OTHERS[name])
    elif name != "plan_id":
        setattr(row, name, OTHERS[name])
    return Facts(row)


@pytest.mark.parametrize("price", [0, 500])
def test_the_same_terms_the_same_place(alice, give_plan, price):
    give_plan(alice, token_price_cents=price)
    facts = plan_facts_now(alice.pk)
    assert OTHERS.keys() == {*_FIELDS, "spend_cap_cents"} - {"user_id"}
    moved = set()
    for fields in USES:
        use = use_of(alice.pk, source="test", key="k", **fields)
        here = place_of(use, facts, NOON)._replace(facts=None)
        for name in OTHERS:
            other = with_another(facts, name)
            assert other.is_active(NOON)
            if place_of(use, other, NOON)._replace(facts=None) != here:
                moved.add(name)
                assert terms_for(use.metered, other) != terms_for(use.metered, facts), (name, use)
    costly = {"spend_cap_cents", "current_period_start", "current_period_end"} if price else set()
    limits = {"plan__file_limit", "plan__ai_prompts_per_day", "plan__synthetic_rows_per_month"}
    assert moved == {"usage_anchored_at", "start_date", "token_price_cents", *limits, *costly}


@pytest.mark.django_db(transaction=True)
def test_no_more_is_remembered_than_is_said_often(alice, give_plan, use):
    give_plan(alice, token_price_cents=0)
    for amount in range(1, 300):
        use(alice, "ai_token", amount)
    assert 0 < len(plan_facts(alice.pk).terms.slots) <= 64


@pytest.mark.parametrize("amount", [True, 1.0])
def test_what_is_only_equal_to_a_number_is_none(alice, give_plan, use, amount):
    give_plan(alice)
    with pytest.raises(InvalidInput):
        use(alice, "synthetic_rows", amount)
    use(alice, "synthetic_rows", 1)
