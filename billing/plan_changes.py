"""What a change of a plan that is or was on sale means, in words, before staff confirm it. Reads only."""

from typing import Any

from django.db.models import Count

from billing.models import Plan, UserPlan
from billing.pricing import price_cents

LIMITS = ("file_limit", "file_size_limit_mb", "ai_prompts_per_day", "synthetic_rows_per_month")


def changes_of(before: Plan, after: Plan, fields: list[str]) -> list[tuple[str, Any, Any]]:
    """(label, now, then) of each field, as staff read it."""
    return [
        (
            Plan._meta.get_field(name).verbose_name.capitalize(),
            _shown(name, getattr(before, name)),
            _shown(name, getattr(after, name)),
        )
        for name in fields
    ]


def effects_of(before: Plan, after: Plan, fields: list[str]) -> list[str]:
    """Sentences: who pays what from now on, and whom a limit reaches."""
    live = UserPlan.objects.live().filter(plan=before)
    effects: list[str] = []
    if {"price_monthly", "price_yearly"} & set(fields):
        for months, word in ((1, "a month"), (12, "a year")):
            was, will_be = price_cents(before, months), price_cents(after, months)
            if was == will_be:
                continue
            effects.append(f"New buyers pay ${will_be / 100:,.2f} {word} instead of ${was / 100:,.2f}.")
            keep = [
                f"{_people(row['count'])} {'keeps' if row['count'] == 1 else 'keep'} ${row['amount_cents'] / 100:,.2f}"
                for row in live.filter(duration_months=months)
                .values("amount_cents")
                .order_by("amount_cents")
                .annotate(count=Count("pk"))
            ]
            if keep:
                effects.append(", ".join(keep) + f" {word}, until they change their plan themselves.")
        effects.append("Stripe gets a new price; the old one stays for those who have it.")
    count = live.count()
    if set(LIMITS) & set(fields) and count:
        effects.append(f"The limits hold at once, also for {_people(count)} who {'have' if count > 1 else 'has'} it.")
    if "trial_days" in fields:
        effects.append("The trial is for who buys from now on; running trials stay as they are.")
    if {"name", "description"} & set(fields) and after.state == Plan.State.PUBLISHED:
        effects.append("Stripe's product is renamed: Checkout and new invoices show it.")
    return effects


def _people(count: int) -> str:
    return f"{count:,} subscriber" + "s" * (count != 1)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "unlimited" if name in LIMITS else "none"
    return f"${value:,.2f}" if name.startswith(("price_", "ai_token_price")) else str(value) or "(empty)"
