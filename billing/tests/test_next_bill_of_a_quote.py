"""What a quote says of the bill after it is what the plan says once it is confirmed."""

import pytest

from billing.subscriptions import preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("had", "had_months", "wanted", "wanted_months"),
    [
        ("pro", 1, "team", 1),
        ("pro", 1, "pro", 12),
        ("pro", 1, "team", 12),
        ("pro", 12, "team", 12),
        # A new month begins, and what is left of the year lies as credit beside it.
        ("pro", 12, "team", 1),
        ("pro", 6, "team", 3),
    ],
)
def test_amount_and_date(alice, plans, stripe, buy, had, had_months, wanted, wanted_months):
    buy(had, had_months)
    stripe.advance(days=11, hours=5)
    quote = preview_purchase(alice, plans[wanted].pk, wanted_months)
    assert quote.kind == "upgrade"
    plan = purchase_plan(alice, plans[wanted].pk, wanted_months, quote=quote.token)
    assert abs((quote.next_at - plan.next_charge_at).total_seconds()) < 60
    assert quote.next_cents == plan.next_charge_cents
