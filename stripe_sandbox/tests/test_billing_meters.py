"""Billing meters and the events reported to them."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


@pytest.fixture
def meter(client):
    return client.v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )


@pytest.fixture
def report(client, ada, meter):
    def report(value, identifier=None, timestamp=None, customer=ada.id):
        given = {"identifier": identifier, "timestamp": timestamp}
        return client.v1.billing.meter_events.create(
            {
                "event_name": "tokens",
                "payload": {"stripe_customer_id": customer, "value": str(value)},
                **{key: value for key, value in given.items() if value is not None},
            }
        )

    return report


def usage(client, meter, customer, start, end, **params):
    found = client.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": customer.id, "start_time": start, "end_time": end, **params}
    )
    return [summary.aggregated_value for summary in found.data]


def minute(stripe, minutes=0):
    now = stripe.sandbox.clock.now()
    return now - now % 60 + 60 * minutes


def refused(call, *args, **kwargs):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        call(*args, **kwargs)
    return error.value


def test_a_meter_is_made_changed_switched_off_and_on(stripe, client, meter):
    assert (meter.status, meter.event_time_window) == ("active", None)
    assert meter.customer_mapping.event_payload_key == "stripe_customer_id"
    assert meter.value_settings.event_payload_key == "value"
    assert client.v1.billing.meters.update(meter.id, {"display_name": "T"}).display_name == "T"
    off = client.v1.billing.meters.deactivate(meter.id)
    assert (off.status, off.status_transitions.deactivated_at) == ("inactive", stripe.sandbox.clock.now())
    assert client.v1.billing.meters.list({"status": "active"}).data == []
    assert client.v1.billing.meters.reactivate(meter.id).status == "active"
    assert client.v1.billing.meters.retrieve(meter.id).status_transitions.deactivated_at is None
    assert [event["type"] for event in stripe.events()] == [
        "billing.meter.created",
        "billing.meter.updated",
        "billing.meter.deactivated",
        "billing.meter.reactivated",
    ]


def test_two_active_meters_cannot_share_an_event_name(client, meter):
    same = {"display_name": "x", "event_name": "tokens", "default_aggregation": {"formula": "count"}}
    assert refused(client.v1.billing.meters.create, same).param == "event_name"
    client.v1.billing.meters.deactivate(meter.id)
    client.v1.billing.meters.create(same)
    refused(client.v1.billing.meters.reactivate, meter.id)


def test_usage_is_summed(stripe, client, meter, ada, report):
    event = report(10, "a")
    assert (event.identifier, event.event_name, event.payload["value"]) == ("a", "tokens", "10")
    report(2.5)
    report(-1)
    assert usage(client, meter, ada, minute(stripe, -60), minute(stripe, 60)) == [11.5]


@pytest.mark.parametrize(("formula", "expected"), [("sum", 9.0), ("count", 3.0), ("last", 4.0)])
def test_the_formulas(stripe, client, ada, formula, expected):
    meter = client.v1.billing.meters.create(
        {"display_name": "x", "event_name": "x", "default_aggregation": {"formula": formula}}
    )
    now = stripe.sandbox.clock.now()
    for value, ago in ((4, 10), (3, 20), (2, 30)):  # the last in time, not in arrival
        payload = {"stripe_customer_id": ada.id, "value": str(value)}
        event = {"event_name": "x", "payload": payload, "timestamp": now - ago}
        client.v1.billing.meter_events.create(event)
    assert usage(client, meter, ada, minute(stripe, -60), minute(stripe, 60)) == [expected]


def test_an_identifier_counts_once_within_a_day(stripe, client, meter, ada, report):
    report(1, "once")
    error = refused(report, 1, "once")
    assert error.user_message == "An event already exists with identifier once."
    with stripe.sandbox.clock.at(stripe.sandbox.clock.now() + 24 * 3600 + 1):
        report(1, "once")
    assert usage(client, meter, ada, minute(stripe, -60), minute(stripe, 60 * 48)) == [2]


@pytest.mark.parametrize(("seconds", "words"), [(-35 * 86400 - 5, "35 days in past"), (305, "5 minutes in the future")])
def test_the_time_has_limits(stripe, report, seconds, words):
    error = refused(report, 1, timestamp=stripe.sandbox.clock.now() + seconds)
    assert words in error.user_message
    assert error.param == "timestamp"


@pytest.mark.parametrize("seconds", [-35 * 86400 + 5, 295])
def test_within_the_limits_it_counts(stripe, report, seconds):
    now = stripe.sandbox.clock.now()
    assert report(1, timestamp=now + seconds).timestamp == now + seconds


@pytest.mark.parametrize("value", ["", "x", "1e99", "NaN", "Infinity", "1_0", "٣", "1234567890123456"])
def test_what_is_no_value(report, value):
    assert refused(report, value).param == "payload[value]"


def test_the_payload_must_name_a_customer_and_a_value(client, report, meter, ada):
    assert refused(report, 1, customer="cus_x").user_message == "No such customer: 'cus_x'"
    create = client.v1.billing.meter_events.create
    assert refused(create, {"event_name": "tokens", "payload": {"value": "1"}}).code == "parameter_missing"
    payload = {"stripe_customer_id": ada.id}
    assert refused(create, {"event_name": "tokens", "payload": payload}).param == "payload[value]"


def test_an_unknown_event_name(client, meter, report):
    create, event = client.v1.billing.meter_events.create, {"event_name": "x", "payload": {"value": "1"}}
    assert refused(create, event).user_message == 'No active meter found for event name "x"'
    client.v1.billing.meters.deactivate(meter.id)
    refused(report, 1)


def test_an_event_can_be_taken_back_within_a_day(stripe, client, meter, ada, report):
    report(5, "mistake")
    report(1, "right")
    adjust = client.v1.billing.meter_event_adjustments.create
    cancel = {"event_name": "tokens", "type": "cancel", "cancel": {"identifier": "mistake"}}
    assert adjust(cancel).status == "complete"
    assert usage(client, meter, ada, minute(stripe, -60), minute(stripe, 60)) == [1]
    refused(adjust, cancel)
    refused(adjust, {**cancel, "cancel": {"identifier": "never"}})
    with stripe.sandbox.clock.at(stripe.sandbox.clock.now() + 25 * 3600):
        refused(adjust, {**cancel, "cancel": {"identifier": "right"}})


def test_summaries_by_hour_and_day(stripe, client, meter, ada, report):
    now = stripe.sandbox.clock.now()
    day = now - now % 86400 - 86400
    for value, at in ((1, day), (2, day + 3599), (4, day + 3600), (8, day + 86400)):
        report(value, timestamp=at)
    span = (day, day + 2 * 86400)
    assert usage(client, meter, ada, *span, value_grouping_window="hour") == [8, 4, 3]
    assert usage(client, meter, ada, *span, value_grouping_window="day") == [8, 7]
    assert usage(client, meter, ada, *span) == [15]
    page = client.v1.billing.meters.event_summaries.list(
        meter.id,
        {
            "customer": ada.id,
            "start_time": span[0],
            "end_time": span[1],
            "limit": 2,
            "value_grouping_window": "hour",
        },
    )
    assert page.has_more
    assert [s.aggregated_value for s in page.auto_paging_iter()] == [8, 4, 3]
    refused(usage, client, meter, ada, day + 1, day + 3600)
    refused(usage, client, meter, ada, day, day + 3600, value_grouping_window="day")
