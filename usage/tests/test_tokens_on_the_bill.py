"""Tokens reach Stripe's bill to the cent, once, at the price of when they were used."""

from datetime import timedelta

import pytest

from billing import meter_reports, stripe_gateway
from billing.errors import StripeUnavailable
from billing.grants import grant_plan
from billing.meter_reports import report_usage
from billing.metered import EVENT_NAME
from billing.models import MeteredPrice, TokenCharge, UserPlan
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan
from billing.sync import sync_user
from usage.receipts import receipts_of

MILLION = 10**6


def last_invoice(stripe):
    return stripe.objects("invoice")[-1]


def metered_cents(invoice):
    metered = set(MeteredPrice.objects.values_list("stripe_price_id", flat=True))
    return sum(
        line["amount"] for line in invoice["lines"]["data"] if line["pricing"]["price_details"]["price"] in metered
    )


def in_the_meter(stripe):
    rows = stripe.sandbox.store.execute("SELECT value FROM meter_events WHERE canceled = 0", ()).fetchall()
    return [int(row["value"]) for row in rows]


@pytest.mark.slow
def test_a_plan_with_a_token_price_is_billed_by_two_items(purchase, stripe, deliver):
    plan = purchase("pro")
    [subscription] = stripe.objects("subscription")
    licensed, metered = subscription["items"]["data"]
    assert (licensed["quantity"], "quantity" in metered) == (1, False)
    assert metered["price"]["unit_amount_decimal"] == "0.000000001"
    assert metered["price"]["recurring"]["usage_type"] == "metered"
    assert (plan.stripe_item_id, plan.stripe_metered_item_id) == (licensed["id"], metered["id"])
    assert (plan.token_price_cents, plan.next_charge_cents) == (400, 2900)
    # dj-stripe takes in all that this brings about.
    assert "checkout.session.completed" in {delivery.type for delivery in deliver()}
    assert [meter["event_name"] for meter in stripe.objects("billing.meter")] == [EVENT_NAME]


def test_a_plan_without_one_is_not(alice, plans, stripe, use_tokens):
    purchase_plan(alice, plans["explorer"].pk, 1)
    [subscription] = stripe.objects("subscription")
    assert len(subscription["items"]["data"]) == 1
    use_tokens(MILLION)
    assert not TokenCharge.objects.exists()


@pytest.mark.slow
def test_the_bill_says_to_the_cent_what_the_receipt_says(alice, purchase, stripe, use_tokens, now, deliver):
    purchase("pro")
    for tokens in (1_234, 999_999, 3_333, 77):
        stripe.advance(days=5)
        use_tokens(tokens)
        report_usage(now())
    [receipt] = receipts_of(alice.pk, now())
    assert (receipt.cost, receipt.cents) == (1_004_643 * 1000 * 400, 402)
    stripe.advance(months=1)
    invoice = last_invoice(stripe)
    assert (invoice["status"], invoice["total"]) == ("paid", 2900 + receipt.cents)
    assert metered_cents(invoice) == receipt.cents
    deliver()
    sync_user(alice.pk)
    [receipt] = receipts_of(alice.pk, now())
    assert (receipt.is_open, receipt.cents, receipt.reported) == (False, 402, receipt.cost)
    # The next period begins with nothing on it.
    use_tokens(2_500)
    report_usage(now())
    newer, older = receipts_of(alice.pk, now())
    assert (newer.cents, older.cents) == (1, 402)
    assert older.period_end == newer.period_start
    stripe.advance(months=1)
    assert metered_cents(last_invoice(stripe)) == 1


@pytest.mark.slow
def test_a_renewal_that_is_still_a_draft_has_what_is_left_reported(
    purchase, stripe, use_tokens, deliver, django_capture_on_commit_callbacks
):
    # No worker reports each minute: so it is on one machine, and while the queue is down.
    end = purchase("pro").current_period_end
    deliver()
    use_tokens(5 * MILLION)
    stripe.advance(to=int(end.timestamp()) + 60)
    assert last_invoice(stripe)["status"] == "draft"
    with django_capture_on_commit_callbacks(execute=True):
        deliver()
    stripe.advance(hours=2)
    assert (last_invoice(stripe)["status"], metered_cents(last_invoice(stripe))) == ("paid", 2000)


