"""A customer's plan together with its limits and use: what no lower app can show, because none sees both."""

from typing import Any

from django.utils import timezone

from accounts.models import User
from billing.serializers import user_plan_out
from billing.subscriptions import live_plan
from usage.limits import limits_of


def plan_overview(user: User) -> dict[str, Any] | None:
    """UserPlanOut with `limits` (shared/api.md), in two queries; None without a live plan."""
    now = timezone.now()
    user_plan = live_plan(user.pk)
    if user_plan is None:
        return None
    return user_plan_out(user_plan, now) | {"limits": limits_of(user.pk, now, user_plan=user_plan)}
