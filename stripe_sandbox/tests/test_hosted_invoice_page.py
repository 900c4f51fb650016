"""The hosted invoice page: an open invoice is shown, and paid as a browser without JavaScript pays it."""

from __future__ import annotations

import re

import pytest

from stripe_sandbox.testing import CardDeclined

GOOD = {"number": "5555 5555 5555 4444", "expiry": "12 / 40", "cvc": "123", "name": "Ada Lovelace"}
RECOVERY = [
    "charge.succeeded",
    "payment_intent.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.subscription.updated",
]


@pytest.fixture
def overdue(stripe, subscription):
    """The page of an invoice whose renewal failed: the card on file fails."""
    stripe.card_starts_failing(subscription.customer)
    return renewed(stripe, subscription)


@pytest.fixture
def unconfirmed(stripe, subscription):
    """The page of an invoice whose renewal waits for the bank."""
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    return renewed(stripe, subscription)


def renewed(stripe, subscription):
    stripe.advance(months=1, days=1)
    stripe.take_deliveries()
    assert stripe.get(subscription.id)["status"] == "past_due"
    url = stripe.get(stripe.get(subscription.id)["latest_invoice"])["hosted_invoice_url"]
    return url.removeprefix(stripe.url)


def types(stripe):
    return [delivery.type for delivery in stripe.take_deliveries()]


def invoice_at(stripe, page):
    return stripe.get(page.removeprefix("/i/"))


def test_a_paid_invoice_has_nothing_to_pay(stripe, http, subscription):
    invoice = stripe.get(subscription.latest_invoice)
    answer = http.get(invoice["hosted_invoice_url"].removeprefix(stripe.url))
    assert "Paid on" in answer.text
    assert "Download PDF" in answer.text
    assert "<form" not in answer.text


def test_an_open_invoice_tells_why_it_is_open(http, overdue):
    text = http.get(overdue).text
    for part in ("Open: not paid yet", "The last try did not go through.", "Your card was declined.", "ending in 0341"):
        assert part in text


def test_paying_with_the_card_on_file(stripe, http, overdue, subscription):
    stripe.card_works_again(subscription.customer)
    stripe.take_deliveries()
    answer = http.post(overdue, data={"with": "card_on_file"})
    assert answer.headers["Location"] == overdue
    assert types(stripe) == [*RECOVERY, "invoice_payment.paid"]
    assert stripe.get(subscription.id)["status"] == "active"
    assert "Paid on" in http.get(overdue).text


def test_a_card_on_file_that_fails_again_is_told(stripe, http, overdue, subscription):
    answer = http.post(overdue, data={"with": "card_on_file"})
    assert answer.status_code == 402
    assert 'role="alert"' in answer.text
    assert "Your card was declined." in answer.text
    told = types(stripe)
    assert told[:3] == ["charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"]
    assert stripe.get(subscription.id)["status"] == "past_due"
    assert invoice_at(stripe, overdue)["next_payment_attempt"]  # the planned retry stays


def test_paying_with_another_card_that_takes_over(stripe, http, overdue, subscription):
    answer = http.post(overdue, data={**GOOD, "keep": "1"})
    assert answer.status_code == 303
    assert types(stripe) == [
        *RECOVERY,
        "payment_method.attached",
        "customer.subscription.updated",
        "invoice_payment.paid",
    ]
    assert stripe.get(stripe.get(subscription.id)["default_payment_method"])["card"]["last4"] == "4444"


def test_paying_with_another_card_just_this_once(stripe, http, overdue, subscription):
    before = stripe.get(subscription.id)["default_payment_method"]
    assert http.post(overdue, data=GOOD).status_code == 303
    assert types(stripe) == [*RECOVERY, "invoice_payment.paid"]
    assert stripe.get(subscription.id)["default_payment_method"] == before
    [new] = [one for one in stripe.objects("payment_method") if one["card"]["last4"] == "4444"]
    assert new["customer"] is None


def test_another_card_that_is_declined_changes_nothing(stripe, http, overdue, subscription):
    answer = http.post(overdue, data={**GOOD, "number": "4000000000009995", "keep": "1"})
    assert answer.status_code == 402
    assert "Your card has insufficient funds." in answer.text
    assert 'value="123"' not in answer.text
    assert "<details open>" in answer.text  # what is wrong must be seen
    assert "payment_method.attached" not in types(stripe)


def test_what_is_wrong_stands_at_its_field(http, overdue):
    answer = http.post(overdue, data={**GOOD, "number": "4242 4242 4242 4241"})
    assert answer.status_code == 400
    assert re.search(r'id="number-error">Your card number is incorrect', answer.text)


def test_a_renewal_that_waits_for_the_bank_is_confirmed(stripe, http, unconfirmed, subscription):
    text = http.get(unconfirmed).text
    assert "Your bank asks you to confirm this payment." in text
    challenge = re.search(r'href="(/c/authenticate/pi_\w+)"', text)[1]
    assert "$29.00" in http.get(challenge).text
    answer = http.post(challenge, data={"outcome": "complete"})
    assert answer.headers["Location"] == unconfirmed
    assert types(stripe) == [*RECOVERY, "invoice_payment.paid"]
    assert stripe.get(subscription.id)["status"] == "active"
    assert http.get(challenge).headers["Location"] == unconfirmed  # the link leads on afterwards


