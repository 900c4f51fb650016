"""The billing page: what was paid, how the next one is paid, and the way into Stripe's portal."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.checkout import start_checkout
from billing.grants import grant_plan
from billing.subscriptions import purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db

BILLING = "/account/billing"


@pytest.fixture
def paying(client, buy):
    """The browser of Alice, who has bought DataPilot Pro."""
    buy("pro")
    return client


def html(page):
    return re.search(r"<main.*</main>", page.content.decode(), re.DOTALL)[0]


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", html(page).replace("<wbr>", "")).split())


def test_a_stranger_logs_in_first(client):
    assert client.get(BILLING)["Location"] == f"/accounts/login/?next={BILLING}"


def test_an_invoice_has_its_number_amount_state_and_links(paying, stripe):
    [invoice] = stripe.objects("invoice")
    said = words(paying.get(BILLING))
    assert f"{invoice['number']} 1 × DataPilot Pro (at $29.00 / month) $29.00 Paid" in said
    assert f'href="{invoice["hosted_invoice_url"]}"' in html(paying.get(BILLING))
    assert "Card Visa ending in 4242" in said and "Billing email alice@example.com" in said


def test_a_refund_and_a_dispute_are_told(paying, stripe):
    [intent] = stripe.objects("payment_intent")
    stripe.client.v1.refunds.create({"payment_intent": intent["id"], "amount": 500})
    assert "$5.00 refunded" in words(paying.get(BILLING))
    stripe.client.v1.refunds.create({"payment_intent": intent["id"], "amount": 2400})
    assert "Refunded" in words(paying.get(BILLING)) and "Paid" not in words(paying.get(BILLING))


def test_a_disputed_payment_is_told(client, buy):
    buy("pro", card="4000000000000259")
    assert "Disputed" in words(client.get(BILLING))


def test_an_open_invoice_can_be_paid_from_here(paying, alice, stripe):
    stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
    stripe.advance(months=1, hours=2)
    sync_user(alice.pk)
    said = words(paying.get(BILLING))
    assert "$29.00 to pay" in said and "$29.00 is overdue" in said and "Pay $29.00 now" in said


def test_older_and_newer_pages_lead_to_each_other(paying, stripe, monkeypatch):
    monkeypatch.setattr("accounts.billing_views.INVOICES_A_PAGE", 2)
    for _ in range(3):
        stripe.advance(months=1, hours=2)
    numbers = [invoice["number"] for invoice in reversed(stripe.objects("invoice"))]
    first = paying.get(BILLING)
    assert shown(first) == numbers[:2] and "Newer invoices" not in words(first)
    [older] = re.findall(r'href="(\?after=[^"]+)"', html(first))
    second = paying.get(BILLING + older)
    assert shown(second) == numbers[2:] and "Older invoices" not in words(second)
    [newer] = re.findall(r'href="(\?before=[^"]+)"', html(second))
    back = paying.get(BILLING + newer)
    assert (back.status_code, back["Location"]) == (302, BILLING)


def shown(page):
    return re.findall(r'<th scope="row" [^>]*>([^<]+)</th>', html(page))


def test_somebody_elses_invoice_is_no_page(paying, client, bob, plans, stripe):
    theirs = stripe.objects("invoice")[0]["id"]
    client.force_login(bob)
    page = client.get(BILLING, {"after": theirs})
    assert page.status_code == 404
    assert "Go to your invoices" in words(page) and "cursor" not in words(page)


@pytest.mark.parametrize("query", [{"after": "../x"}, {"before": "\0"}, {"after": "in_" + "x" * 500}])
def test_an_address_that_makes_no_sense_shows_the_newest(paying, query):
    page = paying.get(BILLING, query)
    assert page.status_code == 200 and "DataPilot Pro (at" in words(page)


def test_without_any_purchase_it_says_what_will_be_here(client, alice, stripe):
    client.force_login(alice)
    page = client.get(BILLING)
    assert "There is no invoice yet" in words(page)
    assert reverse("accounts:portal") not in html(page)


def test_without_stripe_the_page_still_shows_what_we_know(paying, settings):
    settings.STRIPE_API_HOST = "http://127.0.0.1:9"
    page = paying.get(BILLING)
    assert page.status_code == 200
    assert "The invoices cannot be shown right now" in words(page) and "Visa ending in 4242" in words(page)


def test_the_portal_is_stripes_page_and_leads_back(paying, stripe):
    response = paying.post(reverse("accounts:portal"), {"next": BILLING})
    assert response.status_code == 303 and response["Location"].startswith(stripe.url)
    assert stripe.objects("billing_portal.session")[-1]["return_url"].endswith(BILLING)
    assert paying.get(reverse("accounts:portal"))["Location"] == BILLING


def test_nobody_without_a_purchase_gets_into_the_portal(client, alice, stripe):
    client.force_login(alice)
    page = client.post(reverse("accounts:portal"))
    assert page.status_code == 409 and "See the plans" in words(page)


def test_the_menu_leads_here(paying):
    assert f'<a class="nav-link" href="{BILLING}"' in paying.get("/").content.decode()


def test_nothing_of_a_free_plan_is_owed(client, alice, plans, stripe):
    client.force_login(alice)
    purchase_plan(alice, plans["explorer"].pk, 1)
    said = words(client.get(BILLING))
    assert "Plan Explorer Next charge None Card No card on file" in said


@pytest.mark.parametrize("wanted", ["/account\r\nX-Evil: 1", "/\0", "//evil.example", "/\\evil.example"])
def test_a_way_back_that_is_none_leads_to_the_account(paying, stripe, wanted):
    assert paying.post(reverse("accounts:portal"), {"next": wanted}).status_code == 303
    assert stripe.objects("billing_portal.session")[-1]["return_url"].endswith("/account")


def test_a_gift_asks_for_no_card_and_shows_no_bill_over_nothing(client, alice, staff, plans):
    until = timezone.now() + timedelta(days=30)
    grant_plan(alice, plans["pro"], until=until, reason="A pilot", by=staff)
    client.force_login(alice)
    said = words(client.get(BILLING))
    assert "Datilio gave you this plan until" in said
    assert "card on file" not in said and "Change card" not in said
    assert "$0.00" not in said and "There is no invoice yet" in said


def test_a_bill_that_a_discount_made_nothing_is_shown(client, alice, plans, stripe):
    coupon = stripe.client.v1.coupons.create({"percent_off": 100, "duration": "once"})
    stripe.client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "ALL"})
    client.force_login(alice)
    session = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    stripe.enter_code(session, "ALL")
    stripe.pay(session)
    sync_user(alice.pk)
    assert "$0.00" in words(client.get(BILLING))


@pytest.mark.slow
def test_a_page_of_bills_over_nothing_says_so_and_leads_on(client, alice, plans, stripe):
    client.force_login(alice)
    purchase_plan(alice, plans["explorer"].pk, 1)
    stripe.advance(months=13)
    said = words(client.get(BILLING))
    assert "Nothing was charged in this time." in said and "Older invoices" in said
