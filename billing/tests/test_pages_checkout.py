"""Buying on the pages: to Stripe, and back to a page that says what is true."""

import re
import time

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from billing.models import Plan, UserPlan

pytestmark = pytest.mark.django_db

RETURN = "/billing/checkout/return"


@pytest.fixture
def customer(client, alice):
    """Alice, logged in."""
    client.force_login(alice)
    return client


@pytest.fixture
def choose(client):
    def press(plan, months=1):
        return client.post(reverse("billing:choose"), {"plan_id": plan.pk, "months": months})

    return press


@pytest.fixture
def session_of(choose):
    """Start a checkout; its session's id."""
    return lambda plan, months=1: choose(plan, months)["Location"].rsplit("/", 1)[-1]


def words(page):
    main = re.search(r"<main.*?</main>", page.content.decode(), re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", main[0] if main else page.content.decode()).split())


def test_the_button_leads_to_stripe(customer, choose, plans, stripe):
    response = choose(plans["pro"], 12)
    assert response.status_code == 303
    assert response["Location"].startswith(stripe.url)


def test_a_stranger_logs_in_first_and_comes_back_to_the_plan(client, choose, plans):
    response = choose(plans["pro"], 12)
    assert response.status_code == 303
    assert response["Location"].startswith(reverse("account_login"))
    assert f"interval%3Dyear%26plan%3D{plans['pro'].pk}" in response["Location"]


def test_a_refusal_that_is_reloaded_leads_to_the_plans(customer, plans):
    assert customer.get(reverse("billing:choose"))["Location"] == reverse("pricing")


@pytest.mark.parametrize(
    "sent", [{}, {"plan_id": "x", "months": 1}, {"plan_id": "1", "months": 37}, {"plan_id": "9" * 40, "months": "1"}]
)
def test_a_form_that_makes_no_sense_is_a_400_page(customer, sent):
    page = customer.post(reverse("billing:choose"), sent)
    assert page.status_code == 400
    assert "Choose one on the pricing page" in words(page)


def test_a_plan_that_is_not_on_sale_is_a_404_page_with_the_way_to_the_plans(customer, plans):
    page = customer.post(reverse("billing:choose"), {"plan_id": 4242, "months": 1})
    assert page.status_code == 404
    assert "not on sale" in words(page) and "/api/" not in words(page)


@pytest.mark.parametrize("wanted", ["explorer", "pro", "team"])
def test_who_pays_for_a_plan_goes_to_the_page_of_the_change(customer, choose, session_of, plans, stripe, wanted):
    stripe.pay(session_of(plans["pro"]))
    response = choose(plans[wanted])
    assert response.status_code == 303
    assert response["Location"] == f"{reverse('accounts:change_plan')}?plan={plans[wanted].pk}&months=1"
    assert len(stripe.objects("checkout.session")) == 1


def test_from_the_free_plan_without_a_card_it_goes_to_checkout(customer, choose, session_of, plans, stripe):
    stripe.pay(session_of(plans["explorer"]), card=None)
    assert choose(plans["pro"])["Location"].startswith(stripe.url)


def test_paid_the_page_says_what_is_true_even_without_a_webhook(customer, session_of, plans, stripe):
    session = session_of(plans["pro"])
    stripe.pay(session)
    page = customer.get(RETURN, {"session_id": session})
    plan = UserPlan.objects.get()
    assert "You are on DataPilot Pro" in words(page)
    assert f"The next charge is $29.00 on {plan.current_period_end:%-d %B %Y} (UTC)" in words(page)
    assert b"hx-trigger" not in page.content and b"http-equiv" not in page.content


def test_a_trial_says_that_nothing_was_charged_and_when_it_will_be(customer, session_of, plans, stripe):
    Plan.objects.filter(pk=plans["pro"].pk).update(trial_days=14)
    session = session_of(plans["pro"])
    stripe.pay(session)
    said = words(customer.get(RETURN, {"session_id": session}))
    end = UserPlan.objects.get().trial_end
    assert f"It is free until {end:%-d %B %Y} ; nothing was charged" in said
    assert f"The first charge is $29.00 on {end:%-d %B %Y} (UTC)" in said and "payment went through" not in said


def test_a_free_plan_says_that_nothing_was_charged(customer, session_of, plans, stripe):
    session = session_of(plans["explorer"])
    stripe.pay(session, card=None)
    assert "Nothing was charged" in words(customer.get(RETURN, {"session_id": session}))


def test_unpaid_and_open_it_leads_back_to_stripe_and_to_the_plan(customer, session_of, plans):
    session = session_of(plans["pro"], 12)
    page = customer.get(RETURN, {"session_id": session})
    assert "You have not finished the checkout" in words(page) and "Finish the checkout" in words(page)
    assert f"interval=year&amp;plan={plans['pro'].pk}" in page.content.decode()


def test_while_stripe_is_out_of_reach_it_is_processing_and_asks_again(customer, session_of, plans, stripe, settings):
    session = session_of(plans["pro"])
    stripe.pay(session)
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = customer.get(RETURN, {"session_id": session})
    assert page.status_code == 200
    assert "Waiting for your payment" in words(page) and "Check again" in words(page)
    assert b'hx-trigger="every 3s"' in page.content
    assert b'<noscript><meta http-equiv="refresh" content="5; url=' in page.content


def test_asking_again_changes_the_page_only_when_there_is_something_to_say(
    customer, session_of, plans, stripe, settings
):
    session = session_of(plans["pro"])
    stripe.pay(session)
    host, settings.STRIPE_API_HOST = settings.STRIPE_API_HOST, "http://127.0.0.1:9"
    a_minute_ago = int(time.time()) - 61

    def ask(**query):
        return customer.get(RETURN, {"session_id": session} | query, headers={"HX-Request": "true"})

    assert ask().status_code == 204
    long = ask(started=a_minute_ago)
    assert "This takes longer than usual" in words(long) and b"<main" not in long.content
    assert f"started={a_minute_ago}&amp;long=1" in long.content.decode()
    assert ask(started=a_minute_ago, long=1).status_code == 204
    settings.STRIPE_API_HOST = host
    assert b"<title>Your plan is active" in ask(started=a_minute_ago, long=1).content


def test_after_a_minute_nobody_has_to_wait(customer, session_of, plans, settings):
    session = session_of(plans["pro"])
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = customer.get(RETURN, {"session_id": session, "started": int(time.time()) - 61})
    assert "You won’t be charged twice" in words(page) and "we’ll mail you" in words(page)
    assert b'hx-trigger="every 10s"' in page.content


@pytest.mark.parametrize("started", ["0", "-1", "soon", "9" * 40, "99999999999"])
def test_a_start_that_cannot_be_is_now(customer, session_of, plans, settings, started):
    session = session_of(plans["pro"])
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = customer.get(RETURN, {"session_id": session, "started": started})
    assert page.status_code == 200
    assert "Waiting for your payment" in words(page)


@pytest.mark.parametrize(
    "query", ["", "?session_id=", "?session_id=cs_test_nobody", "?session_id=../x", "?session_id=%00"]
)
def test_an_unknown_session_is_a_404_page(customer, plans, query):
    assert customer.get(RETURN + query).status_code == 404


def test_somebody_elses_session_is_a_404_page(customer, client, bob, session_of, plans, stripe):
    session = session_of(plans["pro"])
    stripe.pay(session)
    client.force_login(bob)
    page = client.get(RETURN, {"session_id": session})
    assert page.status_code == 404
    assert "DataPilot" not in words(page)


def test_who_is_logged_out_meanwhile_logs_in_and_comes_back(client):
    response = client.get(RETURN, {"session_id": "cs_test_1"})
    assert response.status_code == 302
    assert "checkout/return%3Fsession_id%3Dcs_test_1" in response["Location"]


def test_a_checkout_that_is_left_leads_back_to_the_same_plan(customer, plans):
    response = customer.get(reverse("billing:checkout_cancelled"), {"plan": plans["pro"].pk, "months": 12})
    pk = plans["pro"].pk
    assert response["Location"] == f"/pricing?interval=year&plan={pk}#plan-{pk}"
    assert "Nothing was charged" in str(next(iter(get_messages(response.wsgi_request))))
    assert customer.get(reverse("billing:checkout_cancelled"), {"plan": "x"})["Location"] == "/pricing"