def test_what_is_used_in_the_last_second_is_still_on_its_bill(alice, purchase, stripe, use_tokens, now):
    plan = purchase("pro")
    use_tokens(MILLION, now=plan.current_period_end - timedelta(seconds=1))
    # The renewal has happened and is a draft yet, the report comes half an hour late, and the look even later.
    stripe.advance(to=plan.current_period_end + timedelta(minutes=30))
    use_tokens(5 * MILLION)
    report_usage(now())
    sync_user(alice.pk)
    use_tokens(MILLION)
    report_usage(now())
    stripe.advance(hours=2)
    assert metered_cents(last_invoice(stripe)) == 400
    stripe.advance(months=1)
    assert metered_cents(last_invoice(stripe)) == 6 * 400
    assert [one.cents for one in receipts_of(alice.pk, now())] == [2400, 400]


def test_reports_are_gathered(alice, purchase, stripe, use_tokens, now):
    purchase("pro")
    for _ in range(20):
        use_tokens(10)
    assert report_usage(now()) == 1
    assert in_the_meter(stripe) == [200 * 1000 * 400]
    assert report_usage(now()) == 0
    use_tokens(5)
    assert report_usage(now()) == 1
    assert sum(in_the_meter(stripe)) == 205 * 1000 * 400


def test_a_crash_between_sending_and_noting_it_counts_once(purchase, stripe, use_tokens, now, monkeypatch):
    purchase("pro")
    use_tokens(1_000)

    def killed(charge):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(meter_reports, "acknowledge", killed)
        with pytest.raises(KeyboardInterrupt):
            report_usage(now())
    # More comes before anybody tries again: what was on its way is sent as it was, the rest after it.
    use_tokens(500)
    stripe.advance(hours=1)
    assert report_usage(now()) == 1
    assert report_usage(now()) == 1
    assert in_the_meter(stripe) == [1_000 * 1000 * 400, 500 * 1000 * 400]
    charge = TokenCharge.objects.get()
    assert (charge.metered_nanocents, charge.in_flight_nanocents) == (charge.cost_nanocents, 0)


@pytest.mark.parametrize("it_arrived", [True, False])
def test_an_answer_that_is_missing_for_days_is_looked_for_in_the_meter(
    purchase, stripe, use_tokens, now, monkeypatch, it_arrived
):
    """By then Stripe has forgotten the identifier."""
    purchase("pro")
    use_tokens(700)
    report_usage(now())
    use_tokens(300)

    def cut_off(**what):
        if it_arrived:
            real(**what)
        raise StripeUnavailable()

    real = stripe_gateway.send_meter_event
    with monkeypatch.context() as patched:
        patched.setattr(stripe_gateway, "send_meter_event", cut_off)
        with pytest.raises(StripeUnavailable):
            report_usage(now())
    stripe.advance(days=2)
    assert report_usage(now()) == 1
    assert sum(in_the_meter(stripe)) == 1_000 * 1000 * 400
    charge = TokenCharge.objects.get()
    assert charge.metered_nanocents == charge.cost_nanocents


@pytest.mark.slow
def test_an_outage_of_stripe_loses_nothing(purchase, stripe, use_tokens, now):
    purchase("pro")
    use_tokens(700)
    stripe.chaos(seed=1, server_error=1.0)
    with pytest.raises(StripeUnavailable):
        report_usage(now())
    stripe.heal()
    assert report_usage(now()) == 1
    assert sum(in_the_meter(stripe)) == 700 * 1000 * 400


def test_an_amount_with_more_digits_than_stripe_takes_goes_in_parts(purchase, stripe, use_tokens, now):
    purchase("pro")
    use_tokens(3 * 10**9)  # 12,000 dollars
    assert report_usage(now()) + report_usage(now()) == 2
    assert in_the_meter(stripe) == [10**15 - 1, 2 * 10**14 + 1]
    assert report_usage(now()) == 0


# --- changes of plan --------------------------------------------------------------------------------------------------


def test_an_upgrade_leaves_the_old_price_on_what_was_used_before(alice, purchase, plans, stripe, use_tokens, now):
    before = purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=10)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    assert [line.is_proration for line in quote.lines] == [True, True]
    purchase_plan(alice, plans["team"].pk, 1, quote=quote.token)
    after = UserPlan.objects.get()
    assert (after.token_price_cents, after.stripe_metered_item_id) == (300, before.stripe_metered_item_id)
    assert last_invoice(stripe)["total"] == quote.total_cents
    use_tokens(MILLION)
    report_usage(now())
    stripe.advance(days=22)
    assert metered_cents(last_invoice(stripe)) == 700
    [receipt] = receipts_of(alice.pk, now())
    assert [(line.price_cents, line.tokens) for line in receipt.lines] == [(300, MILLION), (400, MILLION)]


