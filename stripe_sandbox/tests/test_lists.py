"""Lists: order, pages, cursors, filters."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk


@pytest.fixture
def customers(client):
    """Twelve, oldest first."""
    return [client.v1.customers.create({"email": f"c{n}@example.com"}).id for n in range(12)]


def test_ten_newest_first(http, customers):
    page = http.get("/v1/customers").json()
    assert page["object"] == "list"
    assert page["url"] == "/v1/customers"
    assert page["has_more"] is True
    assert [c["id"] for c in page["data"]] == customers[:1:-1]
    assert "total_count" not in page


def test_a_list_is_four_members_and_no_count(http, customers):
    page = http.get("/v1/customers", params={"limit": 3}).json()
    assert set(page) == {"object", "url", "has_more", "data"}
    assert (page["object"], page["url"], page["has_more"], len(page["data"])) == ("list", "/v1/customers", True, 3)
    assert http.get("/v1/customers", params={"include[]": "total_count"}).status_code == 400


def test_starting_after_goes_on(http, customers):
    page = http.get("/v1/customers", params={"starting_after": customers[2]}).json()
    assert [c["id"] for c in page["data"]] == [customers[1], customers[0]]
    assert page["has_more"] is False


def test_ending_before_goes_back(http, customers):
    page = http.get("/v1/customers", params={"ending_before": customers[2], "limit": 3}).json()
    assert [c["id"] for c in page["data"]] == [customers[5], customers[4], customers[3]]
    assert page["has_more"] is True


def test_auto_paging_sees_every_one_once(client, customers):
    found = [c.id for c in client.v1.customers.list({"limit": 5}).auto_paging_iter()]
    assert found == customers[::-1]


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_outside_1_to_100_is_refused(client, limit):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.customers.list({"limit": limit})
    assert (error.value.code, error.value.param) == ("parameter_invalid_integer", "limit")


def test_an_unknown_cursor_is_refused(client):
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.customers.list({"starting_after": "cus_nobody"})
    assert (error.value.http_status, error.value.param) == (400, "starting_after")


def test_both_cursors_are_refused(http, customers):
    params = {"starting_after": customers[0], "ending_before": customers[1]}
    assert http.get("/v1/customers", params=params).status_code == 400


def test_created_filters(stripe, client):
    now = stripe.sandbox.clock.now()
    with stripe.sandbox.clock.at(now - 100):
        old = client.v1.customers.create({}).id
    new = client.v1.customers.create({}).id
    assert [c.id for c in client.v1.customers.list({"created": {"gte": now - 50}}).data] == [new]
    assert [c.id for c in client.v1.customers.list({"created": {"lt": now - 50}}).data] == [old]
    assert [c.id for c in client.v1.customers.list({"created": now - 100}).data] == [old]
    assert client.v1.customers.list({"created": {"gt": now - 100, "lte": now - 99}}).data == []


def test_filters_by_value(client, customers):
    [found] = client.v1.customers.list({"email": "c3@example.com"}).data
    assert found.id == customers[3]


def test_a_deleted_customer_leaves_the_list(client, customers):
    client.v1.customers.delete(customers[-1])
    assert client.v1.customers.list({"limit": 1}).data[0].id == customers[-2]


def test_events_of_a_family(stripe, client, subscription):
    events = client.v1.events.list({"type": "invoice.*", "limit": 100}).data
    assert {event.type for event in events} == {
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    }
    events = client.v1.events.list({"types": ["charge.succeeded", "invoice.paid"]}).data
    assert [event.type for event in events] == ["invoice.paid", "charge.succeeded"]
    assert client.v1.events.list({"type": "charge.succeeded"}).data[0].id == events[1].id
    assert client.v1.events.retrieve(events[0].id).data.object.id == subscription.latest_invoice


def test_events_older_than_thirty_days_are_gone(stripe, client, ada):
    later = stripe.sandbox.clock.now() + 31 * 86400
    with stripe.sandbox.clock.at(later):
        assert client.v1.events.list().data == []


def test_subscriptions_by_customer_status_and_price(client, ada, pro, free, subscription):
    def listed(**params):
        return [s.id for s in client.v1.subscriptions.list(params).data]

    assert listed(customer=ada.id) == [subscription.id]
    assert listed(customer="cus_nobody") == []
    assert listed(price=pro.id) == [subscription.id]
    assert listed(price=free.id) == []
    client.v1.subscriptions.cancel(subscription.id)
    assert listed(customer=ada.id) == []
    assert listed(customer=ada.id, status="all") == [subscription.id]
    assert listed(status="canceled") == listed(status="ended") == [subscription.id]


def test_sessions_and_invoices_of_a_subscription(stripe, client, ada, subscription):
    [session] = client.v1.checkout.sessions.list({"subscription": subscription.id}).data
    assert session.status == "complete"
    assert client.v1.checkout.sessions.list({"status": "open"}).data == []
    [invoice] = client.v1.invoices.list({"subscription": subscription.id, "status": "paid"}).data
    assert invoice.customer == ada.id
    [item] = client.v1.subscription_items.list({"subscription": subscription.id}).data
    assert client.v1.subscription_items.retrieve(item.id).price.unit_amount == 2900


def test_short_lists_page_too(stripe, client, checkout, pro, free):
    session = checkout(
        line_items=[{"price": pro.id, "quantity": 2}, {"price": free.id, "quantity": 1}],
    )
    first = client.v1.checkout.sessions.line_items.list(session.id, {"limit": 1})
    assert (first.data[0].amount_total, first.has_more) == (5800, True)
    rest = client.v1.checkout.sessions.line_items.list(session.id, {"starting_after": first.data[0].id})
    assert ([item.amount_total for item in rest.data], rest.has_more) == ([0], False)
    before = client.v1.checkout.sessions.line_items.list(session.id, {"ending_before": rest.data[0].id})
    assert [item.id for item in before.data] == [first.data[0].id]
    paid = stripe.pay(session.id)
    lines = client.v1.invoices.line_items.list(paid["invoice"], {"limit": 1})
    assert (lines.data[0].amount, lines.has_more) == (5800, True)
