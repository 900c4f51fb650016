"""How a customer's plan stands, in one word: what the account page, the banner and a mail talk about first."""

from datetime import datetime
from typing import Literal

from billing.models import UserPlan

Standing = Literal["active", "trial", "changing", "ending", "granted", "overdue", "disputed", "unpaid", "over"]


def standing_of(plan: UserPlan, now: datetime) -> Standing:
    """The most pressing of what is true of a live plan at `now`.

    overdue, disputed: money is missing, and it serves for the grace. unpaid: money is missing and the grace is over.
    over: it gives no access for another reason (its end has come, it is paused). ending: it is cancelled. changing: a
    downgrade is scheduled. granted: staff gave it.
    """
    if plan.unpaid_since:
        if not plan.is_active(now):
            return "unpaid"
        return "overdue" if plan.past_due_since else "disputed"
    if not plan.is_active(now):
        return "over"
    if plan.is_grant:
        return "granted"
    if plan.is_ending:
        return "ending"
    if plan.pending_price_id:
        return "changing"
    return "trial" if plan.in_trial else "active"


def can_be_kept(plan: UserPlan) -> bool:
    """Is there something scheduled that resume_plan takes back?"""
    return not plan.is_grant and (plan.is_ending or bool(plan.pending_price_id))
