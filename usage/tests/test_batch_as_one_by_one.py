"""A batch leaves behind what its events do that come alone, in order: drawn by seed, for customers and their twins."""

import random
from datetime import timedelta

import pytest

from billing.models import TokenCharge
from datilio.errors import DomainError
from usage.batches import record_batch
from usage.holds import hold
from usage.metering import record_use
from usage.models import SpendCap, UsageAlert, UsageCounter, UsageDay, UsageEvent, UsageWarningChoice
from usage.tests.conftest import NOON
from usage.uses import use_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow,
    # sqlite counts one by one.
    pytest.mark.only_on("postgresql"),
]


def draw(dice, number):
    """[arguments of use_of] of some batches, none of which knows what the others do."""
    features = dice.sample(["synthetic_rows", "ai_prompt", "ai_token", "file_upload"], dice.randint(1, 4))
    gives_back = dice.random() < 0.2
    late = dice.random() < 0.5
    events = []
    for n in range(dice.randint(1, 40)):
        feature = dice.choice(features)
        most = {"synthetic_rows": 60, "ai_prompt": 1, "ai_token": 400_000, "file_upload": 3}[feature]
        amount = dice.randint(1, most)
        if feature == "file_upload" and gives_back and dice.random() < 0.3:
            amount = -amount
        events.append(
            {
                "feature": feature,
                "amount": amount,
                # A few are sent twice, in this batch or in another.
                "key": f"{number}-{n}" if dice.random() < 0.99 else f"{dice.randint(0, number)}-{dice.randint(0, n)}",
                "timestamp": NOON - timedelta(days=dice.randint(0, 30)) if late and dice.random() < 0.3 else None,
                "model": dice.choice(["", "m-1"]) if feature == "ai_token" else "",
            }
        )
    return events


def uses_of(user, events):
    return [use_of(user.pk, source="test", **event | {"key": f"{user.pk}:{event['key']}"}) for event in events]


def one_by_one(uses):
    told = []
    for use in uses:
        try:
            told.append("duplicate" if record_use(use, NOON).replay else "accepted")
        except DomainError as error:
            told.append(error.code)
    return told


def together(uses):
    answers = record_batch(uses, source="test", now=NOON)
    return [answer.error.code if answer.error else answer.status for answer in answers]


def left_by(user):
    """Everything but ids and empty counters, which a batch leaves where it refuses."""
    of_events = "feature amount timestamp model cost_nanocents billed_from window_start resets_at used_after limit_then"
    of_charges = ("day_start", "model", "tokens", "cost_nanocents")
    counters = UsageCounter.objects.filter(user=user).exclude(used=0, held=0)
    return {
        "events": list(UsageEvent.objects.filter(user=user).order_by("id").values_list(*of_events.split())),
        "counters": set(counters.values_list("feature", "window_start", "used", "held")),
        "days": set(UsageDay.objects.filter(user_id=user.pk).values_list("feature", "day", "amount", "cost_nanocents")),
        "charges": set(TokenCharge.objects.filter(user=user).values_list(*of_charges)),
        "alerts": set(UsageAlert.objects.filter(user=user).values_list("feature", "window_start", "threshold")),
    }


@pytest.mark.parametrize("seed", range(30))
def test_both_leave_the_same(seed, alice, bob, give_plan, make_plan):
    dice = random.Random(seed)
    roomy = dice.random() < 0.7
    plan = make_plan(
        **({"synthetic_rows_per_month": 4000, "ai_prompts_per_day": 80, "file_limit": 150} if roomy else {})
    )
    price = dice.choice([{}, {"token_price_cents": 500}])
    for user in (alice, bob):
        give_plan(user, plan, **price)
    if dice.random() < 0.5:
        for user in (alice, bob):
            SpendCap.objects.create(user=user, cents=8000 if roomy else 400)
    if dice.random() < 0.5:
        for user in (alice, bob):
            UsageWarningChoice.objects.create(user=user, feature="synthetic_rows", own_threshold=30, mails=True)
    for number in range(4):
        if dice.random() < 0.3:
            for user in (alice, bob):
                hold(user.pk, "synthetic_rows", 40, source="test", key=f"{user.pk}-{number}", now=NOON)
        events = draw(dice, number)
        assert together(uses_of(alice, events)) == one_by_one(uses_of(bob, events))
        assert left_by(alice) == left_by(bob)


@pytest.mark.parametrize("seed", range(6))
def test_of_customers_with_all_kinds_of_terms(seed, give_plan, make_plan, django_user_model):
    """Who have the same terms are worked out together; nobody is by the terms of another."""
    dice = random.Random(seed)
    plans = [make_plan(synthetic_rows_per_month=300), make_plan(name="Other", ai_prompts_per_day=None, file_limit=12)]
    pairs = []
    for number in range(7):
        plan = dice.choice(plans)
        fields = {
            "start": NOON - timedelta(days=dice.choice([3, 3, 40, 33])),
            "token_price_cents": dice.choice([0, 0, 500, 700]),
            "status": dice.choice(["active"] * 4 + ["trialing", "past_due"]),
            "cancel_at": dice.choice([None, None, NOON + timedelta(days=1), NOON]),
        }
        cap = dice.choice([None, None, 300, 20_000])
        pair = [
            django_user_model.objects.create_user(f"{number}{name}@example.com", "password") for name in ("", "-twin")
        ]
        for user in pair:
            give_plan(user, plan, **fields)
            if cap is not None:
                SpendCap.objects.create(user=user, cents=cap)
        pairs.append(pair)
    for number in range(3):
        # All send the same, each to its own end.
        events = [event for _ in range(2) for event in draw(dice, number)]
        turns = [(i, event) for event in events for i in range(len(pairs)) if dice.random() < 0.7]
        both = [[use for i, event in turns for use in uses_of(pairs[i][which], [event])] for which in (0, 1)]
        assert together(both[0]) == one_by_one(both[1])
        for user, twin in pairs:
            assert left_by(user) == left_by(twin)
