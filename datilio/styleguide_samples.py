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
        "overdue_plan": SimpleNamespace(
            plan=plan,
            past_due_since=now,
            grace_ends_at=now + timedelta(days=7),
            next_attempt_at=now + timedelta(days=3),
            open_invoice_cents=2900,
            open_invoice_url="#sg-notice-act",
        ),
        "awaiting_plan": SimpleNamespace(
            plan=plan,
            awaited_price=SimpleNamespace(plan=SimpleNamespace(name="Datilio Team")),
            awaited_until=now + timedelta(hours=23),
            open_invoice_url="#sg-notice-act",
        ),
        "quote": _quote(now),
        "limits": [
            _limit_change("Files", "none", 100, 1_000),
            _limit_change("AI prompts", "day", 200, None),
            _limit_change("Synthetic rows", "month", 50_000, 50_000),
        ],
        "invoices": [
            _invoice("0003", now, "open", 9900),
            _invoice("0002", now - timedelta(days=31), "paid", 2900, refunded_cents=500),
            _invoice("0001", now - timedelta(days=62), "paid", 2900),
        ],
        "sample_form": SampleForm(auto_id="sample_%s"),
        "wrong_form": SampleForm({"email": "not an address"}, auto_id="wrong_%s"),
        "swatches": SWATCHES,
        "icons": sorted(ICONS),
        "user_plan": user_plan,
        "meters": [
            _meter("Files", 34, 100, "none", None, "ok"),
            _meter("AI prompts", 166, 200, "day", NEXT_YEAR, "approaching")
            | {"held": 4, "runs_out_at": NEXT_YEAR - timedelta(hours=7)},
            _meter("Synthetic rows", 50_000, 50_000, "month", NEXT_YEAR, "exceeded"),
            _meter("AI tokens", 1_204_551, None, "month", NEXT_YEAR, "unlimited"),
        ],
        "charts": [_chart("AI prompts", now)],
        "bar_width": 16,
    }


def _chart(label: str, now: datetime) -> SimpleNamespace:
    amounts = [n * 41 % 100 for n in range(30)]
    days = [now - timedelta(days=29 - n) for n in range(30)]
    return SimpleNamespace(
        feature="sample",
        label=label,
        unit=label.split()[-1].lower(),
        shows_level=False,
        bars=[
            SimpleNamespace(day=days[n], amount=amount, x=20 * n + 2, y=100 - amount, height=amount, is_today=n == 29)
            for n, amount in enumerate(amounts)
        ],
        largest=max(amounts),
        total=sum(amounts),
        first_day=days[0],
        last_day=days[-1],
    )


def _quote(now: datetime) -> SimpleNamespace:
    end = now + timedelta(days=21)
    lines = [("Unused time on DataPilot Pro", -2030), ("Remaining time on Datilio Team", 6930)]
    return SimpleNamespace(
        lines=[
            SimpleNamespace(description=text, amount_cents=amount, period_start=now, period_end=end)
            for text, amount in lines
        ],
        discount_cents=0,
        tax_cents=0,
        credit_cents=500,
        total_cents=4400,
        pays_with="card",
        effective_at=None,
    )


def _limit_change(label: str, window: str, before: int, after: int | None) -> dict[str, Any]:
    return {"feature": label, "label": label, "window": window, "has_before": True, "before": before, "after": after}


def _invoice(
    number: str, created_at: datetime, status: str, total_cents: int, *, refunded_cents: int = 0
) -> SimpleNamespace:
    return SimpleNamespace(
        number=f"DAT-{number}",
        created_at=created_at,
        status=status,
        description="1 × DataPilot Pro (at $29.00 / month)",
        total_cents=total_cents,
        paid_cents=0 if status == "open" else total_cents,
        due_cents=total_cents if status == "open" else 0,
        refunded_cents=refunded_cents,
        is_disputed=False,
        hosted_url="#sg-bill",
        pdf_url="#sg-bill",
    )


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
