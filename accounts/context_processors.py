"""What any page may want to say to the customer who looks at it."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from billing.models import UserPlan
from billing.standing import standing_of
from billing.subscriptions import live_plan
from usage.limits import limits_of, warnings_of


def customer(request: HttpRequest) -> dict[str, Callable[[], Any]]:
    """For templates, each asked for when a template first touches it, at most once a page:

    current_plan: UserPlan (with its plan) or None. usage_warnings: list of the API's warnings.
    plan_standing: billing.standing's word for it, or "" without a plan.
    """
    # The admin's pages belong to staff at work, not to a customer.
    if request.path_info.startswith("/admin/"):
        return {}
    now = timezone.now()

    @cache
    def current_plan() -> UserPlan | None:
        user = getattr(request, "user", None)
        return live_plan(user.pk) if user is not None and user.is_authenticated else None

    @cache
    def usage_warnings() -> list[dict[str, Any]]:
        plan = current_plan()
        return [] if plan is None else warnings_of(limits_of(plan.user_id, now, user_plan=plan))

    @cache
    def plan_standing() -> str:
        plan = current_plan()
        return "" if plan is None else standing_of(plan, now)

    # Functions, which templates call: a lazy object would answer False to `is None`.
    return {"current_plan": current_plan, "usage_warnings": usage_warnings, "plan_standing": plan_standing}
