"""A quote that was made before the period's end and confirmed after it: it is renewed, not refused as a mistake."""

import pytest
from django.utils import timezone

from billing.errors import QuoteChanged
from billing.subscriptions import preview_purchase, purchase_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("had", ["explorer", "pro"])
def test_it_is_quoted_anew(alice, plans, stripe, purchase, monkeypatch, had):
    plan = purchase()
    if had == "explorer":
        purchase_plan(alice, plans["explorer"].pk, 1)
        stripe.advance(to=plan.current_period_end)
        stripe.advance(hours=2)
        plan = sync_user(alice.pk)
        assert plan.plan == plans["explorer"]
    seconds_left = plan.current_period_end.timestamp() - stripe.now
    monkeypatch.setattr(timezone, "now", lambda: plan.current_period_end)
    stripe.advance(seconds=int(seconds_left) - 30)
    quote = preview_purchase(alice, plans["team"].pk, 1)
    stripe.advance(seconds=60)
    with pytest.raises(QuoteChanged) as refused:
        purchase_plan(alice, plans["team"].pk, 1, quote=quote.token)
    renewed = refused.value.details["preview"]["quote"]
    assert purchase_plan(alice, plans["team"].pk, 1, quote=renewed).plan == plans["team"]