def test_a_challenge_that_fails_leaves_the_invoice_open(stripe, http, unconfirmed, subscription):
    challenge = re.search(r'href="(/c/authenticate/pi_\w+)"', http.get(unconfirmed).text)[1]
    http.post(challenge, data={"outcome": "fail"})
    assert types(stripe)[:2] == ["payment_intent.payment_failed", "invoice.payment_failed"]
    assert "unable to authenticate" in http.get(unconfirmed).text
    assert invoice_at(stripe, unconfirmed)["next_payment_attempt"]


def test_another_card_instead_of_the_challenge(stripe, http, unconfirmed, subscription):
    assert http.post(unconfirmed, data={**GOOD, "keep": "1"}).status_code == 303
    assert stripe.get(subscription.id)["status"] == "active"


def test_a_new_card_that_asks_is_kept_after_its_challenge(stripe, http, overdue, subscription):
    challenge = http.post(overdue, data={**GOOD, "number": "4000002760003184", "keep": "1"}).headers["Location"]
    assert types(stripe)[:2] == ["payment_intent.requires_action", "invoice.payment_action_required"]
    http.post(challenge, data={"outcome": "complete"})
    assert types(stripe)[:5] == RECOVERY
    assert stripe.get(stripe.get(subscription.id)["default_payment_method"])["card"]["last4"] == "3184"


def test_an_upgrade_that_waited_for_the_bank_takes_effect(stripe, client, subscription, pro):
    dear = client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 9900, "recurring": {"interval": "month"}}
    )
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    waiting = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "price": dear.id}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    stripe.pay_invoice(waiting.latest_invoice)
    now = stripe.get(subscription.id)
    assert now["pending_update"] is None
    assert now["items"]["data"][0]["price"]["id"] == dear.id


def test_a_first_invoice_is_paid_within_its_day(stripe, client, ada, pro):
    subscription = client.v1.subscriptions.create(
        {"customer": ada.id, "items": [{"price": pro.id}], "payment_behavior": "default_incomplete"}
    )
    stripe.pay_invoice(subscription.latest_invoice, "4242424242424242")
    assert stripe.get(subscription.id)["status"] == "active"


def test_paying_twice_charges_once(stripe, http, overdue):
    http.post(overdue, data=GOOD)
    again = http.post(overdue, data=GOOD)
    assert again.headers["Location"] == overdue
    assert len([one for one in stripe.objects("charge") if one["paid"]]) == 2  # the first month's and this


def test_a_void_invoice_cannot_be_paid(stripe, client, http, overdue):
    client.v1.invoices.void_invoice(overdue.removeprefix("/i/"))
    assert "Void: not to be paid" in http.get(overdue).text
    http.post(overdue, data=GOOD)
    assert invoice_at(stripe, overdue)["status"] == "void"


def test_an_uncollectible_invoice_still_can(stripe, client, http, overdue):
    client.v1.invoices.mark_uncollectible(overdue.removeprefix("/i/"))
    http.post(overdue, data=GOOD)
    assert invoice_at(stripe, overdue)["status"] == "paid"


@pytest.mark.parametrize(
    ("card", "code"), [("4000008400001629", "card_declined"), ("4000000000000002", "card_declined")]
)
def test_the_fixtures_word_tells_a_decline(stripe, overdue, card, code):
    with pytest.raises(CardDeclined) as caught:
        stripe.pay_invoice(overdue.removeprefix("/i/"), card)
    assert caught.value.code == code


def test_the_fixtures_word_answers_the_bank(stripe, unconfirmed, subscription):
    [intent] = [one for one in stripe.objects("payment_intent") if one["status"] == "requires_action"]
    assert stripe.authenticate(intent)["status"] == "succeeded"
    assert stripe.get(subscription.id)["status"] == "active"


@pytest.mark.parametrize("path", ["/i/in_nothing", "/i/in_nothing/pdf", "/c/authenticate/pi_nothing"])
def test_an_unknown_link_is_a_404_page(http, path):
    answer = http.get(path)
    assert answer.status_code == 404
    assert "text/html" in answer.headers["Content-Type"]


def test_a_draft_has_no_page_yet(stripe, client, http, ada):
    draft = client.v1.invoices.create({"customer": ada.id})
    assert http.get(f"/i/{draft.id}").status_code == 404
    assert http.get(f"/i/{draft.id}/pdf").status_code == 404
    assert draft.invoice_pdf is None


@pytest.mark.parametrize("body", [b"number=%ff", b"number=%00", b"x" * 30_000])
def test_a_form_that_cannot_be_read(http, overdue, body):
    answer = http.post(overdue, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
    assert "could not be read" in answer.text
