"""A refusal in words: how much is used, when that changes, which plan would allow it."""

from datetime import datetime
from math import ceil

from billing.models import Plan
from datilio.errors import DomainError
from datilio.times import iso
from usage.errors import LimitExceeded, NothingToRemove
from usage.features import Metered
from usage.limits import cheapest_plan_allowing, in_words


def refusal_by_the_plan(
    metered: Metered,
    *,
    used: int,
    held: int,
    amount: int,
    most: int,
    limit_name: str | None,
    resets_at: datetime | None,
    size_mb: float | None = None,
    plans: list[Plan] | None = None,
) -> DomainError:
    """LimitExceeded, or NothingToRemove for a negative amount."""
    if amount < 0:
        return NothingToRemove(feature=metered.feature.value, used=used)
    plan = cheapest_plan_allowing(metered, used + held + amount, size_mb, plans)
    reset = f"The count starts again on {in_words(resets_at)}. " if resets_at else ""
    waiting = f" and {held:,} are held for work that has begun" if held else ""
    return LimitExceeded(
        f"{used:,} of {most:,} {metered.unit} are used{waiting}, and this takes {amount:,} more. "
        f"{reset}{_way_out(plan)}",
        feature=metered.feature.value,
        limit_name=limit_name,
        used=used,
        held=held,
        limit=most,
        resets_at=iso(resets_at),
        upgrade_plan=plan,
    )


def file_too_large(
    metered: Metered, size_mb: float, most: int, amount: int, *, plans: list[Plan] | None = None
) -> LimitExceeded:
    plan = cheapest_plan_allowing(metered, amount, size_mb, plans)
    return LimitExceeded(
        # Rounded up: 5.001 of 5 MB must not read as 5 of 5.
        f"A file of {ceil(size_mb * 100) / 100:,} MB is too large: the plan allows {most:,} MB per file. "
        f"{_way_out(plan)}",
        feature=metered.feature.value,
        limit_name=metered.per_item_limit_field,
        used=size_mb,
        limit=most,
        resets_at=None,
        upgrade_plan=plan,
    )


def _way_out(plan: str | None) -> str:
    return f"{plan} has room for it." if plan else "No plan on sale has room for it."
