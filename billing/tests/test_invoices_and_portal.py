"""What was billed (GET /api/user/invoices), and Stripe's own pages for cards and bills."""

import pytest

from billing.errors import AuthenticationRequired
from billing.subscriptions import purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def on_pro(client, alice, buy):
    client.force_login(alice)
    return buy("pro")


def test_every_cent_charged_is_on_an_invoice(client, alice, plans, stripe, on_pro):
    stripe.advance(days=10)
    purchase_plan(alice, plans["team"].pk, 1)
    stripe.advance(months=1)
    shown = client.get("/api/user/invoices").json()["invoices"]
    paid = sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"])
    assert round(sum(invoice["amount_paid"] for invoice in shown) * 100) == paid
    assert [invoice["created_at"] for invoice in shown] == sorted((one["created_at"] for one in shown), reverse=True)
    assert all(one["number"] and one["hosted_url"] and one["pdf_url"] and one["status"] == "paid" for one in shown)


def test_what_was_given_back_is_shown(client, stripe, on_pro):
    charge = stripe.objects("charge")[0]
    stripe.client.v1.refunds.create({"charge": charge["id"], "amount": 900})
    (invoice,) = client.get("/api/user/invoices").json()["invoices"]
    assert (invoice["amount_paid"], invoice["amount_refunded"], invoice["is_disputed"]) == (29, 9, False)


def test_it_comes_in_pages(client, stripe, on_pro):
    stripe.advance(months=4, hours=2)
    first = client.get("/api/user/invoices?limit=3").json()
    rest = client.get(f"/api/user/invoices?limit=3&cursor={first['next_cursor']}").json()
    assert (len(first["invoices"]), rest["next_cursor"]) == (3, None)
    ids = [invoice["id"] for invoice in first["invoices"] + rest["invoices"]]
    assert len(ids) == len(set(ids)) >= 4


def test_each_sees_only_their_own(client, bob, plans, stripe, on_pro):
    (mine,) = client.get("/api/user/invoices").json()["invoices"]
    purchase_plan(bob, plans["explorer"].pk, 1)
    client.force_login(bob)
    assert all(one["amount_paid"] == 0 for one in client.get("/api/user/invoices").json()["invoices"])
    # Somebody else's invoice as a cursor is only a place in time.
    answer = client.get(f"/api/user/invoices?cursor={mine['id']}").json()
    assert mine["id"] not in [one["id"] for one in answer.get("invoices", [])]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=in_%00", "limit=1e3"])
def test_what_is_not_well_formed_is_400(client, alice, stripe, query):
    client.force_login(alice)
    assert client.get(f"/api/user/invoices?{query}").status_code == 400


def test_who_has_never_bought_has_none_and_nothing_to_manage(client, alice, stripe):
    client.force_login(alice)
    assert client.get("/api/user/invoices").json() == {"invoices": [], "next_cursor": None}
    refused = client.post("/api/billing-portal-session", content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "no_billing_history")


def test_a_new_card_in_the_portal_is_the_one_that_is_charged(client, alice, plans, stripe, on_pro):
    url = client.post("/api/billing-portal-session", content_type="application/json").json()["url"]
    assert url.startswith(stripe.url)
    session = stripe.objects("billing_portal.session")[-1]
    stripe.portal(session).change_card("5555555555554444")
    plan = sync_user(alice.pk)
    assert (plan.card_brand, plan.card_last4) == ("mastercard", "4444")
    purchase_plan(alice, plans["team"].pk, 1)
    method = stripe.get(stripe.objects("charge")[-1]["payment_method"])
    assert method["card"]["last4"] == "4444"


def test_a_cancellation_in_the_portal_is_seen(client, alice, stripe, on_pro):
    client.post("/api/billing-portal-session", content_type="application/json")
    stripe.portal(stripe.objects("billing_portal.session")[-1]).cancel()
    plan = sync_user(alice.pk)
    assert plan.is_ending and plan.cancel_at == plan.current_period_end
    assert not stripe.objects("subscription")[0]["cancel_at_period_end"]
    stripe.advance(months=1, hours=1)
    assert sync_user(alice.pk) is None


def test_a_bill_that_is_paid_on_its_page_ends_the_grace(client, alice, stripe, on_pro):
    stripe.card_starts_failing(on_pro)
    stripe.advance(months=1, hours=2)
    plan = sync_user(alice.pk)
    assert (plan.status, plan.open_invoice_cents) == ("past_due", 2900)
    stripe.pay_invoice(stripe.objects("invoice")[-1], "4242424242424242")
    plan = sync_user(alice.pk)
    assert (plan.status, plan.past_due_since, plan.open_invoice_url) == ("active", None, "")
    assert plan.card_last4 == "4242"


def test_confirmed_on_its_page_a_waiting_upgrade_happens(alice, plans, stripe, on_pro):
    stripe.card_works_again(on_pro, card="4000002760003184")
    with pytest.raises(AuthenticationRequired):
        purchase_plan(alice, plans["team"].pk, 1)
    stripe.pay_invoice(stripe.objects("invoice")[-1], challenge="succeed")
    plan = sync_user(alice.pk)
    assert (plan.plan, plan.awaited_price_id, plan.open_invoice_url) == (plans["team"], None, "")
