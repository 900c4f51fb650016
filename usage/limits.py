"""How much of everything a user has used, may use and has left; and what to tell them about it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, reduce
from operator import or_
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from billing.models import Plan, UserPlan
from billing.pricing import NANOCENTS
from billing.subscriptions import live_plan
from datilio.templatetags.writing import plural
from usage.costs import SPEND
from usage.features import FEATURES, Feature, Metered, Window
from usage.models import SpendCap, UsageCounter, UsageWarningChoice
from usage.money import dollars, exact_dollars
from usage.pace import can_tell, runs_out_at
from usage.windows import window_at

# Percent of a limit at which a customer is told, each once per window, and what the API calls it.
WARNING_LEVELS = {80: "approaching", 95: "critical", 100: "exceeded"}
# What it calls a threshold of the customer's own below them.
CUSTOM = "custom"

LimitOut = dict[str, Any]


def limits_of(user_id: int, now: datetime, *, user_plan: UserPlan | None = None) -> list[LimitOut]:
    """PresentLimitOut (LimitOut with what is held, when it runs out, the user's own threshold, and for tokens what they
    cost) of every feature, in the table's order; [] for a user whose plan gives no access at `now`.

    user_plan: the user's live plan with its plan, where the caller has it already. One query for the counters.
    """
    user_plan = user_plan or live_plan(user_id)
    if user_plan is None or not user_plan.is_active(now):
        return []
    windows = {feature: window_at(metered.window, now, user_plan.usage_anchor) for feature, metered in FEATURES.items()}
    # Feature and start together: three exact places in the index, however many old windows a user has.
    present = reduce(or_, (Q(feature=feature, window_start=start) for feature, (start, _) in windows.items()))
    # What tokens cost goes by their window.
    present |= Q(feature=SPEND, window_start=windows[Feature.AI_TOKEN.value][0])
    counters: dict[str, tuple[int, int, int | None]] = {}
    spent: tuple[int, int | None, int | None] = (0, None, None)
    for feature, used, held, own_threshold, cap in (
        UsageCounter.objects.filter(present, user_id=user_id)
        .annotate(own_threshold=_OWN_THRESHOLD, cap=_SPEND_CAP)
        .values_list("feature", "used", "held", "own_threshold", "cap")
    ):
        if feature == SPEND:
            spent = used, cap, own_threshold
        else:
            counters[feature] = used, held, own_threshold
    limits = []
    for feature, metered in FEATURES.items():
        # Without a counter nothing is used, and no threshold is reached.
        used, held, own_threshold = counters.get(feature, (0, 0, None))
        (start, end), limit = windows[feature], metered.limit_of(user_plan.plan)
        window = {"start": start, "end": end, "since": user_plan.start_date, "now": now}
        limits.append(
            limit_out(metered, used, limit, end)
            | {
                "held": held,
                "runs_out_at": runs_out_at(used, limit, **window),
                "can_tell_pace": can_tell(start, end, user_plan.start_date, now),
                "own_threshold": own_threshold,
                "spending": _spending(*spent, window) if metered.feature is Feature.AI_TOKEN else None,
            }
        )
    return limits


def _spending(used: int, cap_cents: int | None, own_threshold: int | None, window: dict[str, Any]) -> dict[str, Any]:
    """Dollars: rounded half up to cents, and with all digits; percent of the customer's own cap, rounded down."""
    percent = cap = None
    if cap_cents is not None:
        cap = cap_cents * NANOCENTS
        # With a cap of nothing there is nothing to tell of until something is spent.
        percent = used * 100 // cap if cap else 100 if used else 0
    return {
        "spent": dollars(used),
        "spent_exact": exact_dollars(used),
        "spend_cap": None if cap_cents is None else cap_cents / 100,
        "percent": percent,
        "own_threshold": own_threshold,
        "runs_out_at": runs_out_at(used, cap, **window),
    }


_SPEND_CAP = Subquery(SpendCap.objects.filter(user_id=OuterRef("user_id")).values("cents"))


_OWN_THRESHOLD = Subquery(
    UsageWarningChoice.objects.filter(user_id=OuterRef("user_id"), feature=OuterRef("feature")).values("own_threshold")
)


def limit_out(metered: Metered, used: int, limit: int | None, resets_at: datetime | None) -> LimitOut:
    """LimitOut of shared/api.md. `limit`, `remaining` and `percent` are None when unlimited; `percent` is rounded down,
    so that 100 means nothing is left, and goes beyond 100 after a change to a smaller plan."""
    percent = None if limit is None else used * 100 // limit if limit else 100
    return {
        "feature": metered.name,
        "unit": metered.unit,
        "used": used,
        "limit": limit,
        "remaining": None if limit is None else max(0, limit - used),
        "percent": percent,
        "window": metered.window_name,
        "resets_at": resets_at,
        "status": _status(percent),
    }


def _status(percent: int | None) -> str:
    if percent is None:
        return "unlimited"
    if percent >= 100:
        return "exceeded"
    return "approaching" if percent >= min(WARNING_LEVELS) else "ok"


