"""Made-up values for /styleguide: nothing is read from the database."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from django import forms

from datilio.templatetags.page import ICONS

NEXT_YEAR = datetime(2027, 1, 1, tzinfo=UTC)

# The tokens of static/css/tokens.css that are worth looking at; static/css/styleguide.css paints them.
SWATCHES = [
    *("paper", "surface", "sunken", "floating", "ink", "ink-soft", "ink-faint", "line", "edge"),
    *("accent", "accent-wash", "ok", "ok-wash", "warn", "warn-wash", "danger", "danger-wash", "info", "info-wash"),
]


class SampleForm(forms.Form):
    email = forms.EmailField(label="Email", help_text="We write to it about your account only.")
    reason = forms.CharField(label="Reason", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    remember = forms.BooleanField(label="Remember me", required=False)

    def clean(self) -> None:
        raise forms.ValidationError("What is wrong with the form as a whole stands above it.")


def context(now: datetime) -> dict[str, Any]:
    plan = SimpleNamespace(name="DataPilot Pro", price_monthly=Decimal("29.00"))
    user_plan = SimpleNamespace(
        plan=plan,
        amount_cents=2900,
        duration_months=1,
        is_ending=False,
        cancel_at=None,
        start_date=now - timedelta(days=12),
        current_period_end=now + timedelta(days=18),
        grace_ends_at=None,
        unpaid_since=None,
        trial_end=None,
        pending_price=SimpleNamespace(plan=SimpleNamespace(name="Explorer"), amount_cents=0, months=1),
        pending_at=now + timedelta(days=18),
        next_charge_cents=2900,
        next_charge_at=now + timedelta(days=18),
        card_brand="visa",
        card_last4="4242",
        card_expires_on=date(2040, 12, 31),
    )
    return {
        "sample_form": SampleForm(auto_id="sample_%s"),
        "wrong_form": SampleForm({"email": "not an address"}, auto_id="wrong_%s"),
        "swatches": SWATCHES,
        "icons": sorted(ICONS),
        "user_plan": user_plan,
        "meters": [
            _meter("Files", 34, 100, "none", None, "ok"),
            _meter("AI prompts", 166, 200, "day", NEXT_YEAR, "approaching"),
            _meter("Synthetic rows", 50_000, 50_000, "month", NEXT_YEAR, "exceeded"),
            _meter("AI tokens", 1_204_551, None, "month", NEXT_YEAR, "unlimited"),
        ],
    }


def _meter(
    label: str, used: int, limit: int | None, window: str, resets_at: datetime | None, status: str
) -> dict[str, Any]:
    return {
        "label": label,
        "used": used,
        "limit": limit,
        "remaining": None if limit is None else limit - used,
        "percent": None if limit is None else used * 100 // limit,
        "status": status,
        "unit": label.split()[-1].lower(),
        "window": window,
        "resets_at": resets_at,
    }
