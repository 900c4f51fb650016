"""Whatever happens, in whatever order, with Stripe at its worst: once everything works again, every promise is kept.

billing/tests/histories/ says what can happen and what is promised. Here a few dozen histories live in every test run;
`python -m benchmarks.histories 10000` lives many more.
"""

import logging
import os

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from billing.tests.histories import steps, story
from billing.tests.histories.checks import check
from billing.tests.histories.world import EPOCH, World

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

users = st.integers(0, 1)
plans = st.sampled_from(sorted(set(steps.PLANS)))
months = st.sampled_from(sorted(set(steps.MONTHS)))
again = st.integers(0, 2)
# Shrinking takes minutes here: ask for it with HYPOTHESIS_SHRINK=1.
PHASES = [phase for phase in Phase if phase != Phase.shrink or os.environ.get("HYPOTHESIS_SHRINK")]


@pytest.fixture
def quiet():
    """Chaos makes our code log; here that is no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world(quiet):
    with World() as world:
        yield world


def live_all(world, seeds):
    for seed in seeds:
        history = steps.draw(seed)
        with transaction.atomic():
            why = story.why_it_fails(world, history)
            transaction.set_rollback(True)
        assert why is None, f"{why}\n{history}\npython -m benchmarks.histories --seed {seed}"


def test_histories_drawn_by_seed(world):
    live_all(world, range(20))


def test_histories_whose_events_go_through_the_whole_webhook(quiet):
    """Signed, stored, mirrored by dj-stripe, swept; the long run leaves that out."""
    with World(mirror=True) as world:
        live_all(world, range(100, 104))


class Customers(RuleBasedStateMachine):
    """Two customers, their cards and banks, Stripe's clock and its chaos."""

    world: World  # set by the test

    def __init__(self):
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()

    @initialize(days=st.integers(1, 800), seconds=st.integers(0, 86_399))
    def begin(self, days, seconds):
        self.world.begin(EPOCH + days * 86_400 + seconds, seed=0)

    @rule(
        user=users,
        plan=plans,
        months=months,
        card=st.sampled_from(sorted(set(steps.CARDS))),
        challenge=st.sampled_from(["succeed", "fail"]),
        code=st.sampled_from(["", "AUTUMN"]),
        returns=st.booleans(),
    )
    def buys_through_checkout(self, user, plan, months, card, challenge, code, returns):
        self.world.do_checkout(user, plan, months)
        self.world.do_pay(user, card, challenge, code=code, returns=returns)

    @rule(user=users, plan=plans, months=months, quote=st.sampled_from([None, 0, 590, 700]), again=again)
    def chooses_a_plan(self, user, plan, months, quote, again):
        self.world.do_buy(user, plan, months, quote, again)

    @rule(user=users, immediately=st.booleans(), again=again)
    def cancels(self, user, immediately, again):
        self.world.do_cancel(user, immediately, again)

    @rule(user=users, again=again)
    def resumes(self, user, again):
        self.world.do_resume(user, again)

    @rule(user=users, card=st.sampled_from([steps.GOOD, steps.FAILS_LATER, steps.ASKS_ALWAYS]))
    def has_another_card(self, user, card):
        self.world.do_card(user, card)

    @rule(user=users, card=st.sampled_from([None, steps.GOOD]), challenge=st.sampled_from(["succeed", "fail"]))
    def pays_the_open_bill(self, user, card, challenge):
        self.world.do_pay_bill(user, card, challenge)

    @rule(user=users, what=st.sampled_from(["cancel", "keep", "card"]))
    def visits_the_portal(self, user, what):
        self.world.do_portal(user, what)

    @rule(user=users, half=st.booleans())
    def is_refunded(self, user, half):
        self.world.do_refund(user, half)

    @rule(user=users, plan=plans)
    def is_sold_another_by_hand(self, user, plan):
        self.world.do_sell_by_hand(user, plan)

    @rule(user=users, won=st.booleans())
    def disputes_until_the_bank_decides(self, user, won):
        self.world.do_dispute_ends(user, won)

    @rule(user=users, seconds=st.sampled_from([-1, 0, 1, 7200, 8 * 86_400]))
    def time_passes_to_the_period_end(self, user, seconds):
        self.world.do_wait_for_the_period_end(user, seconds)

    @rule(seconds=st.sampled_from([60, 7200, 86_400, 8 * 86_400]))
    def time_passes(self, seconds):
        self.world.do_wait(seconds)

    @rule(
        seed=st.integers(0, 1000),
        switches=st.dictionaries(
            st.sampled_from([*steps.FAULTS, *steps.DETOURS]), st.sampled_from([0.2, 0.5]), max_size=4
        ),
    )
    def stripe_is_at_its_worst(self, seed, switches):
        self.world.do_chaos(seed, **switches)

    @rule(calls=st.integers(1, 8), moment=st.sampled_from(["before", "after"]))
    def the_process_is_about_to_die(self, calls, moment):
        self.world.do_kill(calls, moment)

    @rule()
    def events_arrive(self):
        self.world.do_deliver()

    @rule(user=users)
    def the_night_looks(self, user):
        self.world.do_reconcile(user)

    def teardown(self):
        try:
            self.world.heal()
            check(self.world)
        finally:
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)


def test_a_state_machine_finds_no_way_to_break_a_promise(world):
    Customers.world = world
    run_state_machine_as_test(
        Customers,
        settings=settings(
            max_examples=15,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        ),
    )
