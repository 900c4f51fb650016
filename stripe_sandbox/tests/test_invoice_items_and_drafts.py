"""Invoices by hand: items that wait, drafts, finalizing, collecting, giving up."""

from __future__ import annotations

import pytest
import stripe as stripe_sdk

HOUR = 3600


@pytest.fixture
def add(client, ada):
    """Let an item wait for Ada's next invoice."""

    def make(amount=1500, **params):
        wish = {"customer": ada.id, "amount": amount, "currency": "usd", "description": "Set-up", **params}
        return client.v1.invoice_items.create(wish)

    return make


@pytest.fixture
def draft(client, ada, card_of_ada, add):
    """A draft over 15 dollars, to Ada whose card is good."""
    card_of_ada("pm_card_visa")
    add()
    return client.v1.invoices.create({"customer": ada.id, "pending_invoice_items_behavior": "include"})


def test_an_item_waits_and_goes_onto_the_renewal(stripe, client, subscription, add):
    item = add()
    assert (item.invoice, item.proration) == (None, False)
    stripe.advance(to=subscription["items"].data[0].current_period_end)
    renewal = stripe.objects("invoice")[-1]
    assert [line["amount"] for line in renewal["lines"]["data"]] == [1500, 2900]
    assert client.v1.invoice_items.retrieve(item.id).invoice == renewal["id"]


def test_an_item_of_a_subscription_waits_for_that_one(stripe, client, ada, subscription, add):
    add(subscription=subscription.id)
    assert client.v1.invoices.create({"customer": ada.id, "pending_invoice_items_behavior": "include"}).total == 0
    invoice = client.v1.invoices.create({"customer": ada.id, "subscription": subscription.id})
    assert (invoice.total, invoice.billing_reason) == (1500, "subscription_update")
    with pytest.raises(stripe_sdk.InvalidRequestError) as error:
        client.v1.invoices.create({"customer": ada.id, "subscription": subscription.id})
    assert error.value.code == "invoice_no_subscription_line_items"


def test_a_waiting_item_can_be_changed_and_deleted(client, add, types):
    item = add()
    assert client.v1.invoice_items.update(item.id, {"amount": 900}).amount == 900
    types()
    assert client.v1.invoice_items.delete(item.id).deleted
    assert types() == ["invoiceitem.deleted"]


def test_a_draft_is_told_and_changes_with_its_items(stripe, client, ada, draft, add, types):
    assert types()[-1] == "invoice.created"
    assert (draft.status, draft.total, draft.auto_advance, draft.billing_reason) == ("draft", 1500, False, "manual")
    more = add(500, invoice=draft.id)
    assert types() == ["invoiceitem.created", "invoice.updated"]
    assert client.v1.invoices.retrieve(draft.id).total == 2000
    client.v1.invoice_items.delete(more.id)
    assert client.v1.invoices.retrieve(draft.id).total == 1500


def test_a_draft_without_auto_advance_waits_for_ever(stripe, client, draft):
    stripe.advance(days=60)
    assert client.v1.invoices.retrieve(draft.id).status == "draft"


def test_with_auto_advance_it_is_finalized_an_hour_later_and_collected(stripe, client, draft):
    changed = client.v1.invoices.update(draft.id, {"auto_advance": True})
    assert changed.automatically_finalizes_at == stripe.now + HOUR
    stripe.advance(hours=1, seconds=1)
    paid = client.v1.invoices.retrieve(draft.id)
    assert (paid.status, paid.amount_paid) == ("paid", 1500)


def test_deleting_a_draft_lets_its_items_wait_again(client, ada, draft, types):
    types()
    assert client.v1.invoices.delete(draft.id).deleted
    assert types() == ["invoice.deleted"]
    assert [item.invoice for item in client.v1.invoice_items.list({"customer": ada.id, "pending": True}).data] == [None]


def test_finalizing_gives_it_its_number_and_closes_it(client, draft, add, types):
    types()
    invoice = client.v1.invoices.finalize_invoice(draft.id)
    assert types() == ["invoice.finalized", "payment_intent.created"]
    assert invoice.status == "open"
    assert invoice.number.endswith("-0001")
    assert invoice.hosted_invoice_url
    for refused in (
        lambda: client.v1.invoices.finalize_invoice(draft.id),
        lambda: client.v1.invoices.delete(draft.id),
        lambda: client.v1.invoices.update(draft.id, {"description": "no"}),
        lambda: add(100, invoice=draft.id),
    ):
        with pytest.raises(stripe_sdk.InvalidRequestError) as error:
            refused()
        assert error.value.code == "invoice_not_editable"


def test_paying_an_open_one(client, draft, types):
    client.v1.invoices.finalize_invoice(draft.id)
    types()
    paid = client.v1.invoices.pay(draft.id)
    assert types() == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
    ]
    assert (paid.status, paid.attempt_count) == ("paid", 1)


def test_paying_out_of_band_charges_nothing(stripe, client, draft):
    client.v1.invoices.finalize_invoice(draft.id)
    paid = client.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid) == ("paid", 1500)
    assert not stripe.objects("charge")
    assert [intent["status"] for intent in stripe.objects("payment_intent")] == ["canceled"]


def test_voiding_cancels_what_waited_for_its_payment(client, draft, types):
    client.v1.invoices.finalize_invoice(draft.id)
    types()
    void = client.v1.invoices.void_invoice(draft.id)
    assert types() == ["payment_intent.canceled", "invoice.voided"]
    assert (void.status, void.amount_remaining) == ("void", 0)
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.invoices.pay(draft.id)
    with pytest.raises(stripe_sdk.InvalidRequestError):
        client.v1.invoices.mark_uncollectible(draft.id)


def test_an_uncollectible_one_is_given_up_and_can_still_be_paid(client, draft, types):
    client.v1.invoices.finalize_invoice(draft.id)
    types()
    given_up = client.v1.invoices.mark_uncollectible(draft.id)
    assert types() == ["invoice.marked_uncollectible"]
    assert (given_up.status, given_up.amount_remaining) == ("uncollectible", 1500)
    assert client.v1.invoices.pay(draft.id).status == "paid"


def test_an_uncollectible_one_is_not_retried(stripe, client, ada, pro, subscription, types):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(to=subscription["items"].data[0].current_period_end + HOUR)
    client.v1.invoices.mark_uncollectible(stripe.objects("invoice")[-1]["id"])
    types()
    stripe.advance(days=10)
    assert types() == []


def test_a_draft_can_be_neither_voided_nor_given_up(client, draft):
    for refused in (client.v1.invoices.void_invoice, client.v1.invoices.mark_uncollectible):
        with pytest.raises(stripe_sdk.InvalidRequestError) as error:
            refused(draft.id)
        assert error.value.code == "status_transition_invalid"
