"""A mail for each thing that happened, once: however often, late or in whatever order its events come, or never."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from billing import stripe_gateway
from billing.catalog import ensure_price
from billing.checkout import start_checkout
from billing.customers import ensure_customer
from billing.errors import AuthenticationRequired, PaymentFailed, StripeUnavailable
from billing.grants import end_grant, grant_plan, move_grant_end
from billing.metered import EVENT_NAME
from billing.models import BillingMail, UserPlan
from billing.pricing import NANOCENTS
from billing.subscriptions import cancel_plan, purchase_plan, resume_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


# --- the events of one purchase ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 3))])
def test_a_purchase_is_one_receipt_though_its_events_come_twice_and_in_any_order(
    alice, plans, stripe, post_event, told, seed
):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    events = stripe.take_deliveries() * 2
    random.Random(seed).shuffle(events)
    for event in events:
        post_event(event)
    assert told() == ["receipt"]


def test_it_is_one_though_no_event_comes_at_all(alice, buy, told, stripe):
    buy("pro")
    sync_user(alice.pk)
    assert told() == ["receipt"]


@pytest.mark.slow
def test_and_none_more_when_the_events_come_late(buy, told, deliver):
    buy("pro")
    deliver()
    assert told() == ["receipt"]


def test_nothing_is_told_when_the_change_is_rolled_back(alice, plans, stripe, told):
    stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])

    class Killed(Exception):
        pass

    with pytest.raises(Killed), transaction.atomic():
        sync_user(alice.pk)
        assert BillingMail.objects.exists()
        raise Killed
    assert told() == []
    sync_user(alice.pk)
    assert told() == ["receipt"]


def test_a_mistake_in_writing_a_mail_costs_the_mail_and_not_the_plan(alice, buy, told, monkeypatch, caplog):
    def mistake(plan, invoice):
        raise KeyError("not what we thought")

    monkeypatch.setattr("billing.notices._paid", mistake)
    buy("pro")
    assert UserPlan.objects.get().status == "active"
    assert told() == []
    assert "could not be written" in caplog.text


def test_when_stripe_does_not_say_the_cause_the_whole_look_is_taken_again(alice, stripe, buy, told, monkeypatch):
    customer = buy("pro")
    told()
    stripe.card_starts_failing(customer)
    stripe.advance(months=1, hours=2)

    def down(invoice_id):
        raise StripeUnavailable()

    stripe_gateway.cancel_at_period_end(UserPlan.objects.get().stripe_subscription_id)
    with monkeypatch.context() as outage, pytest.raises(StripeUnavailable):
        outage.setattr(stripe_gateway, "why_unpaid", down)
        sync_user(alice.pk)
    assert told() == []
    sync_user(alice.pk)
    assert told() == ["cancel_scheduled", "payment_failed"]


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_receipt_says_what_was_paid_and_what_comes_next(alice, plans, buy, facts_of, stripe):
    buy("pro")
    facts, invoice = facts_of("receipt"), stripe.objects("invoice")[-1]
    assert (facts["plan"], facts["paid_cents"], facts["number"]) == ("DataPilot Pro", 2900, invoice["number"])
    assert sum(line["cents"] for line in facts["lines"]) == 2900
    assert (facts["next_cents"], facts["card"]) == (2900, "Visa ending in 4242")
    assert facts["url"] == invoice["hosted_invoice_url"]


@pytest.mark.slow
def test_an_upgrade_is_a_change_and_a_receipt_of_what_it_cost(alice, plans, stripe, buy, told, facts_of, deliver):
    buy("pro")
    stripe.advance(days=10)
    told()
    purchase_plan(alice, plans["team"].pk, 1)
    deliver()
    assert sorted(told()) == ["changed", "receipt"]
    assert facts_of("receipt")["paid_cents"] == stripe.objects("invoice")[-1]["amount_paid"]
    assert (facts_of("changed")["was_plan"], facts_of("changed")["plan"]) == ("DataPilot Pro", "Datilio Team")


def test_a_declined_upgrade_is_no_news(alice, plans, stripe, buy, told):
    customer = buy("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    told()
    stripe.card_starts_failing(customer)
    with pytest.raises(PaymentFailed):
        purchase_plan(alice, plans["team"].pk, 1)
    sync_user(alice.pk)
    assert told() == []


def test_a_downgrade_is_told_when_it_is_chosen_and_when_it_happens(alice, plans, stripe, buy, told, facts_of):
    buy("team")
    told()
    plan = purchase_plan(alice, plans["pro"].pk, 1)
    sync_user(alice.pk)
    assert told() == ["change_scheduled"]
    assert facts_of("change_scheduled")["at"] == plan.pending_at.isoformat().replace("+00:00", "Z")
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    sync_user(alice.pk)
    assert sorted(told()) == ["changed", "receipt"]
    assert facts_of("changed")["as_scheduled"] is True


def test_scheduled_taken_back_and_scheduled_again_are_two_events(alice, plans, buy, told):
    buy("team")
    told()
    for _ in range(2):
        purchase_plan(alice, plans["pro"].pk, 1)
        resume_plan(alice)
    assert told() == ["change_scheduled"] * 2


def test_a_cancellation_is_told_once_and_again_when_it_is_another_one(alice, stripe, buy, told, facts_of):
    buy("pro")
    told()
    _, plan = cancel_plan(alice)
    cancel_plan(alice)
    assert told() == ["cancel_scheduled"]
    assert facts_of("cancel_scheduled")["until"] == plan.cancel_at.isoformat().replace("+00:00", "Z")
    resume_plan(alice)
    stripe.advance(days=1)
    cancel_plan(alice)
    assert told() == ["cancel_scheduled"]


@pytest.mark.slow
@pytest.mark.parametrize(("immediately", "why"), [(True, "cancelled"), (False, "as_cancelled")])
def test_the_end_is_told_with_its_reason(alice, stripe, buy, told, facts_of, deliver, immediately, why):
    buy("pro")
    cancel_plan(alice, immediately=immediately)
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    deliver()
    assert told()[-1] == "ended"
    assert facts_of("ended")["why"] == why
    assert BillingMail.objects.filter(kind="ended").count() == 1


@pytest.mark.slow
def test_each_failed_try_is_told_with_its_cause_and_its_dates(alice, stripe, buy, told, facts_of, deliver):
    customer = buy("pro")
    told()
    stripe.card_starts_failing(customer)
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    deliver()
    assert told() == ["payment_failed"]
    facts, plan = facts_of("payment_failed"), UserPlan.objects.get()
    assert facts["cause"] == "The card was declined."
    assert facts["cents"] == 2900
    assert facts["access_until"] == plan.grace_ends_at.isoformat().replace("+00:00", "Z")
    assert facts["again_at"] == plan.next_attempt_at.isoformat().replace("+00:00", "Z")
    assert facts["url"].startswith(stripe.url)
    stripe.advance(to=plan.next_attempt_at + timedelta(hours=1))
    sync_user(alice.pk)
    assert told() == ["payment_failed"]
    stripe.card_works_again(customer)
    stripe.advance(days=3)
    sync_user(alice.pk)
    assert told() == ["receipt"]


@pytest.mark.slow
def test_a_plan_that_nobody_paid_says_so_when_it_ends(alice, stripe, buy, told, facts_of):
    customer = buy("pro")
    stripe.card_starts_failing(customer)
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    stripe.advance(days=20)
    sync_user(alice.pk)
    assert told()[-1] == "ended"
    assert facts_of("ended")["why"] == "unpaid"


def test_a_bank_that_wants_to_be_asked_at_renewal_is_no_decline(alice, stripe, buy, told, facts_of):
    customer = buy("pro")
    told()
    stripe.card_starts_failing(customer, "4000002760003184")
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    assert told() == ["action_required"]
    facts = facts_of("action_required")
    assert (facts["is_upgrade"], facts["cents"]) == (False, 2900)
    assert facts["access_until"] and facts["url"]


def test_an_upgrade_that_waits_for_the_bank_is_told_with_its_page(alice, plans, stripe, buy, told, facts_of):
    customer = buy("pro")
    told()
    stripe.card_starts_failing(customer, "4000002760003184")
    with pytest.raises(AuthenticationRequired) as refused:
        purchase_plan(alice, plans["team"].pk, 1)
    sync_user(alice.pk)
    assert told() == ["action_required"]
    assert facts_of("action_required")["url"] == refused.value.details["authentication_url"]
    assert facts_of("action_required")["is_upgrade"] is True


def test_a_free_plan_is_told_shortly(alice, plans, told, facts_of):
    purchase_plan(alice, plans["explorer"].pk, 1)
    sync_user(alice.pk)
    assert told() == ["started"]
    assert "next_cents" not in facts_of("started")


def test_a_trial_is_told_when_it_begins_and_paid_when_it_ends(alice, plans, stripe, buy, told, facts_of):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    buy("pro")
    sync_user(alice.pk)
    assert told() == ["started"]
    assert (facts_of("started")["next_cents"], facts_of("started")["trial_end"]) == (
        2900,
        facts_of("started")["next_at"],
    )
    stripe.advance(days=14, hours=2)
    sync_user(alice.pk)
    assert told() == ["receipt"]


def test_a_purchase_that_a_code_makes_free_is_told_too(alice, plans, stripe, told, facts_of):
    coupon = stripe.client.v1.coupons.create({"percent_off": 100, "duration": "once"})
    stripe.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "GIFT"})
    session = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    stripe.enter_code(session, "GIFT")
    stripe.pay(session)
    sync_user(alice.pk)
    assert told() == ["started"]
    assert facts_of("started")["next_cents"] == 2900


@pytest.mark.slow
def test_a_lost_dispute_is_the_reason_of_an_end(alice, stripe, buy, told, facts_of, deliver):
    buy("pro", card="4000000000000259")
    deliver()
    [dispute] = stripe.objects("dispute")
    evidence = {"uncategorized_text": "losing_evidence"}
    stripe.client.v1.disputes.update(dispute["id"], {"evidence": evidence, "submit": True})
    deliver()
    assert told() == ["receipt", "ended"]
    assert facts_of("ended")["why"] == "disputed"


@pytest.mark.parametrize(("early", "why"), [(False, "grant_over"), (True, "grant_ended")])
def test_a_gift_is_told_when_it_is_given_moved_and_over(alice, staff, plans, stripe, told, facts_of, early, why):
    until = datetime.fromtimestamp(stripe.now, UTC) + timedelta(days=20)
    grant_plan(alice, plans["pro"], until=until, reason="A prize", by=staff)
    assert told() == ["granted"]
    plan = move_grant_end(alice, until=until + timedelta(days=5), by=staff)
    assert told() == ["granted"]
    assert facts_of("granted")["until"] == plan.cancel_at.isoformat().replace("+00:00", "Z")
    if early:
        end_grant(alice, by=staff)
    stripe.advance(days=26)
    sync_user(alice.pk)
    assert told() == ["ended"]
    assert facts_of("ended")["why"] == why


def test_what_is_bought_in_the_place_of_a_gift_is_one_receipt(alice, staff, plans, buy, told, stripe):
    until = datetime.fromtimestamp(stripe.now, UTC) + timedelta(days=20)
    grant_plan(alice, plans["pro"], until=until, reason="A prize", by=staff)
    told()
    buy("team")
    sync_user(alice.pk)
    assert told() == ["receipt"]


# --- what is not ------------------------------------------------------------------------------------------------------


def test_no_end_is_told_of_a_free_plan_that_made_way_for_a_paid_one(alice, plans, stripe, buy, told):
    purchase_plan(alice, plans["explorer"].pk, 1)
    told()
    buy("pro")
    sync_user(alice.pk)
    assert told() == ["receipt"]


def test_no_end_is_told_of_a_plan_that_another_has_followed_by_now(alice, plans, stripe, buy, told):
    """Ended at Stripe and bought anew before anybody looked."""
    customer = buy("pro")
    stripe_gateway.cancel_now(UserPlan.objects.get().stripe_subscription_id)
    told()
    card = stripe_gateway.card_on_file(customer)
    items = [{"price": ensure_price(plans["team"], 1).stripe_price_id}]
    stripe_gateway._client().v1.subscriptions.create(
        {"customer": customer, "items": items, "default_payment_method": card}
    )
    sync_user(alice.pk)
    assert told() == ["receipt"]


@pytest.mark.slow
def test_a_bill_of_nothing_is_no_receipt(alice, plans, stripe, told, deliver):
    purchase_plan(alice, plans["explorer"].pk, 1)
    told()
    stripe.advance(months=3, hours=2)
    deliver()
    assert [invoice["amount_paid"] for invoice in stripe.objects("invoice")] == [0] * 4
    assert told() == []


def test_nothing_is_told_at_a_first_look_at_what_is_over(alice, plans, stripe, told):
    session = stripe.pay(start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1])
    stripe_gateway.cancel_now(session["subscription"])
    sync_user(alice.pk)
    assert UserPlan.objects.get().ended_at
    assert told() == []


@pytest.mark.parametrize("plan", ["explorer", "team"])
def test_a_row_that_got_lost_and_is_written_again_is_no_news(alice, plans, buy, told, plan):
    if plan == "team":
        buy("team")
        purchase_plan(alice, plans["pro"].pk, 1)
    else:
        purchase_plan(alice, plans["explorer"].pk, 1)
        cancel_plan(alice)
    assert len(told()) == 2
    UserPlan.objects.all().delete()
    assert sync_user(alice.pk)
    assert told() == []


def test_what_was_paid_long_ago_is_history(alice, plans, buy, told, monkeypatch):
    later = timezone.now() + timedelta(days=8)
    monkeypatch.setattr("billing.notices.timezone.now", lambda: later)
    buy("pro")
    assert told() == []


# --- money that no look at the newest bill can see --------------------------------------------------------------------


@pytest.mark.slow
def test_two_purchases_are_told_as_what_became_of_them(alice, plans, stripe, told, facts_of, deliver):
    """Both were completed, neither was seen: the newer wins, the older is refunded."""
    customer = ensure_customer(alice)
    card = stripe_gateway._client().v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    for plan in ("pro", "team"):
        items = [{"price": ensure_price(plans[plan], 1).stripe_price_id}]
        stripe_gateway._client().v1.subscriptions.create(
            {"customer": customer, "items": items, "default_payment_method": card.id}
        )
    sync_user(alice.pk)
    sync_user(alice.pk)
    assert sorted(told()) == ["receipt", "replaced"]
    facts = facts_of("replaced")
    assert (facts["was_plan"], facts["plan"]) == ("DataPilot Pro", "Datilio Team")
    assert facts["refunded_cents"] == stripe.objects("refund")[0]["amount"]
    deliver()
    assert told() == ["receipt"]  # of the older one; its refund is told by `replaced` already


@pytest.mark.slow
def test_a_refund_by_hand_is_told(alice, stripe, buy, told, facts_of, deliver):
    buy("pro")
    deliver()
    told()
    [charge] = stripe.objects("charge")
    for amount in (500, 700):
        stripe_gateway._client().v1.refunds.create({"charge": charge["id"], "amount": amount})
    deliver()
    deliver()
    assert told() == ["refunded"] * 2
    assert sorted(BillingMail.objects.filter(kind="refunded").values_list("facts__cents", flat=True)) == [500, 700]


@pytest.mark.slow
def test_two_bills_between_two_looks_are_two_receipts(alice, stripe, buy, told, deliver):
    buy("pro")
    told()
    stripe.advance(months=2, hours=2)
    deliver()
    assert told() == ["receipt"] * 2


def test_the_reconcile_finds_what_no_event_told(alice, stripe, buy, told):
    buy("pro")
    told()
    stripe.advance(months=2, hours=2)
    sync_user(alice.pk, disputes=True)
    assert told() == ["receipt"] * 2


@pytest.mark.slow
def test_a_receipt_of_tokens_alone_is_for_them_and_not_for_the_free_plan_that_followed(
    alice, plans, buy, facts_of, stripe, deliver
):
    customer = buy("pro")
    usage = {"stripe_customer_id": customer, "value": str(400 * NANOCENTS)}
    stripe.client.v1.billing.meter_events.create({"event_name": EVENT_NAME, "payload": usage})
    purchase_plan(alice, plans["explorer"].pk, 1)
    stripe.advance(months=1, hours=2)
    deliver()
    facts = facts_of("receipt")
    assert (facts["paid_cents"], facts["plan"]) == (400, "AI tokens")
