"""What only real processes show: many requests at the same moment, and a web process that is killed in the midst.

`python -m benchmarks.parallel` and `python -m benchmarks.kills 100` do more of the same and print what they saw.
"""

import random

import pytest

from billing.tests.live_house import KILLS, LiveHouse, at_once, die_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house():
    with LiveHouse(people=5 + len(KILLS)) as house:
        yield house


def test_a_double_click_on_buy_opens_one_session(house):
    person = house.people[0]
    answers = at_once([lambda: person.choose("create-checkout-session", "pro")] * 50)
    assert set(answers) == {(200, "")}
    assert person.open_sessions() == 1


def test_two_tabs_with_two_plans_leave_one_session_open(house):
    person = house.people[1]
    tabs = [lambda plan=plan: person.choose("create-checkout-session", plan) for plan in ("pro", "team")]
    assert {status for status, _ in at_once(tabs * 10)} == {200}
    assert person.open_sessions() == 1


def test_a_double_click_on_a_purchase_charges_once(house):
    person = house.people[2]
    person.has_a_card()
    answers = at_once([lambda: person.choose("purchase/plan", "pro")] * 50)
    assert answers.count((200, "")) == 1
    assert set(answers) == {(200, ""), (409, "already_subscribed")}
    assert (len(person.live_subscriptions()), person.charged()) == (1, [2900])


def test_an_upgrade_confirmed_in_two_tabs_is_charged_once(house):
    person = house.people[3]
    person.has_a_card()
    person.choose("purchase/plan", "pro")
    _, preview = person.choose("purchase/preview", "team")
    answers = at_once([lambda: person.choose("purchase/plan", "team", quote=preview["quote"])] * 50)
    assert answers.count((200, "")) == 1
    assert set(answers) == {(200, ""), (409, "already_subscribed")}
    assert sorted(person.charged()) == [2900, round(preview["total_now"] * 100)]
    assert person.our_row_is_true()


def test_cancel_and_resume_at_once_end_in_one_of_the_two(house):
    person = house.people[4]
    person.has_a_card()
    person.choose("purchase/plan", "pro")
    both = [lambda: person.post("user/cancel_plan"), lambda: person.post("user/resume_plan")]
    answers = at_once(both * 10)
    assert set(answers) <= {(200, ""), (409, "nothing_to_resume")}
    [live] = person.live_subscriptions()
    assert person.plan()["cancel_at_period_end"] is (live["cancel_at"] is not None)
    assert person.charged() == [2900]


@pytest.mark.parametrize("kind", KILLS)
def test_a_killed_web_process_loses_nothing_and_does_nothing_twice(house, kind):
    person = house.people[5 + KILLS.index(kind)]
    assert die_in(kind, house, person, random.Random(kind), typical=0.3) == []
