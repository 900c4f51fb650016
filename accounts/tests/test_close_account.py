"""Closing an account: Stripe first, then log-ins and address; nothing by halves, and nothing is charged afterwards."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import SESSION_KEY
from django.core import mail

from accounts.models import User
from accounts.services import StaffAccount, close_account
from billing.checkout import start_checkout
from billing.errors import AccountClosed, PaymentMethodRequired
from billing.models import BillingAccount, BillingMail, PlanPrice, UserPlan
from billing.subscriptions import live_plan, preview_purchase, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db
PASSWORD = "alice's long password"
PAGE = "/account/close"


@pytest.fixture
def pro(alice, plans, stripe):
    session = stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
    sync_user(alice.pk)
    return session


@pytest.fixture
def home(client, alice):
    client.force_login(alice)
    return client


def statuses(stripe, of="subscription"):
    return [thing["status"] for thing in stripe.objects(of)]


def test_the_page_says_what_happens_and_asks_for_the_password(home, pro):
    page = home.get(PAGE).content.decode()
    for said in ("DataPilot Pro ends now", "no refund", "Nothing more is charged", "Stay with Stripe", "Your password"):
        assert said in page


def test_a_trial_is_not_said_to_be_paid(home, pro):
    UserPlan.objects.update(status="trialing")
    page = home.get(PAGE).content.decode()
    assert "nothing was charged" in page and "Stays paid" not in page


def test_it_ends_the_plan_at_stripe_and_the_log_in(home, alice, pro, stripe, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = home.post(PAGE, {"password": PASSWORD})
    assert (answer.status_code, answer.url) == (303, "/")
    assert SESSION_KEY not in home.session
    assert "Your account is closed" in home.get("/").content.decode()
    assert statuses(stripe) == ["canceled"]
    assert live_plan(alice.pk) is None
    alice.refresh_from_db()
    assert (alice.is_active, alice.has_usable_password()) == (False, False)
    assert alice.email == f"closed-{alice.pk}@closed.invalid"
    assert not stripe.objects("refund")
    stripe.advance(months=3)
    assert len([charge for charge in stripe.objects("charge") if charge["paid"]]) == 1
    # One mail says it all: none about the plan that ended goes to an address that is gone.
    assert [(m.to, m.subject) for m in mail.outbox] == [(["alice@example.com"], "Your Datilio account is closed")]


def test_a_wrong_password_closes_nothing(home, alice, pro, stripe):
    answer = home.post(PAGE, {"password": "wrong"})
    assert answer.status_code == 200
    assert "This is not your password." in answer.content.decode()
    assert statuses(stripe) == ["active"]
    alice.refresh_from_db()
    assert alice.is_active


def test_when_stripe_does_not_answer_nothing_is_closed_and_the_page_says_so(home, alice, pro, stripe):
    stripe.chaos(no_answer=1)
    answer = home.post(PAGE, {"password": PASSWORD})
    assert answer.status_code == 503
    assert "Your account is not closed." in answer.content.decode()
    stripe.heal()
    alice.refresh_from_db()
    assert (alice.is_active, alice.email) == (True, "alice@example.com")
    assert BillingAccount.objects.get(user=alice).closed_at is None
    assert home.get("/account").status_code == 200
    assert home.post(PAGE, {"password": PASSWORD}).status_code == 303


def test_an_answer_of_stripe_that_got_lost_is_no_reason_to_stay(home, alice, pro, stripe):
    stripe.chaos(die_after_write=1)
    assert home.post(PAGE, {"password": PASSWORD}).status_code == 503
    stripe.heal()
    assert home.post(PAGE, {"password": PASSWORD}).status_code == 303
    assert statuses(stripe) == ["canceled"]


def test_every_log_in_ends_also_those_of_the_api(alice, plans, client, log_in, refresh):
    access = log_in(alice).json()["access_token"]
    elsewhere = client.__class__()
    elsewhere.force_login(alice)
    close_account(alice)
    assert client.get("/api/user/plan", headers={"Authorization": f"Bearer {access}"}).status_code == 401
    assert refresh().status_code == 401
    assert elsewhere.get("/account").status_code == 302
    assert log_in(alice).status_code == 401


def test_the_address_is_free_for_a_new_beginning(alice, pro, plans, post):
    close_account(alice)
    again = {"email": "alice@example.com", "password": "another long password"}
    assert post("auth/register", again).status_code == 201
    carol = User.objects.get(email="alice@example.com")
    assert carol.pk != alice.pk
    assert live_plan(carol.pk) is None
    with pytest.raises(PaymentMethodRequired):
        purchase_plan(carol, plans["pro"].pk, 1)


def test_an_open_checkout_can_be_paid_no_more(alice, plans, stripe):
    start_checkout(alice, plans["pro"].pk, 1)
    close_account(alice)
    assert statuses(stripe, "checkout.session") == ["expired"]


def test_a_bill_that_waits_is_void(alice, pro, stripe):
    stripe.card_starts_failing(BillingAccount.objects.get(user=alice).stripe_customer_id)
    stripe.advance(months=1, hours=2)
    close_account(alice)
    assert statuses(stripe, "invoice") == ["paid", "void"]


def test_a_subscription_that_is_not_in_our_catalogue_ends_too(alice, pro, stripe):
    UserPlan.objects.all().delete()
    PlanPrice.objects.filter(
        stripe_price_id=stripe.objects("subscription")[0]["items"]["data"][0]["price"]["id"]
    ).delete()
    close_account(alice)
    assert statuses(stripe) == ["canceled"]


def test_whoever_buys_in_another_tab_meanwhile_buys_nothing(alice, pro, plans, stripe):
    the_other_tab = User.objects.get(pk=alice.pk)
    close_account(alice)
    with pytest.raises(AccountClosed):
        purchase_plan(the_other_tab, plans["team"].pk, 1)
    with pytest.raises(AccountClosed):
        start_checkout(the_other_tab, plans["team"].pk, 1)
    assert statuses(stripe) == ["canceled"]


def test_closing_twice_changes_nothing(alice, pro, stripe):
    close_account(alice)
    events = len(stripe.objects("event"))
    close_account(User.objects.get(pk=alice.pk))
    assert len(stripe.objects("event")) == events


@pytest.mark.slow
def test_webhooks_that_come_later_converge(alice, pro, stripe, deliver):
    close_account(alice)
    assert deliver()
    assert live_plan(alice.pk) is None
    assert UserPlan.objects.get().status == "canceled"


def test_somebody_who_never_bought_anything_needs_no_stripe(alice):
    close_account(alice)
    assert not User.objects.get(pk=alice.pk).is_active


def test_staff_do_not_close_themselves(client, staff, stripe):
    with pytest.raises(StaffAccount):
        close_account(staff)
    client.force_login(staff)
    assert "is not closed here" in client.get(PAGE).content.decode()
    assert client.post(PAGE, {"password": "staff's long password"}).status_code == 409
    staff.refresh_from_db()
    assert staff.is_active


def test_a_stranger_is_sent_to_the_log_in(client, db):
    assert client.get(PAGE).status_code == 302
    assert client.post(PAGE, {"password": "x"}).status_code == 302


@pytest.mark.slow
def test_no_other_mail_is_written_to_who_has_left(alice, pro, stripe, deliver, django_capture_on_commit_callbacks):
    BillingMail.objects.update(sent_at=None)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        close_account(alice)
        deliver()
    assert [m.to for m in mail.outbox] == [["alice@example.com"]]
    assert not BillingMail.objects.filter(sent_at__isnull=True).exists()


def test_who_comes_back_with_the_same_address_has_had_their_trial(alice, plans, stripe, django_user_model):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    assert sync_user(alice.pk).in_trial
    close_account(alice)
    again = django_user_model.objects.create_user("Alice@example.com", PASSWORD)
    assert preview_purchase(again, plans["pro"].pk, 1).trial_days == 0
    stranger = django_user_model.objects.create_user("carol@example.com", PASSWORD)
    assert preview_purchase(stranger, plans["pro"].pk, 1).trial_days == 14
