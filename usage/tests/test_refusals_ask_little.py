"""Who has used up a limit goes on asking: such a refusal takes one look and the plans on sale, not one look for each
thing that it might have been."""

from datetime import timedelta

import pytest

from usage.api_keys import revoke_api_key, source_of
from usage.errors import ApiKeyRevoked, LimitExceeded
from usage.holds import hold
from usage.models import UsageHold
from usage.tests.conftest import NOON

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def full(alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 3, key="the last")
    return alice


def test_a_full_counter_is_all_that_is_looked_at(full, use, django_assert_num_queries):
    with django_assert_num_queries(3), pytest.raises(LimitExceeded, match="^3 of 3 prompts are used"):
        use(full, "ai_prompt")


def test_what_is_not_in_the_plan(alice, give_plan, make_plan, use, django_assert_num_queries):
    give_plan(alice, make_plan(ai_prompts_per_day=0))
    use(alice, "file_upload")
    with django_assert_num_queries(3), pytest.raises(LimitExceeded, match="^0 of 0 prompts are used"):
        use(alice, "ai_prompt")


def test_a_replay_gets_its_answer_and_a_larger_plan_makes_room(full, use, make_plan):
    assert use(full, "ai_prompt", 3, key="the last").replay
    with pytest.raises(LimitExceeded):
        use(full, "ai_prompt")
    full.plans.update(plan=make_plan("Large", ai_prompts_per_day=4))
    assert use(full, "ai_prompt").limit["remaining"] == 0


def test_an_expired_hold_makes_room(alice, give_plan, use):
    give_plan(alice)
    hold(alice.pk, "ai_prompt", 3, source="test", key="h", now=NOON - timedelta(minutes=10))
    assert use(alice, "ai_prompt").limit["used"] == 1
    assert UsageHold.objects.get().state == "expired"


def test_a_revoked_key_is_told_so_and_not_that_the_limit_is_reached(full, use, api_key):
    revoke_api_key(api_key[0], NOON)
    with pytest.raises(ApiKeyRevoked):
        use(full, "ai_prompt", source=source_of(api_key[0]))
