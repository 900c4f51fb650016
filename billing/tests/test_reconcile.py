"""`manage.py reconcile`: whatever our rows and Stripe say differently is healed, or told with its reason."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from djstripe.models import WebhookEventTrigger

from billing import stripe_gateway
from billing.catalog import ensure_price
from billing.checkout import start_checkout
from billing.customers import ensure_customer
from billing.grants import grant_plan
from billing.models import BillingAccount, Drift, PlanPrice, UserPlan
from billing.subscriptions import live_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def buy(plans, stripe):
    def purchase(user, plan="pro"):
        session = stripe.pay(start_checkout(user, plans[plan].pk, 1).rsplit("/", 1)[-1])
        sync_user(user.pk)
        return session["subscription"]

    return purchase


@pytest.fixture
def reconcile(capsys):
    """Run the command; returns (exit code, what it printed)."""

    def run(*args):
        code = 0
        try:
            call_command("reconcile", *args)
        except SystemExit as exc:
            code = exc.code
        except CommandError as exc:
            code = exc.returncode
            return code, capsys.readouterr().out + str(exc)
        return code, capsys.readouterr().out

    return run


def told():
    return {(drift.kind, drift.is_healed) for drift in Drift.objects.all()}


def api():
    return stripe_gateway._client().v1


def test_where_nothing_differs_it_says_so(alice, bob, buy, reconcile):
    buy(alice)
    buy(bob, "explorer")
    code, out = reconcile()
    assert (code, told()) == (0, set())
    assert "2 user(s) checked" in out
    assert "Nothing differs." in out


def test_a_row_that_says_something_else_is_healed_and_the_change_is_told(alice, buy, reconcile):
    buy(alice)
    UserPlan.objects.update(status="past_due", amount_cents=1)
    code, out = reconcile()
    assert code == 0
    assert live_plan(alice.pk).status == "active"
    drift = Drift.objects.get()
    assert (drift.kind, drift.user, drift.is_healed) == ("row_differs", alice, True)
    assert drift.changes == {"status": ["past_due", "active"], "amount_cents": [1, 2900]}
    assert "1 healed, 0 left" in out
    assert reconcile()[1].count("Nothing differs.") == 1


def test_a_row_that_was_lost_comes_back(alice, buy, reconcile):
    buy(alice)
    UserPlan.objects.all().delete()
    assert reconcile()[0] == 0
    assert live_plan(alice.pk).status == "active"
    assert Drift.objects.get().reason == "We had no row of it."


@pytest.mark.slow
def test_a_dry_run_changes_nothing_here_or_at_stripe(alice, bob, plans, buy, reconcile, stripe):
    buy(alice)
    UserPlan.objects.update(status="past_due")
    # Two live ones at once, a product renamed: what a real run would put right at Stripe.
    second(bob, plans["pro"])
    second(bob, plans["team"])
    api().products.update(plans["pro"].stripe_product_id, {"name": "Other"})
    before, rows = len(stripe.objects("event")), list(UserPlan.objects.values())
    code, out = reconcile("--dry-run")
    assert code == 1
    assert len(stripe.objects("event")) == before
    assert list(UserPlan.objects.values()) == rows
    assert {kind for kind, _ in told()} == {"row_differs", "two_live", "product_differs"}
    assert not Drift.objects.filter(is_healed=True).exists()
    assert "status: past_due → active" in out
    assert reconcile()[0] == 0
    assert not Drift.objects.filter(run__is_dry_run=False, is_healed=False).exists()
    assert reconcile("--dry-run")[0] == 0


def second(user, plan, **params):
    """A subscription made behind our back."""
    customer = ensure_customer(user)
    card = api().payment_methods.attach("pm_card_visa", {"customer": customer})
    return api().subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": ensure_price(plan, 1).stripe_price_id}],
            "default_payment_method": card.id,
        }
        | params
    )


def test_of_two_live_subscriptions_the_newer_stays(alice, plans, reconcile, stripe):
    second(alice, plans["pro"])
    second(alice, plans["team"])
    assert reconcile()[0] == 0
    assert ("two_live", True) in told()
    assert live_plan(alice.pk).plan == plans["team"]
    assert [s["status"] for s in stripe.objects("subscription")] == ["canceled", "active"]


def test_a_price_of_our_own_product_that_we_forgot_is_known_again(alice, plans, buy, reconcile):
    buy(alice)
    UserPlan.objects.all().delete()
    PlanPrice.objects.filter(plan=plans["pro"], months=1).delete()
    assert reconcile()[0] == 0
    assert ("unknown_price", True) in told()
    assert live_plan(alice.pk).plan == plans["pro"]


def test_a_price_of_somebody_elses_product_is_told(alice, plans, reconcile):
    product = api().products.create({"name": "Consulting"})
    price = api().prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"}}
    )
    subscription = second(alice, plans["pro"], items=[{"price": price.id}])
    code, out = reconcile()
    assert (code, told()) == (1, {("unknown_price", False)})
    assert f"alice@example.com {subscription.id}. {price.id} is of {product.id}" in out


def test_a_deleted_customer_is_let_go_and_the_person_can_buy_again(alice, plans, buy, reconcile, stripe):
    buy(alice)
    gone = BillingAccount.objects.get().stripe_customer_id
    api().customers.delete(gone)
    assert reconcile()[0] == 0
    assert ("customer_deleted", True) in told()
    assert live_plan(alice.pk) is None
    buy(alice)
    assert live_plan(alice.pk).status == "active"
    assert BillingAccount.objects.get().stripe_customer_id not in (None, gone)


def test_a_customer_that_never_was_is_told_and_nothing_is_forgotten(alice, buy, reconcile):
    """With the keys of another account everybody would look like this."""
    buy(alice)
    BillingAccount.objects.update(stripe_customer_id="cus_other")
    before = list(UserPlan.objects.values())
    code, out = reconcile()
    assert code == 1
    assert ("customer_missing", False) in told()
    assert list(UserPlan.objects.values()) == before


def test_a_live_row_of_a_subscription_that_stripe_does_not_know_is_ended(alice, plans, buy, reconcile):
    buy(alice)
    UserPlan.objects.update(stripe_subscription_id="sub_phantom")
    assert reconcile()[0] == 0
    assert told() == {("row_without_subscription", True), ("row_differs", True)}
    assert live_plan(alice.pk).stripe_subscription_id != "sub_phantom"


def test_a_live_subscription_of_nobodys_customer_is_told(db, plans, reconcile):
    customer = api().customers.create({"email": "stranger@example.com"})
    card = api().payment_methods.attach("pm_card_visa", {"customer": customer.id})
    price = ensure_price(plans["pro"], 1)
    subscription = api().subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.stripe_price_id}],
            "default_payment_method": card.id,
        }
    )
    code, out = reconcile()
    assert (code, told()) == (1, {("nobodys_subscription", False)})
    assert subscription.id in out


def test_a_customer_that_we_forgot_is_known_again(alice, buy, reconcile):
    """A database from before they bought: without this they would buy, and pay, once more."""
    buy(alice)
    UserPlan.objects.all().delete()
    BillingAccount.objects.update(stripe_customer_id=None)
    assert reconcile()[0] == 0
    assert told() == {("nobodys_subscription", True)}
    assert live_plan(alice.pk).status == "active"


def test_a_customer_that_names_another_address_is_given_to_nobody(alice, bob, buy, reconcile):
    buy(alice)
    customer = BillingAccount.objects.get().stripe_customer_id
    api().customers.update(customer, {"metadata": {"djstripe_subscriber": str(bob.pk)}})
    BillingAccount.objects.update(stripe_customer_id=None)
    assert reconcile()[0] == 1
    assert not BillingAccount.objects.filter(stripe_customer_id=customer).exists()


def test_a_plan_is_put_right_at_stripe(plans, reconcile, stripe):
    pro = plans["pro"]
    api().products.update(pro.stripe_product_id, {"name": "Renamed", "active": False})
    price = ensure_price(pro, 1)
    api().prices.update(price.stripe_price_id, {"active": False})
    assert reconcile()[0] == 0
    assert told() == {("product_differs", True), ("price_inactive", True)}
    product = stripe.get(pro.stripe_product_id)
    assert (product["name"], product["active"]) == (pro.name, True)
    assert stripe.get(price.stripe_price_id)["active"] is True


def test_a_plan_that_is_no_longer_sold_may_be_inactive(plans, reconcile):
    type(plans["pro"]).objects.filter(pk=plans["pro"].pk).update(state="archived")
    api().products.update(plans["pro"].stripe_product_id, {"active": False})
    assert (reconcile()[0], told()) == (0, set())


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"stripe_price_id": "price_gone"}, "price_missing"), ({"amount_cents": 1}, "price_differs")],
)
def test_a_price_that_is_not_what_it_is_here_is_told(plans, reconcile, change, kind):
    PlanPrice.objects.filter(plan=plans["pro"], months=1).update(**change)
    assert (reconcile()[0], told()) == (1, {(kind, False)})


def test_a_plan_whose_product_is_gone_is_told(plans, reconcile):
    type(plans["pro"]).objects.filter(pk=plans["pro"].pk).update(stripe_product_id="prod_gone")
    assert (reconcile()[0], told()) == (1, {("product_missing", False)})


@pytest.fixture
def stored_event(alice, buy, stripe):
    """An event that arrived ten minutes ago and was never processed."""
    buy(alice)
    event = next(e for e in stripe.events() if e["type"] == "customer.subscription.created")
    trigger = WebhookEventTrigger.objects.create(
        headers={}, body=json.dumps(event), remote_ip="127.0.0.1", valid=True, exception="StripeUnavailable"
    )
    WebhookEventTrigger.objects.update(created=timezone.now() - timezone.timedelta(minutes=10))
    return trigger


def test_an_event_that_lay_about_is_processed(stored_event, reconcile):
    assert (reconcile()[0], told()) == (0, {("event_unprocessed", True)})
    stored_event.refresh_from_db()
    assert stored_event.processed


def test_an_event_that_cannot_be_processed_is_told(stored_event, reconcile):
    WebhookEventTrigger.objects.update(body='{"id": "evt_broken", "type": "invoice.paid", "data": {"object": {}}}')
    code, out = reconcile()
    assert (code, told()) == (1, {("event_unprocessed", False)})
    assert "evt_broken" in out


def test_somebody_who_is_switched_off_and_pays_is_told(alice, bob, plans, staff, buy, reconcile):
    buy(alice)
    buy(bob, "explorer")
    type(alice).objects.filter(pk__in=[alice.pk, bob.pk]).update(is_active=False)
    assert (reconcile()[0], told()) == (1, {("inactive_user_pays", False)})


def test_a_closed_account_that_pays_all_the_same_ends(alice, plans, buy, reconcile, stripe):
    buy(alice)
    BillingAccount.objects.update(closed_at=timezone.now())
    assert reconcile()[0] == 0
    assert ("closed_account_pays", True) in told()
    assert [s["status"] for s in stripe.objects("subscription")] == ["canceled"]


def test_a_grant_is_no_drift(alice, plans, staff, reconcile):
    until = timezone.now() + timezone.timedelta(days=30)
    grant_plan(alice, plans["pro"], until=until, reason="Beta", by=staff)
    assert (reconcile()[0], told()) == (0, set())


def test_one_user_is_checked_alone(alice, bob, plans, buy, reconcile):
    buy(alice)
    buy(bob)
    UserPlan.objects.update(status="past_due")
    code, out = reconcile("--user", "Bob@example.com")
    assert (code, "1 user(s) checked" in out) == (0, True)
    assert live_plan(bob.pk).status == "active"
    assert live_plan(alice.pk).status == "past_due"
    assert reconcile("--user", str(alice.pk))[0] == 0
    assert live_plan(alice.pk).status == "active"


@pytest.mark.parametrize("word", ["nobody@example.com", "999999", "bob@example.com"])
def test_somebody_unknown_to_us_or_to_stripe_is_said(bob, stripe, reconcile, word):
    code, out = reconcile("--user", word)
    assert code == 2
    assert word in out


@pytest.mark.slow
def test_a_lost_dispute_ends_the_plan(alice, plans, reconcile, stripe):
    session = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    stripe.pay(session, card="4000000000000259")
    sync_user(alice.pk)
    [dispute] = stripe.objects("dispute")
    api().disputes.close(dispute["id"])
    assert reconcile("--dry-run")[0] in (0, 1)
    assert live_plan(alice.pk) is not None
    assert reconcile()[0] == 0
    assert live_plan(alice.pk) is None
