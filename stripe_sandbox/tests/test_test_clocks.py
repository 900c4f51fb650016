"""Test clocks: a few customers whose time goes forward alone."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR, DAY = 3600, 86400
FROZEN = 1_800_000_000  # 2027-01-15


@pytest.fixture
def clocks(client):
    return client.v1.test_helpers.test_clocks


@pytest.fixture
def clock(clocks):
    return clocks.create({"frozen_time": FROZEN, "name": "Ada's year"})


@pytest.fixture
def newcomer(client, clock):
    """Make a customer on the clock, with a card; return their id."""

    def make(card="pm_card_visa"):
        customer = client.v1.customers.create({"test_clock": clock.id})
        method = client.v1.payment_methods.attach(card, {"customer": customer.id})
        client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        return customer.id

    return make


@pytest.fixture
def subscribe(client, newcomer, pro):
    def make(customer=None, **params):
        items = [{"price": pro.id}]
        return client.v1.subscriptions.create({"customer": customer or newcomer(), "items": items, **params})

    return make


def test_it_stands_still_and_tells_when_it_was_made(stripe, client, clock, subscribe, types):
    assert (clock.status, clock.frozen_time, clock.name) == ("ready", FROZEN, "Ada's year")
    assert types()[0] == "test_helpers.test_clock.created"
    subscription = subscribe()
    assert subscription.created == subscription.start_date == FROZEN
    assert subscription.test_clock == clock.id
    stripe.advance(days=20)  # the global clock moves none of it
    assert client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_start == FROZEN


def test_advancing_is_told_and_done_when_it_is_ready(stripe, client, clocks, clock, subscribe, happened):
    subscribe()
    happened()
    advancing = clocks.advance(clock.id, {"frozen_time": FROZEN + 40 * DAY})
    assert advancing.status == "advancing"
    assert advancing.status_details.advancing.target_frozen_time == FROZEN + 40 * DAY
    ready = clocks.retrieve(clock.id)
    assert (ready.status, ready.frozen_time) == ("ready", FROZEN + 40 * DAY)
    told = happened()
    assert told[0][0] == "test_helpers.test_clock.advancing"
    assert told[-1] == ("test_helpers.test_clock.ready", FROZEN + 40 * DAY)


def test_what_falls_due_happens_in_order_and_at_its_own_time(stripe, client, clocks, clock, subscribe, happened):
    """A trial, its end, a renewal that fails and is tried again: one advance of two months."""
    subscription = subscribe(trial_period_days=14)
    client.v1.customers.update(subscription.customer, {"email": "ada@example.com"})
    trial_end = FROZEN + 14 * DAY
    clocks.advance(clock.id, {"frozen_time": trial_end + HOUR})
    renewal = client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_end
    assert renewal - trial_end == 30 * DAY  # from 29 January until the last of February
    told = happened()
    moments = [at for _, at in told if at >= FROZEN]
    assert moments == sorted(moments)
    told = [one for one in told if not one[0].startswith(("test_helpers", "payment_method", "customer.updated"))]
    assert told[-12:] == [
        ("invoice.upcoming", trial_end - 7 * DAY),
        ("customer.subscription.trial_will_end", trial_end - 3 * DAY),
        ("customer.subscription.updated", trial_end),
        ("invoice.created", trial_end),
        ("invoice.finalized", trial_end + HOUR),
        ("payment_intent.created", trial_end + HOUR),
        ("charge.succeeded", trial_end + HOUR),
        ("payment_intent.succeeded", trial_end + HOUR),
        ("invoice.updated", trial_end + HOUR),
        ("invoice.paid", trial_end + HOUR),
        ("invoice.payment_succeeded", trial_end + HOUR),
        ("invoice_payment.paid", trial_end + HOUR),
    ]
    stripe.card_starts_failing(subscription.customer)
    happened()
    clocks.advance(clock.id, {"frozen_time": renewal + 20 * DAY})
    failures = [at for type, at in happened() if type in ("invoice.payment_failed", "customer.subscription.deleted")]
    first = renewal + HOUR
    assert failures == [first, first + 3 * DAY, first + 5 * DAY, first + 7 * DAY, first + 7 * DAY]
    assert client.v1.subscriptions.retrieve(subscription.id).ended_at == first + 7 * DAY


def test_a_schedules_phases_follow_it(stripe, client, clocks, clock, subscribe, price_of):
    subscription = subscribe()
    item = subscription["items"].data[0]
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    now = {"items": [{"price": item.price.id}], "start_date": FROZEN, "end_date": item.current_period_end}
    later = {"items": [{"price": price_of(900).id}], "duration": {"interval": "month"}}
    client.v1.subscription_schedules.update(schedule.id, {"phases": [now, later]})
    clocks.advance(clock.id, {"frozen_time": item.current_period_end + 2 * HOUR})
    assert client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 900
    [moved] = stripe.events("subscription_schedule.updated")[-1:]
    assert moved["created"] == item.current_period_end


def test_a_checkout_session_expires_on_its_customers_clock(stripe, client, clocks, clock, newcomer, checkout):
    session = checkout(customer=newcomer())
    assert session.expires_at == FROZEN + DAY
    clocks.advance(clock.id, {"frozen_time": FROZEN + 2 * DAY})
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    [expired] = stripe.events("checkout.session.expired")
    assert expired["created"] == FROZEN + DAY


def test_the_global_clock_and_everybody_else_stay_where_they_are(
    stripe, client, clocks, clock, subscribe, subscription
):
    before = stripe.now
    subscribe()
    clocks.advance(clock.id, {"frozen_time": FROZEN + 50 * DAY})
    assert stripe.now == before
    assert client.v1.subscriptions.retrieve(subscription.id) == subscription
    assert client.v1.customers.create({}).created == before


def test_two_clocks_do_not_touch_each_other(client, clocks, clock, subscribe, pro):
    other = clocks.create({"frozen_time": FROZEN + 100 * DAY})
    subscription = subscribe()
    clocks.advance(other.id, {"frozen_time": FROZEN + 200 * DAY})
    assert client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_start == FROZEN
    assert clocks.retrieve(clock.id).frozen_time == FROZEN


# ---------------------------------------------------------------------------------- the limits
def test_at_most_two_intervals_of_the_shortest_subscription(client, clocks, clock, subscribe, price_of, newcomer):
    year = price_of(29000, "year")
    customer = newcomer()
    client.v1.subscriptions.create({"customer": customer, "items": [{"price": year.id}]})
    subscribe(customer)
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        clocks.advance(clock.id, {"frozen_time": FROZEN + 60 * DAY})
    assert error.value.param == "frozen_time"
    assert clocks.advance(clock.id, {"frozen_time": FROZEN + 59 * DAY})  # 31 days of January, 28 of February


def test_two_years_without_a_subscription(clocks, clock):
    with pytest.raises(stripe_sdk.InvalidRequestError):
        clocks.advance(clock.id, {"frozen_time": FROZEN + 732 * DAY})
    assert clocks.advance(clock.id, {"frozen_time": FROZEN + 731 * DAY})


def test_it_does_not_go_back(clocks, clock):
    for moment in (FROZEN, FROZEN - 1):
        with pytest.raises(stripe_sdk.InvalidRequestError):
            clocks.advance(clock.id, {"frozen_time": moment})


def test_three_customers(client, clock, newcomer):
    for _ in range(3):
        newcomer()
    with pytest.raises(stripe_sdk.InvalidRequestError, match="3 customers"):
        client.v1.customers.create({"test_clock": clock.id})


def test_three_subscriptions_each(client, subscribe, newcomer):
    customer = newcomer()
    made = [subscribe(customer) for _ in range(3)]
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        subscribe(customer)
    assert error.value.code == "customer_max_subscriptions"
    client.v1.subscriptions.cancel(made[0].id)
    assert subscribe(customer).status == "active"


def test_deleting_it_takes_its_customers_along(stripe, client, clocks, clock, subscribe, types):
    subscription = subscribe()
    types()
    assert clocks.delete(clock.id).deleted
    assert client.v1.customers.retrieve(subscription.customer).deleted
    told = types()
    assert told[-1] == "test_helpers.test_clock.deleted"
    assert "customer.subscription.deleted" in told
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        clocks.retrieve(clock.id)
    assert error.value.http_status == 404
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_it_is_deleted_after_30_days(stripe, clocks, clock):
    assert clock.deletes_after == stripe.now + 30 * DAY
    stripe.advance(to=clock.deletes_after)
    with pytest.raises(stripe_sdk.InvalidRequestError):
        clocks.retrieve(clock.id)