def test_a_change_to_a_year_bills_what_was_used_and_says_so_before(alice, purchase, plans, stripe, use_tokens, now):
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=10)
    quote = preview_purchase(alice, plans["pro"].pk, 12)
    assert 400 in [line.amount_cents for line in quote.lines]
    purchase_plan(alice, plans["pro"].pk, 12, quote=quote.token)
    invoice = last_invoice(stripe)
    assert (invoice["total"], metered_cents(invoice)) == (quote.total_cents, 400)
    [subscription] = stripe.objects("subscription")
    assert {item["price"]["recurring"]["interval"] for item in subscription["items"]["data"]} == {"year"}
    # The year has a bill of its own for tokens, at its end; the cap and the meters stay monthly.
    use_tokens(2 * MILLION)
    report_usage(now())
    assert [one.cents for one in receipts_of(alice.pk, now())] == [800, 400]


def test_a_downgrade_to_a_free_plan_still_bills_what_was_used(alice, purchase, plans, stripe, use_tokens, now):
    purchase("pro")
    use_tokens(MILLION)
    report_usage(now())
    purchase_plan(alice, plans["explorer"].pk, 1)
    [plan] = UserPlan.objects.all()
    assert plan.pending_price.plan == plans["explorer"]
    stripe.advance(months=1)
    stripe.advance(hours=2)
    assert last_invoice(stripe)["total"] == metered_cents(last_invoice(stripe)) == 400
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.token_price_cents, plan.next_charge_cents) == (plans["explorer"], 0, None)
    use_tokens(MILLION)
    assert TokenCharge.objects.count() == 1


def test_who_comes_from_a_free_plan_gets_the_item(alice, purchase, plans, stripe, use_tokens, now):
    purchase("pro")
    purchase_plan(alice, plans["explorer"].pk, 1)
    stripe.advance(months=1)
    stripe.advance(hours=2)
    sync_user(alice.pk)
    purchase_plan(alice, plans["team"].pk, 1)
    assert UserPlan.objects.get().token_price_cents == 300
    use_tokens(MILLION)
    report_usage(now())
    stripe.advance(months=1)
    stripe.advance(hours=2)
    assert metered_cents(last_invoice(stripe)) == 300


@pytest.mark.parametrize("immediately", [True, False])
def test_a_cancelled_plan_bills_what_was_used_a_last_time(alice, purchase, stripe, use_tokens, now, immediately):
    plan = purchase("pro")
    use_tokens(MILLION)
    # What is reported is of a time before now.
    stripe.advance(days=1)
    if not immediately:
        report_usage(now())
    cancel_plan(alice, immediately=immediately)
    stripe.advance(to=plan.current_period_end + timedelta(hours=2))
    invoice = last_invoice(stripe)
    assert (invoice["total"], invoice["status"]) == (400, "paid")


@pytest.mark.parametrize("immediately", [True, False])
def test_a_trial_that_is_cancelled_bills_its_tokens_now_as_at_its_end(
    alice, plans, purchase, stripe, use_tokens, now, immediately
):
    plans["pro"].trial_days = 14
    plans["pro"].save()
    purchase("pro")
    use_tokens(MILLION)
    stripe.advance(days=1)
    report_usage(now())
    cancel_plan(alice, immediately=immediately)
    stripe.advance(days=20)
    invoice = last_invoice(stripe)
    assert (invoice["total"], invoice["status"]) == (400, "paid")


def test_a_plan_that_was_given_costs_nothing_for_its_tokens(alice, staff, plans, stripe, use_tokens, now):
    plan = grant_plan(alice, plans["pro"], until=now() + timedelta(days=30), reason="Prize", by=staff)
    assert plan.token_price_cents == 0
    use_tokens(MILLION)
    assert not TokenCharge.objects.exists()


def test_who_has_bought_keeps_the_price_of_tokens_until_they_change(alice, purchase, plans, stripe):
    purchase("pro")
    pro = plans["pro"]
    pro.ai_token_price_per_million = 9
    pro.save()
    assert sync_user(alice.pk).token_price_cents == 400
    purchase_plan(alice, plans["team"].pk, 1)
    assert sync_user(alice.pk).token_price_cents == 300


def test_a_new_price_of_tokens_is_sold_from_then_on(alice, purchase, plans, stripe):
    plans["pro"].ai_token_price_per_million = 9
    plans["pro"].save()
    assert purchase("pro").token_price_cents == 900


def test_a_prompt_of_the_try_it_panel_reaches_the_meter(
    alice, purchase, stripe, client, django_capture_on_commit_callbacks
):
    """At once, without waiting for the sweep of the minute."""
    purchase("pro")
    client.force_login(alice)
    form = {"prompt": "x" * 4_000, "key": "0" * 32}
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/try/prompt", form).status_code == 302
    assert in_the_meter(stripe) == [2_000 * 1000 * 400]
