"""Staff change a plan's price between the quote and the button: the customer is told the new one, not that the quote is
somebody else's."""

import pytest

from billing.errors import QuoteChanged, QuoteInvalid
from billing.subscriptions import live_plan, preview_purchase, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def dearer(plans):
    def raise_price(name, dollars):
        plans[name].price_monthly = dollars
        plans[name].save()

    return raise_price


def test_an_upgrade_is_quoted_anew(alice, plans, buy, dearer):
    buy("pro")
    quote = preview_purchase(alice, plans["team"].pk, 1)
    dearer("team", 120)
    with pytest.raises(QuoteChanged) as refused:
        purchase_plan(alice, plans["team"].pk, 1, quote=quote.token)
    assert live_plan(alice.pk).plan == plans["pro"]
    preview = refused.value.details["preview"]
    assert preview["next_bill"]["amount"] == 120
    assert purchase_plan(alice, plans["team"].pk, 1, quote=preview["quote"]).amount_cents == 12000


def test_so_is_a_downgrade_though_nothing_is_charged_now(alice, plans, buy, dearer):
    buy("team")
    quote = preview_purchase(alice, plans["pro"].pk, 1)
    dearer("pro", 39)
    with pytest.raises(QuoteChanged):
        purchase_plan(alice, plans["pro"].pk, 1, quote=quote.token)
    assert live_plan(alice.pk).pending_price is None


@pytest.mark.parametrize(("plan", "months"), [("pro", 12), ("explorer", 1)])
def test_a_quote_for_another_choice_is_still_none(alice, plans, buy, plan, months):
    buy("pro")
    quote = preview_purchase(alice, plans["team"].pk, 1)
    with pytest.raises(QuoteInvalid):
        purchase_plan(alice, plans[plan].pk, months, quote=quote.token)
