"""Sequence 7: a cheaper price from the next period on, by a subscription schedule."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR = 3600


@pytest.fixture
def basic(price_of):
    """A price of 9 dollars a month."""
    return price_of(900)


@pytest.fixture
def period(subscription):
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


@pytest.fixture
def schedule(client, subscription):
    return client.v1.subscription_schedules.create({"from_subscription": subscription.id})


@pytest.fixture
def phases(subscription, period, basic):
    """The present phase repeated with its start_date, then a month of the cheaper price."""
    price = subscription["items"].data[0].price.id
    return [
        {"items": [{"price": price}], "start_date": period[0], "end_date": period[1]},
        {"items": [{"price": basic.id}], "duration": {"interval": "month", "interval_count": 1}},
    ]


@pytest.fixture
def scheduled(client, schedule, phases, types):
    """The schedule with both phases; its events have been taken."""
    made = client.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    types()
    return made


def test_a_schedule_takes_the_subscription_over_as_it_is(stripe, client, subscription, period, schedule, types):
    assert types() == ["subscription_schedule.created", "customer.subscription.updated"]
    assert (schedule.status, schedule.subscription, schedule.end_behavior) == ("active", subscription.id, "release")
    [phase] = schedule.phases
    assert (phase.start_date, phase.end_date) == period
    assert (schedule.current_phase.start_date, schedule.current_phase.end_date) == period
    assert [item.price for item in phase["items"]] == [subscription["items"].data[0].price.id]
    [event] = stripe.events("customer.subscription.updated")
    assert event["data"]["previous_attributes"] == {"schedule": None}
    assert event["data"]["object"]["schedule"] == schedule.id


def test_the_next_phase_is_told_and_changes_nothing_yet(stripe, client, subscription, schedule, phases, period, types):
    types()
    made = client.v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    assert types() == ["subscription_schedule.updated"]
    assert [phase.start_date for phase in made.phases] == list(period)
    assert made.phases[1].end_date > period[1]
    [event] = stripe.events("subscription_schedule.updated")
    assert list(event["data"]["previous_attributes"]) == ["phases"]
    assert client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 2900


def test_at_the_boundary_the_price_changes_and_the_renewal_bills_the_new_one(
    stripe, subscription, period, scheduled, basic, types, happened
):
    end = period[1]
    stripe.advance(to=end - 1)
    assert types() == ["invoice.upcoming"]
    stripe.advance(to=end + HOUR)
    told = happened()
    assert [type for type, _ in told] == [
        "subscription_schedule.updated",
        "customer.subscription.updated",
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ]
    assert {at for _, at in told[:4]} == {end}
    changed, renewed = (event["data"] for event in stripe.events("customer.subscription.updated")[-2:])
    assert changed["previous_attributes"]["items"]["data"][0]["price"]["unit_amount"] == 2900
    assert changed["object"]["items"]["data"][0]["price"]["id"] == basic.id
    assert renewed["object"]["items"]["data"][0]["current_period_start"] == end
    invoice = stripe.objects("invoice")[-1]
    assert (invoice["billing_reason"], invoice["amount_paid"]) == ("subscription_cycle", 900)
    assert [line["amount"] for line in invoice["lines"]["data"]] == [900]  # nothing is prorated
    assert stripe.get(scheduled.id)["current_phase"]["start_date"] == end


def test_the_upcoming_invoice_tells_the_new_price(stripe, period, scheduled):
    stripe.advance(to=period[1] - 1)
    [event] = stripe.events("invoice.upcoming")
    assert event["data"]["object"]["total"] == 900


def test_after_the_last_phase_it_is_released_and_goes_on(stripe, subscription, scheduled, basic, types):
    over = scheduled.phases[1].end_date
    stripe.advance(to=over - HOUR)
    types()
    stripe.advance(to=over)
    assert types() == [
        "subscription_schedule.released",
        "customer.subscription.updated",
        "customer.subscription.updated",  # the renewal
        "invoice.created",
    ]
    released = stripe.get(scheduled.id)
    assert (released["status"], released["released_subscription"], released["subscription"]) == (
        "released",
        subscription.id,
        None,
    )
    assert released["released_at"] == over
    free, renewed = (event["data"] for event in stripe.events("customer.subscription.updated")[-2:])
    assert free["previous_attributes"] == {"schedule": scheduled.id}
    assert free["object"]["schedule"] is None
    after = stripe.get(subscription.id)
    assert (after["status"], after["items"]["data"][0]["price"]["id"]) == ("active", basic.id)


def test_end_behavior_cancel_ends_the_subscription_instead(stripe, client, subscription, schedule, period, types):
    client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    stripe.advance(to=period[1] - 1)
    types()
    stripe.advance(to=period[1] + HOUR)
    assert types() == ["subscription_schedule.completed", "customer.subscription.deleted"]
    ended = stripe.get(subscription.id)
    assert (ended["status"], ended["ended_at"]) == ("canceled", period[1])


def test_while_it_is_scheduled_a_direct_change_is_refused(client, subscription, scheduled, basic):
    item = subscription["items"].data[0].id
    for wish in (
        {"items": [{"id": item, "price": basic.id}]},
        {"cancel_at_period_end": True},
        {"billing_cycle_anchor": "now"},
    ):
        with pytest.raises(stripe_sdk.InvalidRequestError, match=f"schedule `{scheduled.id}`"):
            client.v1.subscriptions.update(subscription.id, wish)
    assert client.v1.subscriptions.update(subscription.id, {"metadata": {"a": "1"}}).metadata["a"] == "1"


def test_released_it_can_be_changed_directly_again(client, subscription, scheduled, basic, types):
    released = client.v1.subscription_schedules.release(scheduled.id)
    assert types() == ["subscription_schedule.released", "customer.subscription.updated"]
    assert (released.status, released.current_phase) == ("released", None)
    item = subscription["items"].data[0].id
    changed = client.v1.subscriptions.update(subscription.id, {"items": [{"id": item, "price": basic.id}]})
    assert (changed.schedule, changed["items"].data[0].price.id) == (None, basic.id)
    with pytest.raises(stripe_sdk.InvalidRequestError, match="released"):
        client.v1.subscription_schedules.release(scheduled.id)


def test_released_before_the_boundary_the_old_price_is_renewed(stripe, client, subscription, period, scheduled):
    client.v1.subscription_schedules.release(scheduled.id)
    stripe.advance(to=period[1] + HOUR)
    assert stripe.objects("invoice")[-1]["amount_paid"] == 2900


def test_other_phases_take_the_place_of_the_planned_ones(stripe, client, scheduled, phases, period, price_of, types):
    other = price_of(1900)
    types()
    phases[1]["items"] = [{"price": other.id}]
    made = client.v1.subscription_schedules.update(scheduled.id, {"phases": phases})
    assert types() == ["subscription_schedule.updated"]
    assert [phase["items"][0].price for phase in made.phases][1] == other.id
    stripe.advance(to=period[1] + HOUR)
    assert stripe.objects("invoice")[-1]["amount_paid"] == 1900


def test_an_upgrade_replaces_the_planned_downgrade(stripe, client, subscription, scheduled, phases, price_of):
    """The present phase gets the dearer price, invoiced at once, and nothing follows it."""
    team = price_of(9900)
    now = {**phases[0], "items": [{"price": team.id}]}
    wish = {"phases": [now], "proration_behavior": "always_invoice"}
    client.v1.subscription_schedules.update(scheduled.id, wish)
    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after["items"].data[0].price.id == team.id
    invoice = client.v1.invoices.retrieve(after.latest_invoice)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert invoice.total > 0


def test_the_present_phase_must_keep_its_start(client, schedule, phases):
    phases[0]["start_date"] += 1
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.subscription_schedules.update(schedule.id, {"phases": phases})
    assert error.value.param == "phases[0][start_date]"


def test_iterations_are_gone(http, schedule, phases):
    """phases take `duration` since clover."""
    data = {"phases[0][items][0][price]": phases[0]["items"][0]["price"], "phases[0][iterations]": "1"}
    answer = http.post(f"/v1/subscription_schedules/{schedule.id}", data=data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_unknown")


def test_a_second_schedule_is_refused(client, subscription, scheduled):
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already attached"):
        client.v1.subscription_schedules.create({"from_subscription": subscription.id})


def test_canceling_the_subscription_takes_its_schedule_along(client, subscription, scheduled, types):
    client.v1.subscriptions.cancel(subscription.id)
    assert types() == ["customer.subscription.deleted", "subscription_schedule.canceled"]
    assert client.v1.subscription_schedules.retrieve(scheduled.id).status == "canceled"


def test_a_downgrade_from_year_to_month_begins_its_months_at_the_boundary(
    stripe, client, ada, price_of, basic, card_of_ada
):
    card_of_ada("pm_card_visa")
    year = price_of(29000, "year")
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": year.id}]})
    item = subscription["items"].data[0]
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = {"items": [{"price": year.id}], "start_date": item.current_period_start, "end_date": item.current_period_end}
    later = {"items": [{"price": basic.id}], "duration": {"interval": "month"}}
    client.v1.subscription_schedules.update(schedule.id, {"phases": [now, later]})
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 900
    stripe.advance(to=item.current_period_end + HOUR)
    after = stripe.get(subscription.id)
    assert after["billing_cycle_anchor"] == item.current_period_end
    assert after["items"]["data"][0]["current_period_end"] == stripe.get(schedule.id)["phases"][1]["end_date"]
    assert stripe.objects("invoice")[-1]["amount_paid"] == 900


def test_what_a_change_of_phases_would_cost_can_be_asked_first(client, schedule, phases, price_of, types):
    phases[0]["items"] = [{"price": price_of(9900).id}]
    types()
    wish = {"phases": phases, "proration_behavior": "always_invoice"}
    preview = client.v1.invoices.create_preview({"schedule": schedule.id, "schedule_details": wish})
    assert [line.amount > 0 for line in preview.lines.data] == [False, True]
    assert types() == []  # asked, not done
    later = client.v1.invoices.create_preview({"schedule": schedule.id, "schedule_details": {"phases": phases[:1]}})
    assert later.total == preview.total + 9900
