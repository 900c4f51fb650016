"""Which alerts become a mail to the customer: one for each threshold and window, at most.

The alert row is written with the use that reached the threshold (usage/statements.py). Here it is looked at once, and
`told_at` says so, in the transaction that puts the mail into the outbox of billing. A use that passes several
thresholds at once is told of once, by the highest. Not told: what is no longer so (the window is over, the limit was
raised, files are gone), and what the customer wants no mails about.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from billing.models import BillingAccount, UserPlan
from billing.outbox import Event, write
from billing.subscriptions import live_plan
from datilio.celery import ring
from datilio.times import iso
from usage.features import FEATURES, Window
from usage.limits import WARNING_LEVELS, LimitOut, is_reached, limits_of
from usage.models import UsageAlert
from usage.warning_choices import DEFAULT, choices_of
from usage.windows import month_at, window_at

_USERS_AT_ONCE = 500


def ring_for(user_ids: Iterable[int]) -> None:
    """Say that these users have new alerts. A bell that is lost is made up for by the sweep."""
    from usage.tasks import write_usage_warnings

    for user_id in user_ids:
        ring(write_usage_warnings, user_id)


def users_to_tell() -> list[int]:
    """Those with alerts that nobody has looked at yet."""
    untold = UsageAlert.objects.filter(told_at__isnull=True)
    return list(untold.order_by("user_id").values_list("user_id", flat=True).distinct()[:_USERS_AT_ONCE])


@transaction.atomic
def write_mails(user_id: int, now: datetime) -> int:
    """Look at a user's alerts that nobody has looked at yet; returns how many. Two at once share them out."""
    alerts = list(
        UsageAlert.objects.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
        .filter(user_id=user_id, told_at__isnull=True)
        .order_by("pk")
    )
    if not alerts:
        return 0
    account = BillingAccount.objects.filter(user_id=user_id).first()
    user_plan = live_plan(user_id)
    if account is not None and user_plan is not None:
        write(account, _events(user_plan, alerts, now))
    UsageAlert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(told_at=now)
    return len(alerts)


def _events(user_plan: UserPlan, alerts: list[UsageAlert], now: datetime) -> Iterator[Event]:
    choices = choices_of(user_plan.user_id)
    for limit in limits_of(user_plan.user_id, now, user_plan=user_plan):
        feature = limit["feature"]
        choice, window_start = choices.get(feature, DEFAULT), _alert_window(feature, user_plan, now)
        wanted = [
            alert.threshold
            for alert in alerts
            if alert.feature == feature
            and alert.window_start == window_start
            and (alert.threshold == choice.own_threshold or (choice.mails and alert.threshold in WARNING_LEVELS))
            and is_reached(alert.threshold, limit["used"], limit["limit"])
        ]
        if wanted:
            key = f"usage:{user_plan.user_id}:{feature}:{window_start:%Y%m%d}:{max(wanted)}"
            yield Event(key, partial(_told, user_plan, limit, max(wanted)))


def _alert_window(feature: str, user_plan: UserPlan, now: datetime) -> datetime:
    """What stands in the alerts of now as their window: see UsageAlert."""
    window = FEATURES[feature].window
    if window is Window.NONE:
        return month_at(now, user_plan.usage_anchor)[0]
    return window_at(window, now, user_plan.usage_anchor)[0]


def _told(user_plan: UserPlan, limit: LimitOut, threshold: int) -> tuple[str, dict[str, Any]]:
    metered = FEATURES[limit["feature"]]
    return "usage_warning", {
        "plan": user_plan.plan.name,
        "label": metered.label,
        "unit": metered.unit,
        "window": limit["window"],
        "threshold": threshold,
        "used": limit["used"],
        "limit": limit["limit"],
        "resets_at": iso(limit["resets_at"]),
        "runs_out_at": iso(limit["runs_out_at"]),
    }
