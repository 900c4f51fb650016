"""What the pricing page says about each plan to the visitor who looks at it. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.utils import timezone

from billing.changes import kind_of_change
from billing.models import Plan, UserPlan
from billing.pricing import feature_sentences, price_cents, trial_days, yearly_saving_cents
from billing.standing import can_be_kept

Action = Literal["sign_up", "buy", "current", "scheduled", "upgrade", "downgrade", "switch"]

MONTHS_OF = {"month": 1, "year": 12}


@dataclass(frozen=True)
class Offer:
    """A plan at an interval, for one visitor. `months` is what its button buys: a free plan runs month by month."""

    plan: Plan
    months: int
    price_cents: int
    saving_cents: int  # of a year against twelve months; 0 where there is nothing to save
    action: Action
    trial_days: int  # free before the first charge, for this visitor; 0: none
    ends_at: datetime | None  # the visitor has it, and has cancelled it for then
    changes_at: datetime | None  # the visitor's plan changes then: away from this one, or (scheduled) to it
    can_be_kept: bool  # the visitor has it, and can take back what is scheduled
    is_given: bool  # the visitor has it as a gift (billing.grants), and may still buy it
    is_wanted: bool  # the address asks for it: they come from a log-in or a cancelled Checkout

    @property
    def interval(self) -> str:
        return "year" if self.months == 12 else "month"

    @property
    def yearly_cents(self) -> int:
        return price_cents(self.plan, 12)

    @property
    def cents_a_month(self) -> int:
        """Rounded to a cent: for comparison, never what is charged."""
        return round(self.price_cents / self.months)

    @property
    def sentences(self) -> list[str]:
        return feature_sentences(self.plan)

    @property
    def at_a_limit(self) -> list[str]:
        """What a customer waits for when they reach each limit that the plan has."""
        waits = []
        if self.plan.file_limit is not None:
            waits.append("uploads wait until you delete a file")
        if self.plan.ai_prompts_per_day is not None:
            waits.append("prompts until 00:00 UTC")
        if self.plan.synthetic_rows_per_month is not None:
            waits.append("rows until your monthly reset")
        return waits


@dataclass(frozen=True)
class Row:
    """One line of the comparison table; a cell is a text, True (included) or None (not included)."""

    label: str
    note: str
    cells: list[str | Literal[True] | None]


def plans_on_sale() -> list[Plan]:
    return list(Plan.objects.published())


@dataclass(frozen=True)
class Visitor:
    """live: the visitor's plan, if they have one (billing.subscriptions.live_plan). had_trial: it is theirs once."""

    is_known: bool
    live: UserPlan | None
    had_trial: bool


def offers(plans: Sequence[Plan], interval: str, visitor: Visitor, *, wanted_plan_id: int | None) -> list[Offer]:
    return [
        _offer(plan, 1 if plan.is_free else MONTHS_OF[interval], visitor, wanted=plan.pk == wanted_plan_id)
        for plan in plans
    ]


def _offer(plan: Plan, months: int, visitor: Visitor, *, wanted: bool) -> Offer:
    price, live = price_cents(plan, months), visitor.live
    action = _action(plan, months, price, visitor)
    has_it = live is not None and action in ("current", "switch")
    return Offer(
        plan=plan,
        months=months,
        price_cents=price,
        saving_cents=yearly_saving_cents(plan),
        action=action,
        trial_days=trial_days(plan, price, had_one=visitor.had_trial) if _begins_anew(visitor) else 0,
        ends_at=live.cancel_at if live and has_it else None,
        changes_at=live.pending_at if live and (has_it or action == "scheduled") else None,
        can_be_kept=live is not None and has_it and can_be_kept(live),
        is_given=live is not None and live.is_grant and live.plan_id == plan.pk,
        is_wanted=wanted,
    )


def _begins_anew(visitor: Visitor) -> bool:
    """Is what they buy a new subscription, and no change of one? See billing.quotes."""
    live = visitor.live
    return live is None or live.is_grant or (live.amount_cents == 0 and not live.card_last4)


def _action(plan: Plan, months: int, price: int, visitor: Visitor) -> Action:
    live = visitor.live
    if not visitor.is_known:
        return "sign_up"
    if live is None or live.is_grant:
        return "buy"
    pending = live.pending_price
    if pending and (pending.plan_id, pending.months) == (plan.pk, months):
        return "scheduled"
    if live.plan_id == plan.pk:
        return "current" if live.duration_months == months else "switch"
    return kind_of_change(live, plan_id=plan.pk, months=months, amount_cents=price, now=timezone.now())


def comparison(plans: Sequence[Plan]) -> list[Row]:
    """The limits, then each extra feature that any of the plans has."""
    rows = [
        Row("Files", "stored at the same time", [_number(p.file_limit) for p in plans]),
        Row("File size", "for each file, not the sum", [_number(p.file_size_limit_mb, " MB") for p in plans]),
        Row("AI prompts", "a day, from 00:00 UTC", [_number(p.ai_prompts_per_day) for p in plans]),
        Row("Synthetic rows", "a month, from your start day", [_number(p.synthetic_rows_per_month) for p in plans]),
        *extras(plans),
    ]
    return [row for row in rows if any(cell is not None for cell in row.cells)]


def extras(plans: Sequence[Plan]) -> list[Row]:
    """What the plans have beside their limits: the price of tokens, and each extra feature that any of them has."""
    rows = [
        Row(
            "AI tokens",
            "per million",
            [None if p.ai_token_price_per_million is None else f"${p.ai_token_price_per_million:,.2f}" for p in plans],
        ),
    ]
    for key in dict.fromkeys(key for plan in plans for key in plan.features):
        label = key.replace("_", " ").strip()
        rows.append(Row(label[:1].upper() + label[1:], "", [_extra(plan.features.get(key)) for plan in plans]))
    return [row for row in rows if any(cell is not None for cell in row.cells)]


def _number(limit: int | None, unit: str = "") -> str:
    return "Unlimited" if limit is None else f"{limit:,}{unit}"


def _extra(value: object) -> str | Literal[True] | None:
    if value is True:
        return True
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, (int, float)) and value is not False:
        return f"{value:,}"
    return None
