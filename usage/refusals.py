"""A refusal in words: how much is used, when that changes, which plan would allow it."""

from datetime import datetime
from math import ceil

from billing.models import Plan
from datilio.errors import DomainError
from datilio.templatetags.writing import plural
from datilio.times import iso
from usage.errors import LimitExceeded, NothingToRemove, SpendCapReached
from usage.features import Feature, Metered
from usage.limits import cheapest_plan_allowing, in_words
from usage.money import dollars, exact_dollars, shown_dollars


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
    waiting = f" and {held:,} {plural(held, 'is,are')} held for work that has begun" if held else ""
    return LimitExceeded(
        f"{used:,} of {metered.counted(most)} {plural(used, 'is,are')} used{waiting}, "
        f"and this takes {amount:,} more. {reset}{_way_out(plan)}",
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


def spend_cap_reached(*, used: int, held: int, amount: int, most: int, resets_at: datetime | None) -> SpendCapReached:
    """In nanocents."""
    reset = f"It starts again on {in_words(resets_at)}. " if resets_at else ""
    waiting = f" and {shown_dollars(held)} are held for work that has begun" if held else ""
    return SpendCapReached(
        f"{shown_dollars(used)} of your own cap of {shown_dollars(most)} a month are spent on AI tokens{waiting}, and "
        f"this would cost {shown_dollars(amount)}. {reset}You can raise the cap or take it away.",
        feature=Feature.AI_TOKEN.value,
        limit_name="spend_cap",
        used=dollars(used),
        used_exact=exact_dollars(used),
        held=dollars(held),
        held_exact=exact_dollars(held),
        cost_exact=exact_dollars(amount),
        limit=dollars(most),
        resets_at=iso(resets_at),
    )


def _way_out(plan: str | None) -> str:
    return f"{plan} has room for it." if plan else "No plan on sale has room for it."