def thresholds_reached(used: int, limit: int | None, own_threshold: int | None = None) -> list[int]:
    """The percentages, of WARNING_LEVELS and the customer's own, that `used` has reached, rising. A limit of 0 is a
    feature that the plan leaves out: nothing to warn of."""
    return [percent for percent in _in_order(own_threshold) if is_reached(percent, used, limit)]


@cache
def _in_order(own_threshold: int | None) -> list[int]:
    return sorted({*WARNING_LEVELS, *([] if own_threshold is None else [own_threshold])})


def _level(reached: list[int]) -> str:
    return next((WARNING_LEVELS[percent] for percent in reversed(reached) if percent in WARNING_LEVELS), CUSTOM)


def is_reached(percent: int | None, used: int, limit: int | None) -> bool:
    return bool(percent and limit and used * 100 >= percent * limit)


def warnings_of(limits: Iterable[LimitOut]) -> list[dict[str, Any]]:
    """[{feature, level, threshold, message, used, limit, resets_at}] for what is at 80 % or more, or at the customer's
    own threshold.

    level: a word of WARNING_LEVELS, or CUSTOM below the lowest of them. threshold: the highest percentage reached, the
    customer's own among them. message: a sentence for people with the next step.
    """
    warnings = []
    for limit in limits:
        if reached := thresholds_reached(limit["used"], limit["limit"], limit["own_threshold"]):
            warnings.append(
                {
                    "feature": limit["feature"],
                    "level": _level(reached),
                    "threshold": reached[-1],
                    "message": _warning(limit),
                    "used": limit["used"],
                    "limit": limit["limit"],
                    "resets_at": limit["resets_at"],
                }
            )
        spending = limit["spending"]
        if spending and (reached := thresholds_spent(spending)):
            warnings.append(_spending_warning(limit, spending, reached))
    return warnings


def thresholds_spent(spending: dict[str, Any]) -> list[int]:
    """The same of the customer's own cap, from the `spending` of a PresentLimitOut."""
    return [percent for percent in _in_order(spending["own_threshold"]) if percent <= (spending["percent"] or 0)]


def _spending_warning(limit: LimitOut, spending: dict[str, Any], reached: list[int]) -> dict[str, Any]:
    """`used` and `limit` are dollars."""
    spent = f"${spending['spent']:,.2f} of your own cap of ${spending['spend_cap']:,.2f} are spent on AI tokens"
    again = f"It starts again on {in_words(limit['resets_at'])}; you can raise the cap or remove it."
    return {
        "feature": limit["feature"],
        "level": _level(reached),
        "threshold": reached[-1],
        "message": f"{spent}{', so prompts are refused' if reached[-1] == 100 else ''}. {again}",
        "used": spending["spent"],
        "limit": spending["spend_cap"],
        "resets_at": limit["resets_at"],
    }


def meters_of(limits: Iterable[LimitOut]) -> list[dict[str, Any]]:
    """LimitOut with the feature's `label` and the window in words (`period`), for pages."""
    return [
        {**limit, "label": FEATURES[limit["feature"]].label, "period": _PERIODS[limit["window"]]} for limit in limits
    ]


def plans_by_price() -> list[Plan]:
    """Those on sale, the cheapest first."""
    return list(Plan.objects.published().order_by("price_monthly", "display_order", "id"))


def cheapest_plan_allowing(
    metered: Metered, needed: int, size_mb: float | None = None, plans: list[Plan] | None = None
) -> str | None:
    """The name of the cheapest plan on sale with room for `needed` in one window, and for an item of `size_mb`.

    plans: `plans_by_price()`, where the caller has it already.
    """
    for plan in plans_by_price() if plans is None else plans:
        if _allows(plan, metered.limit_field, needed) and _allows(plan, metered.per_item_limit_field, size_mb):
            return plan.name
    return None


def _allows(plan: Plan, field: str | None, needed: float | None) -> bool:
    limit = getattr(plan, field) if field else None
    return limit is None or needed is None or limit >= needed


# --- words ------------------------------------------------------------------------------------------------------------

_PERIODS = {Window.NONE: "", Window.DAY: "today", Window.MONTH: "this month"}


def in_words(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def _warning(limit: LimitOut) -> str:
    metered = FEATURES[limit["feature"]]
    used, most, resets_at = f"{limit['used']:,}", f"{limit['limit']:,}", limit["resets_at"]
    in_use, allowed = metered.counted(limit["used"]), metered.counted(limit["limit"])
    if metered.window is Window.NONE:
        if limit["remaining"]:
            return (
                f"You have {in_use}, and your plan allows {most}. "
                f"Remove some that you no longer need, or choose a larger plan."
            )
        return (
            f"You have {in_use}, and your plan allows {most}. They stay readable; "
            f"to add another, remove some or choose a larger plan."
        )
    period = _PERIODS[metered.window]
    if limit["remaining"]:
        return (
            f"You have used {used} of {allowed} {period}. "
            f"The count starts again on {in_words(resets_at)}; a larger plan has room for more."
        )
    return (
        f"You have used {plural(limit['limit'], 'the,all')} {allowed} of your plan {period}. "
        f"Wait until {in_words(resets_at)}, or choose a larger plan to go on now."
    )
