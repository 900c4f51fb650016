"""3D Secure outside Checkout: the address in an intent's next_action, and where it leads back to."""

from __future__ import annotations

import pytest


@pytest.fixture
def waiting(client, ada):
    """A payment intent of Ada's that waits for her bank, and the path of its challenge."""

    def confirm(**params):
        card = client.v1.payment_methods.attach("pm_card_authenticationRequired", {"customer": ada.id})
        intent = client.v1.payment_intents.create(
            {
                "amount": 700,
                "currency": "usd",
                "customer": ada.id,
                "payment_method": card.id,
                "payment_method_types": ["card"],
                "confirm": True,
                **params,
            }
        )
        return intent, f"/c/authenticate/{intent.id}"

    return confirm


def test_next_action_leads_to_the_challenge_and_that_to_the_return_url(stripe, http, waiting):
    intent, challenge = waiting(return_url="https://shop.example/back?order=7")
    assert intent.next_action.redirect_to_url.url == stripe.url + challenge
    shown = http.get(challenge)
    assert "$7.00" in shown.text
    assert "form-action 'self' https://shop.example" in shown.headers["Content-Security-Policy"]
    answer = http.post(challenge, data={"outcome": "complete"})
    assert answer.headers["Location"] == (
        f"https://shop.example/back?order=7&payment_intent={intent.id}"
        f"&payment_intent_client_secret={intent.client_secret}&redirect_status=succeeded"
    )
    assert stripe.get(intent.id)["status"] == "succeeded"


def test_a_failed_challenge_says_so_in_the_return_url(stripe, http, waiting):
    intent, challenge = waiting(return_url="https://shop.example/back")
    answer = http.post(challenge, data={"outcome": "fail"})
    assert answer.headers["Location"].startswith("https://shop.example/back?payment_intent=")
    assert answer.headers["Location"].endswith("redirect_status=failed")
    assert stripe.get(intent.id)["status"] == "requires_payment_method"
    assert stripe.take_deliveries()[-1].type == "payment_intent.payment_failed"


@pytest.mark.parametrize(("outcome", "says"), [("complete", "has confirmed it"), ("fail", "unable to authenticate")])
def test_without_a_return_url_the_page_says_how_it_ended(http, waiting, outcome, says):
    _, challenge = waiting()
    assert says in http.post(challenge, data={"outcome": outcome}).text
    assert says in http.get(challenge).text  # and does not ask again


def test_an_answer_that_is_none_asks_again(stripe, http, waiting):
    intent, challenge = waiting()
    for body in (b"outcome=perhaps", b"%ff=", b""):
        answer = http.post(challenge, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.headers["Location"] == challenge
    assert stripe.get(intent.id)["status"] == "requires_action"


def test_a_setup_intent_is_confirmed_and_its_card_kept(stripe, client, http, ada):
    intent = client.v1.setup_intents.create(
        {
            "customer": ada.id,
            "payment_method": "pm_card_authenticationRequired",
            "payment_method_types": ["card"],
            "confirm": True,
            "return_url": "https://shop.example/back",
        }
    )
    answer = http.post(f"/c/authenticate/{intent.id}", data={"outcome": "complete"})
    assert f"setup_intent={intent.id}" in answer.headers["Location"]
    assert stripe.get(stripe.get(intent.id)["payment_method"])["customer"] == ada.id


def test_the_challenge_of_a_checkout_session_is_answered_in_the_session(stripe, http, checkout):
    session = checkout()
    card = {"number": "4000002760003184", "expiry": "12 / 40", "cvc": "123", "name": "Ada"}
    http.post(f"/c/pay/{session.id}", data=card)
    [intent] = stripe.objects("payment_intent")
    assert http.get(f"/c/authenticate/{intent['id']}").headers["Location"] == f"/c/pay/{session.id}/challenge"
    answer = http.post(f"/c/authenticate/{intent['id']}", data={"outcome": "complete"})
    assert answer.headers["Location"] == f"/c/pay/{session.id}/challenge"
    assert stripe.get(intent["id"])["status"] == "requires_action"
    assert stripe.get(session.id)["status"] == "open"


def test_the_fixture_answers_what_it_is_given(stripe, waiting):
    intent, _ = waiting()
    assert stripe.authenticate(intent)["status"] == "succeeded"
    with pytest.raises(Exception, match="because it has a status of succeeded"):
        stripe.authenticate(intent)
    with pytest.raises(KeyError):
        stripe.authenticate("pi_none")
