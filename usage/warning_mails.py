"""Which alerts become a mail to the customer: one for each threshold and window, at most.

The alert row is written with the use that reached the threshold (usage/statements.py). Here it is looked at once, and
`told_at` says so, in the transaction that puts the mail into the outbox of billing. A use that passes several
thresholds at once is told of once, by the highest. Not told: what the customer wants no mails about, and what is no
longer so: the window is over, or the limit was raised, the cap too, or files are gone. That is forgotten, so that it is
told when it comes to it after all.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from billing.models import BillingAccount, UserPlan
from billing.outbox import Event, write
from billing.subscriptions import live_plan
from datilio.celery import ring
from datilio.times import iso
from usage.costs import SPEND
from usage.features import FEATURES, Window
from usage.limits import WARNING_LEVELS, LimitOut, limits_of, thresholds_reached, thresholds_spent
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
        present = list(_present(user_plan, now))
        write(account, _events(user_plan, present, alerts))
        rash = [alert.pk for alert in alerts for one in present if one.is_of(alert) and not one.has_reached(alert)]
        UsageAlert.objects.filter(pk__in=rash).delete()
    UsageAlert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(told_at=now)
    return len(alerts)


@dataclass(frozen=True)
class _Present:
    """What can be warned of, as it stands now. feature, window_start: as its alerts have them. tell: see Event."""

    feature: str
    window_start: datetime
    reached: list[int]
    tell: Callable[[int], tuple[str, dict[str, Any]]]

    def is_of(self, alert: UsageAlert) -> bool:
        return (alert.feature, alert.window_start) == (self.feature, self.window_start)

    def has_reached(self, alert: UsageAlert) -> bool:
        return alert.threshold <= max(self.reached, default=0)


def _present(user_plan: UserPlan, now: datetime) -> Iterator[_Present]:
    for limit in limits_of(user_plan.user_id, now, user_plan=user_plan):
        window_start = _alert_window(limit, user_plan, now)
        reached = thresholds_reached(limit["used"], limit["limit"], limit["own_threshold"])
        yield _Present(limit["feature"], window_start, reached, partial(_usage_told, user_plan, limit))
        if limit["spending"] is not None:
            reached = thresholds_spent(limit["spending"])
            yield _Present(SPEND, window_start, reached, partial(_spending_told, user_plan, limit))


def _events(user_plan: UserPlan, present: list[_Present], alerts: list[UsageAlert]) -> Iterator[Event]:
    choices = choices_of(user_plan.user_id)
    for one in present:
        choice = choices.get(one.feature, DEFAULT)
        wanted = [
            alert.threshold
            for alert in alerts
            if one.is_of(alert)
            and one.has_reached(alert)
            and (alert.threshold == choice.own_threshold or (choice.mails and alert.threshold in WARNING_LEVELS))
        ]
        if wanted:
            key = f"usage:{user_plan.user_id}:{one.feature}:{one.window_start:%Y%m%d}:{max(wanted)}"
            yield Event(key, partial(one.tell, max(wanted)))


def _alert_window(limit: LimitOut, user_plan: UserPlan, now: datetime) -> datetime:
    """What stands in the alerts of now as their window: see UsageAlert."""
    window = FEATURES[limit["feature"]].window
    if window is Window.NONE:
        return month_at(now, user_plan.usage_anchor)[0]
    return window_at(window, now, user_plan.usage_anchor)[0]


def _usage_told(user_plan: UserPlan, limit: LimitOut, threshold: int) -> tuple[str, dict[str, Any]]:
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


def _spending_told(user_plan: UserPlan, limit: LimitOut, threshold: int) -> tuple[str, dict[str, Any]]:
    spending = limit["spending"]
    return "spend_warning", {
        "plan": user_plan.plan.name,
        "threshold": threshold,
        "spent": round(spending["spent"] * 100),
        "cap": round(spending["spend_cap"] * 100),
        "resets_at": iso(limit["resets_at"]),
        "runs_out_at": iso(spending["runs_out_at"]),
    }
