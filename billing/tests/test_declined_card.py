"""A declined card: the session stays open, there is no plan; the same session then succeeds with 4242."""

import pytest

from billing.checkout import confirm_checkout, start_checkout
from billing.models import UserPlan
from stripe_sandbox.testing import CardDeclined

pytestmark = pytest.mark.django_db


@pytest.mark.slow
@pytest.mark.parametrize(
    "card",
    ["4000000000000002", *(pytest.param(n, marks=pytest.mark.slow) for n in ("4000000000009995", "4000000000000069"))],
)
def test_it_leaves_the_session_open_and_no_plan(alice, plans, stripe, deliver, card):
    session_id = start_checkout(alice, plans["pro"].pk, 1).rsplit("/", 1)[-1]
    with pytest.raises(CardDeclined):
        stripe.pay(session_id, card=card)
    deliver()
    assert stripe.get(session_id)["status"] == "open"
    assert stripe.objects("subscription") == []
    assert confirm_checkout(alice, session_id).state == "cancelled"
    assert not UserPlan.objects.exists()

    stripe.pay(session_id, card="4242424242424242")
    deliver()
    assert UserPlan.objects.live().get().plan == plans["pro"]
    assert confirm_checkout(alice, session_id).state == "active"
