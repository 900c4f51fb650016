"""Sequence 6: another price in the middle of the period, invoiced at once."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

DAY = 86400


@pytest.fixture
def team(price_of):
    """A price of 99 dollars a month."""
    return price_of(9900)


@pytest.fixture
def upgrade(client, subscription):
    """Ask for another price for Ada's subscription, invoiced at once."""

    def ask(price, **params):
        items = [{"id": subscription["items"].data[0].id, "price": price.id}]
        wish = {"items": items, "proration_behavior": "always_invoice", **params}
        return client.v1.subscriptions.update(subscription.id, wish)

    return ask


@pytest.fixture
def half(stripe, subscription, team):
    """The middle of the period, where the clock stands now."""
    item = subscription["items"].data[0]
    stripe.advance(to=item.current_period_start + (item.current_period_end - item.current_period_start) // 2)
    stripe.take_deliveries()
    return stripe.now


def test_the_events_come_in_stripes_order(half, upgrade, team, types):
    upgrade(team)
    assert types() == [
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoiceitem.created",
        "invoiceitem.created",
        "invoice_payment.paid",
    ]


def test_it_costs_the_difference_for_the_seconds_that_are_left(stripe, client, subscription, half, upgrade, team):
    item = subscription["items"].data[0]
    start, end = item.current_period_start, item.current_period_end
    changed = upgrade(team, proration_date=half)
    invoice = client.v1.invoices.retrieve(changed.latest_invoice)
    credit, debit = invoice.lines.data
    left, whole = end - half, end - start
    assert (credit.amount, debit.amount) == (-round(2900 * left / whole), round(9900 * left / whole))
    assert invoice.total == invoice.amount_paid == credit.amount + debit.amount
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert credit.description.startswith("Unused time on Pro after ")
    assert debit.description.startswith("Remaining time on Pro after ")
    for line, price in ((credit, item.price.id), (debit, team.id)):
        assert (line.period.start, line.period.end) == (half, end)
        assert line.parent.subscription_item_details.proration is True
        assert line.pricing.price_details.price == price
        assert line.discountable is False
    [first] = [one for one in stripe.objects("invoice") if one["billing_reason"] == "subscription_create"]
    credited = credit.parent.subscription_item_details.proration_details.credited_items
    assert (credited.invoice, credited.invoice_line_items) == (first["id"], [first["lines"]["data"][0]["id"]])


def test_the_same_interval_keeps_the_anchor_and_the_period(stripe, subscription, half, upgrade, team):
    item = subscription["items"].data[0]
    changed = upgrade(team)
    after = changed["items"].data[0]
    assert (after.id, after.price.id) == (item.id, team.id)
    assert after.current_period_end == item.current_period_end
    assert changed.billing_cycle_anchor == subscription.billing_cycle_anchor
    [event] = stripe.events("customer.subscription.updated")
    previous = event["data"]["previous_attributes"]
    assert sorted(previous) == ["items", "latest_invoice"]
    assert previous["items"]["data"][0]["price"]["id"] == item.price.id
    stripe.advance(to=item.current_period_end + 3600)
    renewal = stripe.objects("invoice")[-1]
    assert (renewal["billing_reason"], renewal["total"], len(renewal["lines"]["data"])) == (
        "subscription_cycle",
        9900,
        1,
    )


def test_the_two_invoice_items_are_told_credit_first(stripe, half, upgrade, team):
    upgrade(team)
    credit, debit = (event["data"]["object"] for event in stripe.events("invoiceitem.created"))
    assert credit["amount"] < 0 < debit["amount"]
    assert credit["proration"] and debit["proration"]
    assert credit["invoice"] == debit["invoice"] == stripe.objects("invoice")[-1]["id"]


def test_from_month_to_year_a_new_period_begins_and_is_billed_whole(stripe, client, half, upgrade, price_of):
    year = price_of(29000, "year")
    changed = upgrade(year)
    item = changed["items"].data[0]
    began = changed.billing_cycle_anchor
    assert began == item.current_period_start >= half
    assert item.current_period_end - began in (365 * DAY, 366 * DAY)
    credit, whole = client.v1.invoices.retrieve(changed.latest_invoice).lines.data
    assert credit.amount < 0
    assert (whole.amount, whole.parent.subscription_item_details.proration) == (29000, False)
    assert (whole.period.start, whole.period.end) == (began, item.current_period_end)
    stripe.advance(months=2)
    assert stripe.objects("invoice")[-1]["id"] == changed.latest_invoice  # no month is billed any more


def test_without_always_invoice_a_changed_interval_is_billed_at_once_all_the_same(client, half, upgrade, price_of):
    changed = upgrade(price_of(29000, "year"), proration_behavior="create_prorations")
    invoice = client.v1.invoices.retrieve(changed.latest_invoice)
    assert (invoice.billing_reason, invoice.status, len(invoice.lines.data)) == ("subscription_update", "paid", 2)


def test_create_prorations_waits_for_the_renewal(stripe, client, ada, subscription, half, upgrade, team, types):
    changed = upgrade(team, proration_behavior="create_prorations")
    assert types() == ["customer.subscription.updated", "invoiceitem.created", "invoiceitem.created"]
    assert changed.latest_invoice == subscription.latest_invoice
    pending = client.v1.invoice_items.list({"customer": ada.id, "pending": True}).data
    assert len(pending) == 2
    stripe.advance(to=subscription["items"].data[0].current_period_end)
    renewal = stripe.objects("invoice")[-1]
    assert [line["amount"] for line in renewal["lines"]["data"]] == [*reversed([one.amount for one in pending]), 9900]


def test_none_prorates_nothing(stripe, client, ada, subscription, half, upgrade, team, types):
    upgrade(team, proration_behavior="none")
    assert types() == ["customer.subscription.updated"]
    assert client.v1.invoice_items.list({"customer": ada.id}).data == []


def test_a_proration_date_outside_of_the_period_is_refused(subscription, half, upgrade, team):
    item = subscription["items"].data[0]
    for date in (item.current_period_start - 1, item.current_period_end):
        with pytest.raises(stripe_sdk.InvalidRequestError) as error:
            upgrade(team, proration_date=date)
        assert error.value.param == "proration_date"


def test_a_downgrade_at_once_leaves_credit_that_the_renewal_uses(
    stripe, client, ada, subscription, half, upgrade, price_of
):
    upgrade(price_of(900), proration_date=half)
    credit = stripe.objects("invoice")[-1]
    item = subscription["items"].data[0]
    left, whole = item.current_period_end - half, item.current_period_end - item.current_period_start
    assert credit["total"] == round(900 * left / whole) - round(2900 * left / whole) < 0
    assert (credit["status"], credit["amount_due"], credit["ending_balance"]) == ("paid", 0, credit["total"])
    assert client.v1.customers.retrieve(ada.id).balance == credit["total"]
    stripe.advance(to=item.current_period_end + 3600)
    renewal = stripe.objects("invoice")[-1]
    assert (renewal["total"], renewal["starting_balance"]) == (900, credit["total"])
    assert renewal["amount_paid"] == max(0, 900 + credit["total"])


# ------------------------------------------------------------------------ the payment fails
@pytest.fixture
def failing(stripe, subscription, half):
    stripe.card_starts_failing(subscription.customer)
    stripe.take_deliveries()


def test_allow_incomplete_keeps_the_change_and_is_past_due(stripe, client, failing, upgrade, team, types):
    changed = upgrade(team, payment_behavior="allow_incomplete")
    assert (changed.status, changed["items"].data[0].price.id) == ("past_due", team.id)
    assert types() == [
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "invoice.updated",
        "customer.subscription.updated",
        "invoiceitem.created",
        "invoiceitem.created",
    ]
    invoice = client.v1.invoices.retrieve(changed.latest_invoice)
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt == stripe.now + 3 * DAY
    previous = stripe.events("customer.subscription.updated")[-1]["data"]["previous_attributes"]
    assert previous["status"] == "active"


def test_default_incomplete_keeps_the_change_and_waits_for_the_customer(stripe, client, half, upgrade, team):
    changed = upgrade(team, payment_behavior="default_incomplete", expand=["latest_invoice.confirmation_secret"])
    assert (changed.status, changed["items"].data[0].price.id) == ("past_due", team.id)
    assert changed.latest_invoice.confirmation_secret.client_secret.startswith("pi_")
    assert (changed.latest_invoice.status, changed.latest_invoice.attempt_count) == ("open", 0)
    client.v1.invoices.pay(changed.latest_invoice.id)
    assert client.v1.subscriptions.retrieve(changed.id).status == "active"


def test_the_payment_of_an_upgrade_brings_a_late_subscription_up_to_date(
    stripe, client, subscription, half, upgrade, team
):
    """Its status follows the latest invoice."""
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(to=subscription["items"].data[0].current_period_end + 3600)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    stripe.card_works_again(subscription.customer)
    changed = upgrade(team, payment_behavior="error_if_incomplete")
    assert changed.status == "active"
    assert client.v1.invoices.retrieve(changed.latest_invoice).status == "paid"


def test_credit_alone_does_not(stripe, client, subscription, half, upgrade, price_of):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(to=subscription["items"].data[0].current_period_end + 3600)
    assert upgrade(price_of(900)).status == "past_due"


KINDS = ("subscription", "subscription_item", "invoice", "line_item", "invoiceitem", "payment_intent", "charge")


def everything(stripe):
    return {kind: stripe.objects(kind) for kind in KINDS} | {"customer": stripe.objects("customer")}


def test_error_if_incomplete_is_402_and_changes_nothing(stripe, failing, upgrade, team, types):
    before = everything(stripe)
    with pytest.raises(stripe_sdk.CardError) as error:
        upgrade(team, payment_behavior="error_if_incomplete")
    assert (error.value.http_status, error.value.code) == (402, "card_declined")
    assert error.value.error.decline_code == "generic_decline"
    assert everything(stripe) == before
    assert types() == []


def test_error_if_incomplete_with_a_card_that_asks_is_402_and_changes_nothing(
    stripe, subscription, half, upgrade, team, types
):
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    types()
    before = everything(stripe)
    with pytest.raises(stripe_sdk.CardError) as error:
        upgrade(team, payment_behavior="error_if_incomplete")
    assert (error.value.http_status, error.value.code) == (402, "authentication_required")
    assert everything(stripe) == before
    assert types() == []


def test_error_if_incomplete_changes_what_can_be_paid(half, upgrade, team):
    changed = upgrade(team, payment_behavior="error_if_incomplete")
    assert (changed.status, changed["items"].data[0].price.id) == ("active", team.id)


def test_the_share_of_a_new_period_is_never_more_than_the_whole(client, subscription, half, upgrade, price_of):
    """It ends soon before its year is over, and the proration date lies before its beginning."""
    client.v1.subscriptions.update(subscription.id, {"cancel_at": half + 360 * DAY})
    changed = upgrade(price_of(9900, "year"), proration_date=subscription["items"].data[0].current_period_start)
    [_, year] = client.v1.invoices.retrieve(changed.latest_invoice).lines.data
    assert (year.period.end, year.amount) == (half + 360 * DAY, 9900)
