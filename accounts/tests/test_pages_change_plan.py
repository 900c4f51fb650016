"""The page before a change: it says what is charged and when, and its button does exactly that."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing import quotes
from billing.models import Plan
from billing.subscriptions import cancel_plan, live_plan, purchase_plan
from billing.sync import sync_user
from usage.metering import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(client, alice):
    client.force_login(alice)
    return lambda plan, months=1: client.get(reverse("accounts:change_plan"), {"plan": plan.pk, "months": months})


@pytest.fixture
def confirm(client):
    """Press the button of a page."""

    def press(page):
        fields = dict(re.findall(r'<input type="hidden" name="(plan|months|quote)" value="([^"]*)">', form_of(page)))
        return client.post(reverse("accounts:change_plan"), fields)

    return press


def form_of(page):
    [form] = re.findall(
        rf'<form class="form" method="post" action="{reverse("accounts:change_plan")}">.*?</form>', html(page), re.S
    )
    return form


def html(page):
    return page.content.decode()


def words(page):
    main = re.search(r"<main.*?</main>", html(page), re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", main[0]).split())


def day(moment):
    return f"{moment:%-d %B %Y}"


def paid_cents(stripe):
    return sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])


def test_an_upgrade_says_what_is_charged_now_and_charges_it(buy, ask, confirm, client, alice, plans, stripe):
    buy("pro")
    stripe.advance(days=10)
    page = ask(plans["team"])
    said = words(page)
    [amount] = re.findall(r"Pay \$([\d.]+) and upgrade now", said)
    assert f"Now. ${amount} is charged today" in said and f"Charged now ${amount}" in said
    assert re.search(r"−\$\d+\.\d\d", said), "the credit for the unused time"
    end = live_plan(alice.pk).current_period_end
    assert f"Next bill $99.00 on {day(end)} (UTC)" in said
    assert "Visa ending in 4242, expires 12/20" in said
    assert (
        "Files 100 1,000" in said and "Size of each file 25 MB 100 MB" in said and "AI prompts a day 200 1,000" in said
    )
    before = paid_cents(stripe)
    response = confirm(page)
    assert (response.status_code, response["Location"]) == (303, reverse("accounts:settings"))
    assert f"{(paid_cents(stripe) - before) / 100:.2f}" == amount
    assert "You are on Datilio Team now" in words(client.get(response["Location"]))


def test_a_downgrade_says_the_day_and_what_present_use_would_exceed(buy, ask, confirm, client, alice, plans):
    plan = buy("pro")
    record(user_id=alice.pk, feature="file_upload", amount=34, key="k", source="test", now=timezone.now())
    page = ask(plans["explorer"])
    end = day(plan.current_period_end)
    assert f"On {end} , when the present period ends. Nothing is charged today" in words(page)
    assert "34 files, Explorer allows 3: they stay readable, no new uploads." in words(page)
    assert f"Change on {end}" in " ".join(re.sub(r"<[^>]+>", " ", form_of(page)).split())
    said = words(client.get(confirm(page)["Location"]))
    assert f"Your plan changes to Explorer on {end}" in said
    assert f"Changes on {end}" in said and "Keep DataPilot Pro" in said


def test_a_look_changes_nothing(buy, ask, plans, alice, stripe):
    buy("pro")
    events = len(stripe.objects("event"))
    ask(plans["team"])
    ask(plans["explorer"])
    assert len(stripe.objects("event")) == events


@pytest.mark.slow
def test_a_quote_that_is_too_old_is_shown_anew_and_can_be_confirmed(buy, ask, confirm, alice, plans, monkeypatch):
    buy("pro")
    page = ask(plans["team"])
    now = timezone.now()
    monkeypatch.setattr(quotes.timezone, "now", lambda: now + timedelta(minutes=10))
    renewed = confirm(page)
    assert renewed.status_code == 409
    assert "The quote is older than ten minutes" in words(renewed)
    assert live_plan(alice.pk).plan == plans["pro"]
    assert confirm(renewed).status_code == 303
    assert live_plan(alice.pk).plan == plans["team"]


@pytest.mark.slow
def test_an_amount_that_has_changed_is_shown_anew(buy, ask, confirm, alice, plans, stripe):
    buy("pro")
    page = ask(plans["team"])
    customer = alice.billing_account.stripe_customer_id
    stripe.client.v1.customers.balance_transactions.create(customer, {"amount": -500, "currency": "usd"})
    renewed = confirm(page)
    assert renewed.status_code == 409
    assert "has changed since you saw it" in words(renewed) and "Credit that you have −$5.00" in words(renewed)


@pytest.mark.parametrize("token", ["", "garbage"])
def test_without_our_quote_nothing_is_bought(buy, client, alice, plans, token):
    buy("pro")
    page = client.post(reverse("accounts:change_plan"), {"plan": plans["team"].pk, "months": 1, "quote": token})
    assert page.status_code == 400
    assert "Nothing was changed" in words(page) and "and upgrade now" in words(page)
    assert live_plan(alice.pk).plan == plans["pro"]


def test_a_declined_card_says_why_and_offers_to_change_it(buy, ask, confirm, alice, plans, stripe):
    buy("pro")
    page = ask(plans["team"])
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    refused = confirm(page)
    assert refused.status_code == 402
    assert "The card was declined. Nothing was charged" in words(refused)
    assert "Change the card, then come back" in words(refused) and "and upgrade now" in words(refused)
    assert live_plan(alice.pk).plan == plans["pro"]


def test_the_portal_leads_back_to_the_choice(buy, client, alice, plans, stripe):
    buy("pro")
    here = f"{reverse('accounts:change_plan')}?plan={plans['team'].pk}&months=1"
    response = client.post(reverse("accounts:portal"), {"next": here})
    assert response.status_code == 303 and response["Location"].startswith(stripe.url)
    assert stripe.objects("billing_portal.session")[-1]["return_url"].endswith(here)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil"])
def test_nobody_is_led_elsewhere(buy, client, stripe, elsewhere):
    buy("pro")
    client.post(reverse("accounts:portal"), {"next": elsewhere})
    assert stripe.objects("billing_portal.session")[-1]["return_url"].endswith(reverse("accounts:settings"))
    cancel_plan_response = client.post(reverse("accounts:resume_plan"), {"next": elsewhere})
    assert cancel_plan_response["Location"] == reverse("accounts:settings")


def test_the_bank_is_asked_on_stripes_page(buy, ask, confirm, alice, client, plans, stripe):
    buy("pro")
    page = ask(plans["team"])
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id, card="4000002760003184")
    response = confirm(page)
    assert response.status_code == 303 and response["Location"].startswith(stripe.url)
    said = words(client.get(reverse("accounts:settings")))
    assert "Waits for you Datilio Team begins once you have confirmed its payment" in said
    assert f'href="{response["Location"]}"' in html(client.get(reverse("accounts:settings")))
    assert "Your bank wants you to confirm a payment" in html(client.get("/"))


def test_while_a_change_is_scheduled_the_present_plan_is_kept_first(buy, ask, client, alice, plans):
    buy("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    page = ask(plans["team"])
    assert page.status_code == 200
    assert "Keep DataPilot Pro first" in words(page)
    back = f"{reverse('accounts:change_plan')}?plan={plans['team'].pk}&months=1"
    assert f'name="next" value="{back.replace("&", "&amp;")}">\n  <button' in html(page)
    response = client.post(reverse("accounts:resume_plan"), {"next": back})
    assert response["Location"] == back
    assert "and upgrade now" in words(client.get(response["Location"]))


@pytest.mark.slow
def test_choosing_another_downgrade_replaces_the_scheduled_one(buy, ask, confirm, alice, plans):
    buy("team")
    purchase_plan(alice, plans["pro"].pk, 1)
    page = ask(plans["explorer"])
    assert "The change to DataPilot Pro on" in words(page)
    confirm(page)
    assert live_plan(alice.pk).pending_price.plan == plans["explorer"]


def test_choosing_the_present_plan_keeps_it(buy, ask, alice, plans):
    buy("pro")
    cancel_plan(alice)
    page = ask(plans["pro"])
    assert page.status_code == 200
    assert "Keep DataPilot Pro?" in words(page) and "it goes on at $29.00 a month" in words(page)


def test_an_upgrade_takes_a_cancellation_back_and_says_so(buy, ask, confirm, alice, plans):
    buy("pro")
    cancel_plan(alice)
    page = ask(plans["team"])
    assert "Your cancellation Is taken back: DataPilot Pro was to end on" in words(page)
    confirm(page)
    assert not live_plan(alice.pk).is_ending


@pytest.mark.slow
def test_what_credit_covers_is_said_to_cost_nothing(buy, ask, confirm, alice, client, plans, stripe):
    end = buy("pro").current_period_end
    customer = alice.billing_account.stripe_customer_id
    stripe.client.v1.customers.balance_transactions.create(customer, {"amount": -50_000, "currency": "usd"})
    page = ask(plans["team"])
    assert "What you have paid already covers it: nothing is charged today" in words(page)
    assert f"Next bill Nothing on {day(end)} (UTC): credit" in words(page) and "Upgrade now" in words(page)
    confirm(page)
    assert f"Next charge Nothing on {day(end)} (UTC): credit" in words(client.get("/account"))


def test_the_plan_that_they_have_is_not_sold_again(buy, ask, plans):
    buy("pro")
    page = ask(plans["pro"])
    assert page.status_code == 200
    assert "You are on DataPilot Pro already" in words(page)


def test_pressed_twice_it_is_bought_once(buy, ask, confirm, plans, stripe):
    buy("pro")
    page = ask(plans["team"])
    confirm(page)
    before = paid_cents(stripe)
    again = confirm(page)
    assert (again.status_code, again["Location"]) == (303, reverse("accounts:settings"))
    assert paid_cents(stripe) == before


def test_an_overdue_bill_comes_first(buy, ask, alice, plans, stripe):
    buy("pro")
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    stripe.advance(months=1, hours=2)
    page = ask(plans["team"])
    assert page.status_code == 200
    assert "A bill comes first" in words(page) and "Pay $29.00 now" in words(page)


def test_a_month_and_a_year_can_be_compared_on_the_page(buy, ask, plans):
    buy("pro")
    page = ask(plans["pro"], 12)
    assert "Pay for DataPilot Pro by the year" in words(page) and "and switch now" in words(page)
    assert "a new period begins, of 12 months" in words(page) and "Your limits stay as they are" in words(page)
    assert 'name="months" value="12" id="interval-year" checked' in html(page)


@pytest.mark.slow
def test_another_time_of_paying_is_told_as_that_and_not_as_another_plan(buy, ask, confirm, client, plans):
    buy("pro")
    said = words(client.get(confirm(ask(plans["pro"], 12))["Location"]))
    assert "You pay for DataPilot Pro by the year now. Your limits stay as they are." in said
    back = ask(plans["pro"], 1)
    assert "Charged now Nothing" in words(back) and "Pressing twice" not in words(back)
    said = words(client.get(confirm(back)["Location"]))
    assert re.search(r"You pay for DataPilot Pro by the month from \d+ \w+ \d{4} on", said)


def test_a_trial_says_when_it_ends_and_what_it_costs_then(ask, confirm, alice, plans, stripe):
    Plan.objects.filter(pk=plans["pro"].pk).update(trial_days=14)
    page = ask(plans["pro"])
    assert "Try DataPilot Pro, free for 14 days" in words(page)
    assert "then $29.00 a month, unless you cancel before" in words(page)
    response = confirm(page)
    stripe.pay(response["Location"].rsplit("/", 1)[-1])
    sync_user(alice.pk)
    plan = live_plan(alice.pk)
    assert plan.in_trial
    upgrade = words(ask(plans["team"]))
    assert "when your trial ends" in words(ask(plans["explorer"]))
    assert "Your trial Ends with it" in upgrade and "Pay $99.00 and upgrade now" in upgrade


def test_without_a_plan_it_leads_to_checkout(ask, confirm, plans, stripe):
    page = ask(plans["pro"])
    assert "Start DataPilot Pro" in words(page) and "Pay $29.00 on Stripe’s page" in words(page)
    assert confirm(page)["Location"].startswith(f"{stripe.url}/c/pay/")


def test_a_free_plan_is_started_at_once(ask, confirm, alice, plans):
    assert "It costs nothing, needs no card and has no end date" in words(ask(plans["explorer"]))
    assert confirm(ask(plans["explorer"])).status_code == 303
    assert live_plan(alice.pk).plan == plans["explorer"]


@pytest.mark.parametrize(
    "query", ["", "?plan=x&months=1", "?plan=1&months=37", "?plan=1&months=0", "?plan=%00&months=1"]
)
def test_a_choice_that_makes_no_sense_is_a_page_with_the_way_to_the_plans(client, alice, db, query):
    client.force_login(alice)
    page = client.get(reverse("accounts:change_plan") + query)
    assert page.status_code == 400
    assert "There is no such choice" in words(page) and "See the plans" in words(page)


def test_a_plan_that_is_not_on_sale_is_a_404_page(client, alice):
    client.force_login(alice)
    page = client.get(reverse("accounts:change_plan"), {"plan": 4242, "months": 1})
    assert page.status_code == 404
    assert "This plan is not on sale." in words(page) and "/api/" not in words(page)


def test_stripe_out_of_reach_changes_nothing_and_says_so(buy, ask, plans, settings):
    buy("pro")
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = ask(plans["team"])
    assert page.status_code == 503
    assert "you will not be charged twice" in words(page) and "Try again" in words(page)
    assert f'href="{reverse("accounts:change_plan")}?plan={plans["team"].pk}&amp;months=1"' in html(page)


def test_a_stranger_logs_in_and_comes_back(client, plans):
    response = client.get(reverse("accounts:change_plan"), {"plan": plans["pro"].pk, "months": 1})
    assert response.status_code == 302 and "next=/account/change%3F" in response["Location"]
