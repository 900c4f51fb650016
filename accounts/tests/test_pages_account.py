"""The account page and the way out of a plan: what they say is true in every state."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import UserPlan
from usage.features import FEATURES
from usage.models import UsageCounter
from usage.windows import window_at

pytestmark = pytest.mark.django_db

ACCOUNT, CANCEL = "/account", "/account/cancel"


@pytest.fixture
def use():
    def used(user, feature, amount):
        plan = UserPlan.objects.get(user=user)
        start, _ = window_at(FEATURES[feature].window, timezone.now(), plan.start_date)
        UsageCounter.objects.create(user=user, feature=feature, window_start=start, used=amount)

    return used


def words(page, of="body"):
    [html] = re.findall(rf"<{of}.*</{of}>", page.content.decode(), re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def day(moment):
    return f"{moment:%-d %B %Y}"


@pytest.mark.parametrize("path", [ACCOUNT, CANCEL])
def test_a_stranger_logs_in_first(client, path):
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, f"/accounts/login/?next={path}")


def test_without_a_plan_it_says_what_to_do_next(customer):
    page = customer.get(ACCOUNT)
    assert "No plan yet" in words(page) and reverse("pricing") in page.content.decode()
    assert "Try it" not in words(page)


def test_a_plan_with_its_next_charge(customer, alice, subscribe):
    plan = subscribe(alice)
    page = words(customer.get(ACCOUNT))
    assert f"Next charge $29.00 on {day(plan.current_period_end)} (UTC)" in page
    assert "Price $29.00 a month" in page and "Active" in page


def test_a_free_plan_has_no_next_charge(customer, alice, subscribe):
    subscribe(alice, amount_cents=0)
    page = words(customer.get(ACCOUNT))
    assert "Price Free" in page and "Next charge None" in page


def test_a_cancelled_plan_has_an_access_date_and_no_cancel_button(customer, alice, subscribe):
    ends = timezone.now() + timedelta(days=20)
    subscribe(alice, cancel_at=ends)
    page = words(customer.get(ACCOUNT))
    assert f"Access until {day(ends)}, {ends:%H:%M} UTC" in page and "Next charge None" in page
    assert "Cancel plan" not in page


def test_an_overdue_payment_names_the_deadline_on_every_page(customer, alice, subscribe, settings):
    since = timezone.now() - timedelta(days=2)
    subscribe(alice, status="past_due", past_due_since=since)
    deadline = day(since + timedelta(days=settings.GRACE_DAYS))
    for path in (ACCOUNT, "/", "/pricing"):
        page = words(customer.get(path))
        assert "Your last payment failed" in page
        assert f"keeps working until {deadline}" in page
    assert "Payment overdue" in words(customer.get(ACCOUNT))


def test_after_the_grace_there_is_no_access_and_nothing_to_try(customer, alice, subscribe):
    subscribe(alice, status="past_due", past_due_since=timezone.now() - timedelta(days=30))
    page = words(customer.get(ACCOUNT))
    assert "No access" in page and "because the last payment failed" in page
    assert "Try it" not in page


def test_a_plan_that_ended_is_named_with_its_day(customer, alice, subscribe):
    ended = timezone.now() - timedelta(days=1)
    subscribe(alice, status="canceled", is_live=False, ended_at=ended)
    assert f"Your DataPilot Pro plan ended on {day(ended)}" in words(customer.get(ACCOUNT))


def test_meters_say_in_words_what_they_show(customer, alice, subscribe, use):
    subscribe(alice)
    use(alice, "file_upload", 34)
    use(alice, "ai_prompt", 10)
    page = customer.get(ACCOUNT)
    html = page.content.decode()
    assert '<meter min="0" max="100" value="34" aria-label="Files: 34 of 100 files used">' in html
    assert "66 files left, 34 % used" in words(page)
    tomorrow = timezone.now() + timedelta(days=1)
    assert "Limit reached" in words(page) and f"Resets {day(tomorrow)}, 00:00 UTC" in words(page)
    assert re.search(r"As of \d\d:\d\d UTC", words(page))


def test_large_numbers_have_separators_in_text_and_none_in_attributes(customer, alice, subscribe, use):
    plan = subscribe(alice).plan
    plan.synthetic_rows_per_month = 50_000
    plan.save()
    use(alice, "synthetic_rows", 12_400)
    html = customer.get(ACCOUNT).content.decode()
    assert 'max="50000" value="12400"' in html and "<strong>12,400</strong> of 50,000" in html


def test_a_limit_of_nothing_is_not_in_the_plan(customer, alice, subscribe):
    plan = subscribe(alice).plan
    plan.file_limit = 0
    plan.save()
    assert "Not in this plan" in words(customer.get(ACCOUNT))


def test_a_warning_stands_on_every_page(customer, alice, subscribe, use):
    subscribe(alice)
    use(alice, "file_upload", 96)
    for path in (ACCOUNT, "/", "/pricing", "/accounts/email/"):
        assert "You have 96 files, and your plan allows 100" in words(customer.get(path)), path


def test_the_panel_to_try_things_is_for_the_demo_only(customer, alice, subscribe, settings):
    subscribe(alice)
    assert "Try it" in words(customer.get(ACCOUNT))
    settings.EMBEDDED = False
    assert "Try it" not in words(customer.get(ACCOUNT))


def test_the_account_page_asks_the_database_four_times(customer, alice, subscribe, django_assert_num_queries):
    subscribe(alice)
    with django_assert_num_queries(4):  # session, user, plan, counters
        customer.get(ACCOUNT)


# --- cancelling -------------------------------------------------------------------------------------------------------


@pytest.fixture
def paying(customer, alice, plans, stripe):
    """Alice on DataPilot Pro at Stripe; the page's client."""
    from billing.checkout import confirm_checkout, start_checkout

    session = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    stripe.pay(session)
    confirm_checkout(alice, session)
    return customer


