"""What a wished plan is to the plan that a customer has: an upgrade now, or a downgrade at the period's end. Pure."""

from datetime import datetime
from typing import Literal

from billing.models import UserPlan
from billing.pricing import compare_per_month

Kind = Literal["upgrade", "downgrade"]


def kind_of_change(live: UserPlan, *, plan_id: int, months: int, amount_cents: int, now: datetime) -> Kind:
    """Dearer per month, or from free: an upgrade, charged now. Cheaper: a downgrade, at the period's end.

    The same plan for another time, or the same price per month, is treated by what would be owed now: a month to a
    year is paid for now, a year to a month begins when the year is over.
    """
    if live.costs_nothing:
        return "upgrade" if amount_cents else "downgrade"
    dearer = compare_per_month(amount_cents, months, live.amount_cents, live.duration_months)
    if live.plan_id == plan_id or dearer == 0:
        return "upgrade" if amount_cents > _unused_cents(live, now) else "downgrade"
    return "upgrade" if dearer > 0 else "downgrade"


def _unused_cents(live: UserPlan, now: datetime) -> int:
    """What is left of the present period's price. In a trial nothing was paid yet."""
    if live.in_trial:
        return 0
    start, end = live.current_period_start, live.current_period_end
    whole = (end - start).total_seconds()
    left = (end - min(max(now, start), end)).total_seconds()
    return round(live.amount_cents * left / whole) if whole else 0
