"""A customer's plan together with its limits and use: what no lower app can show, because none sees both."""

from typing import Any

from django.utils import timezone

from accounts.models import User
from billing.models import Plan
from billing.offers import extras
from billing.quotes import Quote
from billing.serializers import quote_out, user_plan_out
from billing.subscriptions import live_plan
from usage.features import FEATURES
from usage.limits import limits_of


def plan_overview(user: User) -> dict[str, Any] | None:
    """UserPlanOut with `limits` (shared/api.md), in two queries; None without a live plan."""
    now = timezone.now()
    user_plan = live_plan(user.pk)
    if user_plan is None:
        return None
    return user_plan_out(user_plan, now) | {"limits": limits_of(user.pk, now, user_plan=user_plan)}


def change_preview(user: User, quote: Quote) -> dict[str, Any]:
    """A quote as JSON with what the change does to the customer's limits (shared/design.md, Preview).

    `limits`: [{feature, unit, window, before, after}], None is unlimited; before is None without a plan too.
    `features`: [{label, before, after}], what the plans have beside limits: a text, True (included) or None (not).
    `conflicts`: [{feature, used, limit, message}], where present use is more than the new plan allows.
    """
    return quote_out(quote) | {
        "limits": limit_changes(quote),
        "features": feature_changes(quote),
        "conflicts": conflicts_of(user, quote.price.plan),
    }


def limit_changes(quote: Quote) -> list[dict[str, Any]]:
    before = quote.live.plan if quote.live else None
    changes = [
        {
            "feature": metered.feature.value,
            "label": metered.label,
            "unit": metered.unit,
            "window": metered.window.value,
            "has_before": before is not None,
            "before": metered.limit_of(before) if before else None,
            "after": metered.limit_of(quote.price.plan),
        }
        for metered in FEATURES.values()
        if metered.limit_field
    ]
    per_file = next(metered for metered in FEATURES.values() if metered.per_item_limit_field)
    assert per_file.per_item_limit_field
    changes.insert(
        1,
        {
            "feature": "file_size",
            "label": "Size of each file",
            "unit": "MB",
            "window": "none",
            "has_before": before is not None,
            "before": getattr(before, per_file.per_item_limit_field) if before else None,
            "after": getattr(quote.price.plan, per_file.per_item_limit_field),
        },
    )
    return changes


def feature_changes(quote: Quote) -> list[dict[str, Any]]:
    before, after = quote.live.plan if quote.live else None, quote.price.plan
    return [
        {
            "label": f"{row.label} {row.note}".strip(),
            "before": row.cells[0] if before else None,
            "after": row.cells[-1],
        }
        for row in extras([before, after] if before else [after])
    ]


def conflicts_of(user: User, plan: Plan) -> list[dict[str, Any]]:
    """Where the customer's present use exceeds the limits of `plan`."""
    conflicts = []
    for present in limits_of(user.pk, timezone.now()):
        metered = FEATURES[present["feature"]]
        limit = metered.limit_of(plan)
        if limit is not None and present["used"] > limit:
            conflicts.append(
                {
                    "feature": present["feature"],
                    "used": present["used"],
                    "limit": limit,
                    "message": metered.when_over(present["used"], limit, plan.name),
                }
            )
    return conflicts