def test_the_confirmation_names_the_day_until_which_there_is_access(paying):
    plan = UserPlan.objects.get()
    page = words(paying.get(CANCEL))
    assert f"You keep access until {day(plan.current_period_end)}, {plan.current_period_end:%H:%M} UTC" in page


def test_a_look_at_the_confirmation_cancels_nothing(paying):
    paying.get(CANCEL)
    assert not UserPlan.objects.get().is_ending


def test_cancelling_keeps_the_access_and_says_until_when(paying, stripe):
    response = paying.post(CANCEL, {"reason": "too dear"})
    assert (response.status_code, response["Location"]) == (303, ACCOUNT)
    plan = UserPlan.objects.get()
    assert plan.is_ending and plan.is_active(timezone.now())
    page = words(paying.get(ACCOUNT))
    assert f"DataPilot Pro is cancelled. You keep access until {day(plan.cancel_at)}" in page
    assert "too dear" in str(stripe.get(plan.stripe_subscription_id))


def test_the_reason_is_optional_and_bounded(paying):
    page = paying.post(CANCEL, {"reason": "x" * 501})
    assert page.status_code == 200
    assert "at most 500 characters" in words(page)
    assert not UserPlan.objects.get().is_ending
    assert paying.post(CANCEL).status_code == 303


def test_cancelled_twice_it_says_so(paying):
    paying.post(CANCEL)
    page = words(paying.get(CANCEL))
    assert "Your plan is cancelled already" in page
    assert paying.post(CANCEL).status_code == 303


def test_a_plan_that_staff_gave_ends_by_itself(paying):
    UserPlan.objects.update(grant_reason="A prize", cancel_at=timezone.now() + timedelta(days=9))
    page = words(paying.get(CANCEL))
    assert "There is nothing to cancel" in page and "cancelled" not in page


def test_nothing_to_cancel_is_no_error(customer, stripe):
    assert "There is nothing to cancel" in words(customer.get(CANCEL))
    response = customer.post(CANCEL)
    assert (response.status_code, response["Location"]) == (303, CANCEL)


def test_stripe_out_of_reach_cancels_nothing_and_says_so(paying, settings):
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = paying.post(CANCEL)
    assert page.status_code == 503
    assert "Out of reach for a moment" in words(page)
