"""What falls due in the same second happens in the order that billing needs, whatever was planned first."""

from __future__ import annotations

import pytest

HOUR, DAY = 3600, 86400


@pytest.fixture
def end(subscription):
    return subscription["items"].data[0].current_period_end


def test_an_end_comes_before_the_renewal_of_the_same_second(stripe, client, subscription, end, types):
    client.v1.subscriptions.update(subscription.id, {"cancel_at": end})
    stripe.advance(to=end - 1)
    types()
    stripe.advance(to=end + HOUR)
    assert types() == ["customer.subscription.deleted"]
    assert len(stripe.objects("invoice")) == 1


def test_a_schedules_phase_comes_before_the_renewal(stripe, client, subscription, end, price_of):
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    item = subscription["items"].data[0]
    now = {"items": [{"price": item.price.id}], "start_date": item.current_period_start, "end_date": end}
    later = {"items": [{"price": price_of(900).id}], "duration": {"interval": "month"}}
    client.v1.subscription_schedules.update(schedule.id, {"phases": [now, later]})
    stripe.advance(to=end)
    assert stripe.objects("invoice")[-1]["total"] == 900


def test_a_schedules_end_comes_before_the_renewal(stripe, client, subscription, end):
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    client.v1.subscription_schedules.update(schedule.id, {"end_behavior": "cancel"})
    stripe.advance(to=end + HOUR)
    assert len(stripe.objects("invoice")) == 1
    assert stripe.get(subscription.id)["status"] == "canceled"


def test_a_pending_update_expires_before_the_renewal(stripe, client, subscription, end, price_of):
    stripe.advance(to=end - 20 * HOUR)
    stripe.card_starts_failing(subscription.customer)
    items = [{"id": subscription["items"].data[0].id, "price": price_of(99000).id}]
    wish = {"items": items, "proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
    assert client.v1.subscriptions.update(subscription.id, wish).pending_update.expires_at == end
    stripe.advance(to=end)
    assert stripe.get(subscription.id)["pending_update"] is None
    assert stripe.objects("invoice")[-1]["total"] == 2900


def test_what_happens_later_because_of_it_comes_in_its_own_second(stripe, subscription, end, happened):
    """A year at once: every event has the moment at which it would have happened, none before the last."""
    happened()
    stripe.advance(months=6)
    moments = [at for _, at in happened()]
    assert moments == sorted(moments)


def test_an_hourly_look_and_one_leap_come_to_the_same(stripe, client, subscription, end, happened):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(to=end - 8 * DAY)
    happened()
    for _ in range(9 * 4):
        stripe.advance(hours=6)
    slowly = happened()
    assert [type for type, _ in slowly][:3] == [
        "invoice.upcoming",
        "customer.subscription.updated",
        "invoice.created",
    ]
    assert [at for type, at in slowly if type == "invoice.payment_failed"] == [end + HOUR]


def test_undone_and_moved_plans_do_not_happen(stripe, client, subscription, end, types):
    """cancel_at is moved twice and undone; each former plan is gone."""
    client.v1.subscriptions.update(subscription.id, {"cancel_at": end - 10 * DAY, "proration_behavior": "none"})
    client.v1.subscriptions.update(subscription.id, {"cancel_at": end - 5 * DAY, "proration_behavior": "none"})
    client.v1.subscriptions.update(subscription.id, {"cancel_at": ""})
    types()
    stripe.advance(to=end)
    assert "customer.subscription.deleted" not in types()
    assert stripe.get(subscription.id)["status"] == "active"
