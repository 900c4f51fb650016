"""Comparisons with Stripe for staff: the drift report, and one user compared now."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from billing import reconcile
from billing.drift import KINDS, in_words
from billing.errors import StripeUnavailable
from billing.models import BillingAccount, Drift, ReconcileRun
from datilio.read_only_admin import ReadOnlyAdmin

# More would not be answered within a request; the command takes any number.
MOST_COMPARED = 20


def compare_with_stripe(request: HttpRequest, user_ids: set[int]) -> None:
    """For an admin's action: compare these users, heal, and say of each what has changed."""
    users = BillingAccount.objects.filter(user_id__in=user_ids, stripe_customer_id__isnull=False).select_related("user")
    if len(user_ids) > MOST_COMPARED:
        messages.warning(request, f"Only {MOST_COMPARED} are compared at once; for more: manage.py reconcile.")
    known = 0
    for account in users.order_by("user_id")[:MOST_COMPARED]:
        known += 1
        try:
            run = reconcile.check_one(account.user, source=reconcile.ADMIN)
        except StripeUnavailable as error:
            messages.error(request, error.message)
            return
        drifts = list(run.drifts.order_by("pk"))
        for drift in drifts:
            say = messages.success if drift.is_healed else messages.error
            said = " ".join(filter(None, (drift.reason, in_words(drift.changes))))
            say(request, f"{account.user}: {KINDS[drift.kind]}. {said}")
        if not drifts:
            messages.info(request, f"{account.user}: nothing differs.")
    if not known:
        messages.info(request, "None of them has ever bought anything: there is nothing at Stripe to compare with.")


@admin.register(ReconcileRun)
class ReconcileRunAdmin(ReadOnlyAdmin):
    """The drift report: what each comparison has found, and what is left of it."""

    list_display = ("started_at", "state", "users_checked", "healed", "left", "source", "is_dry_run", "only_user")
    list_filter = ("source", "is_dry_run", "started_at")
    list_select_related = ("only_user",)
    ordering = ("-pk",)
    fields = (
        *("source", "is_dry_run", "only_user", "state", "users_checked", "started_at", "seen_at", "finished_at"),
        "report",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconcileRun]:
        is_healed = Q(drifts__is_healed=True)
        return (
            super()
            .get_queryset(request)
            .annotate(healed=Count("drifts", is_healed), left=Count("drifts", ~is_healed & Q(drifts__isnull=False)))
        )

    @admin.display(description="state")
    def state(self, run: ReconcileRun) -> str:
        if run.finished_at and run.stage == ReconcileRun.Stage.DONE:
            return "finished"
        where = ReconcileRun.Stage(run.stage).label
        if run.finished_at:
            return f"given up at: {where}"
        return f"at work: {where}" if run.worker else f"stopped at: {where}"

    @admin.display(description="healed")
    def healed(self, run: Any) -> str:
        return _drifts_link(run, run.healed, "is_healed__exact=1")

    @admin.display(description="left")
    def left(self, run: Any) -> str:
        return _drifts_link(run, run.left, "is_healed__exact=0")

    @admin.display(description="report")
    def report(self, run: ReconcileRun) -> str:
        rows = run.drifts.values("kind").order_by("kind").annotate(all=Count("pk"), ok=Count("pk", Q(is_healed=True)))
        lines = [
            f"{KINDS.get(row['kind'], row['kind'])}: {row['ok']} healed, {row['all'] - row['ok']} left" for row in rows
        ]
        return "\n".join(lines) or "Nothing differed."


def _drifts_link(run: ReconcileRun, count: int, query: str) -> str:
    if not count:
        return "0"
    url = reverse("admin:billing_drift_changelist")
    return format_html('<a href="{}?run__id__exact={}&{}">{}</a>', url, run.pk, query, count)


class KindFilter(admin.SimpleListFilter):
    title = "what"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(KINDS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Drift]) -> QuerySet[Drift]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Drift)
class DriftAdmin(ReadOnlyAdmin):
    list_display = ("what", "user", "is_healed", "changed", "reason", "subject", "created_at")
    list_filter = ("is_healed", KindFilter, "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "=subject")
    show_full_result_count = False
    ordering = ("-pk",)
    fields = ("run", "what", "user", "subject", "is_healed", "changed", "reason", "created_at")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "run__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="what", ordering="kind")
    def what(self, drift: Drift) -> str:
        return KINDS.get(drift.kind, drift.kind)

    @admin.display(description="changes")
    def changed(self, drift: Drift) -> str:
        return in_words(drift.changes) or "-"
