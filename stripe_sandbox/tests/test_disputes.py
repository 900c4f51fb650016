"""Sequence 12: the cardholder asks the bank for the money back."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

FRAUDULENT, NOT_RECEIVED = "4000000000000259", "4000000000002685"
FEE = 1500


@pytest.fixture
def disputed(stripe, client, checkout):
    """Buy Pro with a card whose holder disputes it. Returns the dispute."""

    def buy(card=FRAUDULENT):
        stripe.pay(checkout().id, card=card)
        return client.v1.disputes.list().data[0]

    return buy


@pytest.mark.parametrize(
    ("card", "reason", "code"), [(FRAUDULENT, "fraudulent", "10.4"), (NOT_RECEIVED, "product_not_received", "13.1")]
)
def test_the_money_is_withdrawn_at_once(stripe, client, disputed, types, card, reason, code):
    dispute = disputed(card)
    told = [type for type in types() if type.startswith("charge.")]
    assert told == ["charge.succeeded", "charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert (dispute.reason, dispute.status, dispute.amount) == (reason, "needs_response", 2900)
    assert dispute.payment_method_details.card.network_reason_code == code
    charge = client.v1.charges.retrieve(dispute.charge)
    assert (charge.disputed, charge.refunded) == (True, False)
    [created] = stripe.events("charge.dispute.created")
    assert created["data"]["object"]["balance_transactions"] == []
    [withdrawn] = stripe.events("charge.dispute.funds_withdrawn")
    [movement] = withdrawn["data"]["object"]["balance_transactions"]
    assert (movement["amount"], movement["fee"], movement["net"]) == (-2900, FEE, -2900 - FEE)
    assert movement["reporting_category"] == "dispute"
    assert dispute.evidence_details.due_by > dispute.created


def answer(stripe, client, dispute, text):
    stripe.take_deliveries()
    return client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": text}, "submit": True})


def test_won_the_money_comes_back(stripe, client, disputed, types):
    dispute = disputed()
    before = client.v1.balance.retrieve().pending[0].amount
    assert answer(stripe, client, dispute, "winning_evidence").status == "under_review"
    assert types() == [
        "charge.dispute.updated",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    review, decision = (event["data"] for event in stripe.events("charge.dispute.updated"))
    assert (review["previous_attributes"]["status"], review["object"]["status"]) == ("needs_response", "under_review")
    assert (decision["previous_attributes"]["status"], decision["object"]["status"]) == ("under_review", "won")
    won = client.v1.disputes.retrieve(dispute.id)
    assert [movement.amount for movement in won.balance_transactions] == [-2900, 2900]
    assert client.v1.balance.retrieve().pending[0].amount == before + 2900  # the fee stays with the bank
    assert client.v1.refunds.create({"charge": dispute.charge}).status == "succeeded"


def test_lost_it_does_not(stripe, client, disputed, types):
    dispute = disputed()
    answer(stripe, client, dispute, "losing_evidence")
    assert types() == ["charge.dispute.updated", "charge.dispute.updated", "charge.dispute.closed"]
    lost = client.v1.disputes.retrieve(dispute.id)
    assert (lost.status, len(lost.balance_transactions)) == ("lost", 1)
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.refunds.create({"charge": dispute.charge})
    assert error.value.code == "charge_disputed"
    with pytest.raises(stripe_sdk.InvalidRequestError, match="already closed"):
        client.v1.disputes.close(dispute.id)


def test_closing_it_accepts_the_loss(client, disputed, types):
    dispute = disputed()
    types()
    assert client.v1.disputes.close(dispute.id).status == "lost"
    assert types() == ["charge.dispute.updated", "charge.dispute.closed"]


def test_evidence_can_be_collected_before_it_is_sent(client, disputed, types):
    dispute = disputed()
    types()
    kept = client.v1.disputes.update(dispute.id, {"evidence": {"product_description": "A plan"}, "submit": False})
    assert (kept.status, kept.evidence.product_description) == ("needs_response", "A plan")
    assert (kept.evidence_details.has_evidence, kept.evidence_details.submission_count) == (True, 0)
    assert types() == ["charge.dispute.updated"]


def test_what_was_refunded_before_is_not_disputed(stripe, client, checkout, types, monkeypatch):
    monkeypatch.setattr(stripe.sandbox.settings, "follow_up_seconds", 30)
    stripe.pay(checkout().id, card=FRAUDULENT)
    [charge] = client.v1.charges.list().data
    client.v1.refunds.create({"charge": charge.id})
    types()
    stripe.advance(seconds=31)
    assert "charge.dispute.created" not in types()
