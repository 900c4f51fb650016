"""The pricing page: true prices, and a button that knows who looks at it."""

import re
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import BillingAccount, Plan, PlanPrice, UserPlan
from billing.offers import comparison

pytestmark = pytest.mark.django_db


@pytest.fixture
def on_sale(db):
    """The three plans, without Stripe: what the page says does not depend on it."""
    from billing.catalog import seed_plans

    explorer, pro, team = seed_plans()
    for plan in (explorer, pro, team):
        plan.state, plan.stripe_product_id = Plan.State.PUBLISHED, f"prod_{plan.pk}"
        plan.save()
    return {"explorer": explorer, "pro": pro, "team": team}


@pytest.fixture
def give_plan():
    def give(user, plan, **changes):
        now = timezone.now()
        values = {
            "stripe_subscription_id": f"sub_{user.pk}",
            "stripe_price_id": "price_1",
            "duration_months": 1,
            "amount_cents": int(plan.price_monthly * 100),
            "status": "active",
            "is_live": True,
            "start_date": now,
            "current_period_start": now,
            "current_period_end": now + timedelta(days=30),
        }
        return UserPlan.objects.create(user=user, plan=plan, **(values | changes))

    return give


def card(page, plan):
    """The text of a plan's card."""
    html = page.content.decode()
    [found] = re.findall(rf'<article [^>]*id="plan-{plan.pk}".*?</article>', html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found).split())


def get(client, **query):
    return client.get(reverse("pricing"), query)


def test_anybody_sees_the_monthly_prices_and_the_limits_as_numbers(client, on_sale):
    page = get(client)
    assert page.status_code == 200
    pro = card(page, on_sale["pro"])
    for words in ("$29.00 a month", "billed yearly $290.00, saves $58.00", "100 files", "25 MB per file"):
        assert words in pro
    assert "At a limit New use pauses, nothing extra is charged" in pro
    assert "Free" in card(page, on_sale["explorer"])
    assert "US dollars" in page.content.decode() and "No tax is added by us today" in page.content.decode()


def test_the_yearly_price_is_the_true_total(client, on_sale):
    pro = card(get(client, interval="year"), on_sale["pro"])
    assert "$290.00 a year" in pro
    assert "Billed yearly $290.00, saves $58.00. About $24.17 a month." in pro


def test_a_plan_without_a_yearly_price_costs_twelve_months_and_saves_nothing(client, on_sale):
    Plan.objects.filter(pk=on_sale["pro"].pk).update(price_yearly=None)
    pro = card(get(client, interval="year"), on_sale["pro"])
    assert "$348.00 a year" in pro and "saves" not in pro


@pytest.mark.parametrize("query", [{"interval": "x"}, {"plan": "-1"}, {"plan": "9" * 30}, {"interval": ["a", "b"]}])
def test_an_address_that_makes_no_sense_shows_the_monthly_prices(client, on_sale, query):
    page = get(client, **query)
    assert page.status_code == 200
    assert "$29.00 a month" in card(page, on_sale["pro"])


def test_ids_of_four_digits_are_written_without_a_comma(client, on_sale):
    plan = Plan.objects.create(
        pk=1234567, name="Large", state="published", stripe_product_id="prod_x", price_monthly=Decimal("1290.00")
    )
    page = get(client, plan=plan.pk)
    assert "$1,290.00 a month" in card(page, plan)
    assert b"1,234,567" not in page.content


def test_a_stranger_signs_up_and_comes_back_to_the_plan(client, on_sale):
    page = get(client, interval="year")
    assert "Sign up to buy" in card(page, on_sale["pro"]) and "Start free" in card(page, on_sale["explorer"])
    [href] = re.findall(rf'href="([^"]*signup[^"]*plan%3D{on_sale["pro"].pk})"', page.content.decode())
    [back] = parse_qs(urlsplit(href).query)["next"]
    assert back == f"/pricing?interval=year&plan={on_sale['pro'].pk}"
    assert "Your choice" in card(client.get(back), on_sale["pro"])


def test_somebody_without_a_plan_can_buy_each(client, alice, on_sale):
    client.force_login(alice)
    page = get(client)
    assert "Start free" in card(page, on_sale["explorer"])
    assert "Buy DataPilot Pro" in card(page, on_sale["pro"])
    assert "Buy Datilio Team" in card(page, on_sale["team"])


def test_a_customer_sees_current_upgrade_and_downgrade(client, alice, on_sale, give_plan):
    give_plan(alice, on_sale["pro"])
    client.force_login(alice)
    page = get(client)
    assert "Downgrade to Explorer" in card(page, on_sale["explorer"])
    assert "Current plan" in card(page, on_sale["pro"]) and "Buy" not in card(page, on_sale["pro"])
    assert "Upgrade to Datilio Team" in card(page, on_sale["team"])


def test_the_same_plan_at_the_other_interval_is_a_switch(client, alice, on_sale, give_plan):
    give_plan(alice, on_sale["pro"], duration_months=12, amount_cents=29000)
    client.force_login(alice)
    pro = card(get(client, interval="month"), on_sale["pro"])
    assert "Switch to monthly" in pro and "Your plan, paid yearly" in pro
    # Dearer per month: $29.00 monthly against $290.00 a year is not another plan's upgrade.
    assert "Upgrade to Datilio Team" in card(get(client, interval="year"), on_sale["team"])


