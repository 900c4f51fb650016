"""The account page and the banner tell how the plan stands, and what to do about it, in every state."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Plan, PlanPrice
from billing.standing import standing_of

pytestmark = pytest.mark.django_db

PAY = "https://invoice.stripe.test/i/1"


@pytest.fixture
def look(client, alice):
    client.force_login(alice)

    def at(path="/account"):
        body = re.search(r"<body.*</body>", client.get(path).content.decode(), re.DOTALL)[0]
        return " ".join(re.sub(r"<[^>]+>", " ", body).split()), body

    return at


@pytest.fixture
def smaller(db):
    plan = Plan.objects.create(name="Explorer", price_monthly=0, state="published", stripe_product_id="prod_2")
    return PlanPrice.objects.create(plan=plan, months=1, amount_cents=0, stripe_price_id="price_2")


def day(moment):
    return f"{moment:%-d %B %Y}"


def in_days(days):
    return timezone.now() + timedelta(days=days)


def overdue(days_ago, **more):
    return {
        "status": "past_due",
        "past_due_since": in_days(-days_ago),
        "open_invoice_cents": 2900,
        "open_invoice_url": PAY,
        "next_attempt_at": in_days(3),
    } | more


def test_active_it_names_the_next_charge_and_the_card(look, alice, subscribe):
    plan = subscribe(alice)
    said, html = look()
    assert f"Next charge $29.00 on {day(plan.next_charge_at)} (UTC)" in said
    assert "Card Visa ending in 4242, expires 12/2040" in said
    assert f'action="{reverse("accounts:portal")}"' in html and "Change card" in said


def test_a_card_that_expires_before_the_next_charge_is_pointed_out(look, alice, subscribe):
    subscribe(alice, card_expires_on=timezone.now().date())
    assert "Your card expires before that." in look()[0]


def test_in_a_trial_it_says_when_the_first_charge_is(look, alice, subscribe):
    ends = in_days(10)
    subscribe(alice, status="trialing", trial_end=ends, next_charge_at=ends)
    said, _ = look()
    assert f"Trial until {day(ends)}" in said
    assert f"Free until {day(ends)} , then $29.00 a month" in said
    assert f"First charge $29.00 on {day(ends)}" in said


def test_a_scheduled_change_is_named_with_one_click_to_undo_it(look, alice, subscribe, smaller):
    at = in_days(20)
    subscribe(alice, pending_price=smaller, pending_at=at, next_charge_cents=None, next_charge_at=None)
    said, html = look()
    assert f"Changes on {day(at)}" in said and "Then Explorer, free, from" in said
    assert f'action="{reverse("accounts:resume_plan")}"' in html and "Keep DataPilot Pro" in said
    assert "Next charge None" in said


def test_a_cancelled_plan_can_be_kept_with_one_click(look, alice, subscribe):
    ends = in_days(20)
    subscribe(alice, cancel_at=ends)
    said, html = look()
    assert f"Cancelled, ends {day(ends)}" in said and "Keep DataPilot Pro" in said
    assert f'action="{reverse("accounts:resume_plan")}"' in html


def test_an_overdue_bill_has_a_deadline_and_one_button_on_every_page(look, alice, subscribe, settings):
    plan = subscribe(alice, **overdue(2))
    deadline = day(plan.past_due_since + timedelta(days=settings.GRACE_DAYS))
    for path in ("/account", "/", "/pricing", "/account/billing"):
        said, html = look(path)
        assert f"Your plan keeps working until {deadline}" in said, path
        assert f"The card is tried again on {day(plan.next_attempt_at)}" in said
        assert f'<a class="button" href="{PAY}">Pay $29.00 now</a>' in html
    assert "To pay $29.00 . The card is tried again" in look()[0].replace("$29.00.", "$29.00 .")


def test_a_card_that_is_not_tried_again_is_no_promise(look, alice, subscribe):
    subscribe(alice, **overdue(2, next_attempt_at=None))
    assert "The card is not tried again by itself" in look()[0]


def test_after_the_grace_paying_brings_the_access_back(look, alice, subscribe):
    subscribe(alice, **overdue(30))
    said, html = look()
    assert "No access" in said and "It is back as soon as you have paid" in said
    assert "DataPilot Pro gives no access until it is paid" in look("/")[0]
    assert PAY in look("/")[1]


def test_a_disputed_payment_has_a_deadline_too(look, alice, subscribe, settings):
    plan = subscribe(alice, disputed_since=in_days(-1))
    deadline = day(plan.disputed_since + timedelta(days=settings.GRACE_DAYS))
    said, _ = look("/")
    assert "A payment of yours is disputed" in said and f"keeps working until {deadline}" in said
    assert "Payment disputed" in look()[0]


def test_what_the_bank_has_to_be_asked_is_on_every_page(look, alice, subscribe, smaller):
    until = in_days(1)
    subscribe(alice, awaited_price=smaller, awaited_until=until, open_invoice_cents=7000, open_invoice_url=PAY)
    for path in ("/account", "/"):
        said, html = look(path)
        assert "Your bank wants you to confirm a payment" in said and "Explorer begins as soon as you have" in said
        assert f'href="{PAY}">Confirm the payment</a>' in html
    assert "Active" in look()[0], "the present plan goes on"


def test_a_plan_that_staff_gave_costs_nothing_and_cannot_be_made_to(look, alice, subscribe):
    ends = in_days(60)
    subscribe(
        alice, status="trialing", trial_end=ends, cancel_at=ends, grant_reason="Speaker", card_last4="", card_brand=""
    )
    said, html = look()
    assert "Given to you" in said and f"Access until {day(ends)}" in said and "Nothing is charged then" in said
    assert "Price Nothing" in said
    assert f'action="{reverse("accounts:resume_plan")}"' not in html


def test_without_anything_pressing_there_is_no_banner(look, alice, subscribe):
    subscribe(alice)
    assert "About your plan" not in look("/")[1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "active"),
        ({"status": "trialing", "trial_end": in_days(3)}, "trial"),
        ({"cancel_at": in_days(3)}, "ending"),
        ({"status": "trialing", "trial_end": in_days(3), "cancel_at": in_days(3)}, "ending"),
        ({"cancel_at": in_days(-1)}, "over"),
        ({"status": "paused"}, "over"),
        ({"status": "past_due", "past_due_since": in_days(-1)}, "overdue"),
        ({"status": "past_due", "past_due_since": in_days(-1), "cancel_at": in_days(3)}, "overdue"),
        ({"status": "past_due", "past_due_since": in_days(-30)}, "unpaid"),
        ({"status": "unpaid", "past_due_since": in_days(-1)}, "unpaid"),
        ({"disputed_since": in_days(-1)}, "disputed"),
        ({"disputed_since": in_days(-30)}, "unpaid"),
        ({"grant_reason": "x", "cancel_at": in_days(3)}, "granted"),
    ],
)
def test_the_word_for_each_state(alice, subscribe, changes, word):
    assert standing_of(subscribe(alice, **changes), timezone.now()) == word


# --- the way out and back ---------------------------------------------------------------------------------------------


def test_cancelling_an_unpaid_plan_says_that_it_ends_now(look, alice, subscribe):
    subscribe(alice, **overdue(2))
    said, _ = look("/account/cancel")
    assert "It ends now , because its last bill is not paid" in said
    assert "You keep access until" not in said.partition("Cancel DataPilot Pro?")[2]


def test_cancelling_a_trial_says_that_nothing_is_charged(look, alice, subscribe):
    subscribe(alice, status="trialing", trial_end=in_days(5), current_period_end=in_days(5))
    said, _ = look("/account/cancel")
    assert "Nothing is charged on that day or after it" in said and "no refund" not in said


def test_who_pays_for_tokens_is_never_told_that_the_price_is_all(look, alice, subscribe):
    subscribe(alice, token_price_cents=400)
    for page in ("/account", "/account/billing"):
        assert "(UTC), plus the AI tokens that you use" in look(page)[0]
    said, _ = look("/account/cancel")
    assert "only the AI tokens that you have used are charged" in said and "Nothing is charged" not in said
    assert "AI tokens that you have used and not paid yet are charged now" in look("/account/close")[0]


def test_cancelling_says_that_a_scheduled_change_does_not_happen(look, alice, subscribe, smaller):
    subscribe(alice, pending_price=smaller, pending_at=in_days(20))
    assert "The change to Explorer on" in look("/account/cancel")[0]


def test_keeping_a_plan_that_goes_on_anyway_is_no_error(client, alice, stripe):
    client.force_login(alice)
    response = client.post(reverse("accounts:resume_plan"))
    assert (response.status_code, response["Location"]) == (303, "/account")
    assert client.get(reverse("accounts:resume_plan"))["Location"] == "/account"
