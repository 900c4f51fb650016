"""While the bank has a payment back, nothing is given for what is left of it: an upgrade would turn it into credit."""

import pytest

from billing.errors import PaymentDisputed
from billing.models import UserPlan
from billing.subscriptions import cancel_plan, preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db

DISPUTED = "4000000000000259"


@pytest.fixture
def disputed(buy, deliver, stripe):
    """Alice has paid a year of Pro ($290) with a card whose owner disputes it."""
    customer = buy("pro", months=12, card=DISPUTED)
    deliver()
    return customer


@pytest.mark.slow
def test_an_upgrade_is_refused_and_leaves_no_credit(alice, plans, stripe, disputed):
    with pytest.raises(PaymentDisputed):
        purchase_plan(alice, plans["team"].pk, 1)
    with pytest.raises(PaymentDisputed):
        preview_purchase(alice, plans["team"].pk, 1)
    assert UserPlan.objects.get().plan == plans["pro"]
    assert stripe.get(disputed)["balance"] == 0


def test_the_dispute_counts_also_before_its_event_has_come(alice, plans, buy, stripe):
    customer = buy("pro", months=12, card=DISPUTED)
    assert UserPlan.objects.get().disputed_since is None
    with pytest.raises(PaymentDisputed):
        purchase_plan(alice, plans["team"].pk, 1)
    assert stripe.get(customer)["balance"] == 0


@pytest.mark.slow
def test_the_api_says_it(client, alice, plans, disputed):
    client.force_login(alice)
    body = {"plan_id": plans["team"].pk, "duration_months": 1}
    answer = client.post("/api/purchase/plan", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_disputed")


@pytest.mark.slow
def test_the_page_explains_it_and_has_no_button_that_costs_money(client, alice, plans, disputed):
    client.force_login(alice)
    page = client.get("/account/change", {"plan": plans["team"].pk, "months": 1})
    assert page.status_code == 200
    assert "disputed" in page.content.decode()
    assert 'name="quote"' not in page.content.decode()


@pytest.mark.slow
def test_a_smaller_plan_and_the_end_can_still_be_chosen(alice, plans, disputed):
    assert purchase_plan(alice, plans["explorer"].pk, 1).pending_price.plan == plans["explorer"]
    status, _ = cancel_plan(alice, immediately=True)
    assert status == "canceled"


@pytest.mark.slow
def test_decided_for_us_the_upgrade_is_open_again(alice, plans, stripe, deliver, disputed):
    dispute = stripe.objects("dispute")[0]
    evidence = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
    stripe.client.v1.disputes.update(dispute["id"], evidence)
    deliver()
    assert purchase_plan(alice, plans["team"].pk, 1).plan == plans["team"]