def test_a_free_plan_is_current_at_either_interval(client, alice, on_sale, give_plan):
    give_plan(alice, on_sale["explorer"])
    client.force_login(alice)
    for interval in ("month", "year"):
        assert "Current plan" in card(get(client, interval=interval), on_sale["explorer"])


def test_a_cancelled_plan_says_when_it_ends(client, alice, on_sale, give_plan):
    ends = timezone.now() + timedelta(days=20)
    give_plan(alice, on_sale["pro"], cancel_at=ends)
    client.force_login(alice)
    assert f"Ends {ends:%-d %B %Y}" in card(get(client), on_sale["pro"])


def test_nothing_on_sale_is_a_page_too(client):
    page = get(client)
    assert page.status_code == 200
    assert b"No plan is on sale right now" in page.content


def test_the_page_asks_the_database_the_same_few_things_for_any_number_of_plans(
    client, alice, on_sale, give_plan, django_assert_max_num_queries
):
    for number in range(20):
        Plan.objects.create(name=f"P{number}", state="published", stripe_product_id="prod_x", price_monthly=number)
    with django_assert_max_num_queries(1):
        get(client)
    give_plan(alice, on_sale["pro"])
    client.force_login(alice)
    # session, user, plans, the live plan; the same plan again and the counters for the banner
    with django_assert_max_num_queries(6):
        get(client)


def test_the_comparison_has_a_line_for_each_extra_of_any_plan(on_sale):
    team = on_sale["team"]
    team.features = {**team.features, "sso": True, "nested": {"a": 1}, "off": False}
    rows = {row.label: row.cells for row in comparison(list(on_sale.values()))}
    assert rows["Files"] == ["3", "100", "1,000"]
    assert rows["File size"] == ["5 MB", "25 MB", "100 MB"]
    assert rows["Sso"] == [None, None, True]
    assert rows["AI tokens"] == [None, "$4.00", "$3.00"]
    assert "Nested" not in rows and "Off" not in rows


# --- what is scheduled, and trials ------------------------------------------------------------------------------------


@pytest.fixture
def price_of(db):
    def make(plan, months=1):
        cents = int(plan.price_monthly * 100) * months
        return PlanPrice.objects.create(
            plan=plan, months=months, amount_cents=cents, stripe_price_id=f"price_{plan.pk}_{months}"
        )

    return make


def test_a_scheduled_change_stands_on_both_cards(client, alice, on_sale, give_plan, price_of):
    at = timezone.now() + timedelta(days=20)
    give_plan(alice, on_sale["team"], pending_price=price_of(on_sale["pro"]), pending_at=at)
    client.force_login(alice)
    page = get(client)
    assert f"Changes on {at:%-d %B %Y}" in card(page, on_sale["pro"])
    team = card(page, on_sale["team"])
    assert f"Yours until {at:%-d %B %Y}" in team and "Keep Datilio Team" in team
    assert "Downgrade to Explorer" in card(page, on_sale["explorer"])


def test_a_cancelled_plan_can_be_kept_from_here(client, alice, on_sale, give_plan):
    give_plan(alice, on_sale["pro"], cancel_at=timezone.now() + timedelta(days=20))
    client.force_login(alice)
    page = get(client)
    assert "Keep DataPilot Pro" in card(page, on_sale["pro"])
    assert reverse("accounts:resume_plan") in page.content.decode()


def test_a_trial_is_offered_to_whom_it_is_open(client, alice, on_sale, give_plan):
    Plan.objects.filter(pk=on_sale["pro"].pk).update(trial_days=14)
    assert "14 days free , then $29.00 a month" in card(get(client), on_sale["pro"])
    client.force_login(alice)
    assert "Start 14-day trial" in card(get(client), on_sale["pro"])
    assert "Start 14-day trial" not in card(get(client), on_sale["team"])
    assert "How does the trial work?" in get(client).content.decode()
    give_plan(alice, on_sale["explorer"])
    assert "Start 14-day trial" in card(get(client), on_sale["pro"])


def test_nobody_is_offered_a_second_trial(client, alice, on_sale):
    Plan.objects.filter(pk=on_sale["pro"].pk).update(trial_days=14)
    BillingAccount.objects.create(user=alice, trial_started_at=timezone.now())
    client.force_login(alice)
    pro = card(get(client), on_sale["pro"])
    assert "Buy DataPilot Pro" in pro and "14 days" not in pro


def test_who_pays_already_upgrades_without_a_trial(client, alice, on_sale, give_plan):
    Plan.objects.filter(pk=on_sale["team"].pk).update(trial_days=14)
    give_plan(alice, on_sale["pro"], card_last4="4242")
    client.force_login(alice)
    team = card(get(client), on_sale["team"])
    assert "Upgrade to Datilio Team" in team and "trial" not in team


def test_a_plan_that_staff_gave_can_be_bought_over(client, alice, on_sale, give_plan):
    give_plan(alice, on_sale["team"], grant_reason="Speaker", cancel_at=timezone.now() + timedelta(days=9))
    client.force_login(alice)
    assert "Buy DataPilot Pro" in card(get(client), on_sale["pro"])
    assert "Given to you" in card(get(client), on_sale["team"]) and "Given" not in card(get(client), on_sale["pro"])


def test_the_answers_tell_how_plans_are_changed(client, on_sale):
    page = get(client).content.decode()
    assert "A larger plan begins at once, and you pay only the difference" in page
    assert "Not directly yet" not in page
    assert "How does the trial work?" not in page
