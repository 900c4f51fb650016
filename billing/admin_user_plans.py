"""Subscriptions for staff: what Stripe decides is shown and never edited. A plan is given by hand here."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join

from billing.admin_links import stripe_link
from billing.admin_reconcile import compare_with_stripe
from billing.grants import (
    end_grant,
    grant_plan,
    move_grant_end,
    refuse_end,
    refuse_what_they_pay_for,
)
from billing.models import BillingAccount, Plan, UserPlan
from billing.staff_forms import GrantForm, MoveGrantForm
from billing.subscriptions import live_plan
from datilio.errors import DomainError
from datilio.read_only_admin import ReadOnlyAdmin
from datilio.staff_pages import Change, Question, ask, ask_form, is_confirmed


def _cents(value: int | None) -> str:
    return "" if value is None else f"${value / 100:,.2f}"


def _moment(value: datetime | None) -> str:
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


class WhatIsUpFilter(admin.SimpleListFilter):
    title = "what is up"
    parameter_name = "up"
    SAID: dict[str, tuple[str, Q]] = {
        "given": ("Given by staff", ~Q(grant_reason="")),
        "changes": ("About to change", Q(pending_price__isnull=False)),
        "awaited": ("Waits for the bank", Q(awaited_price__isnull=False)),
        "owed": ("Has an open bill", Q(open_invoice_cents__isnull=False)),
        "disputed": ("Disputed", Q(disputed_since__isnull=False)),
        "ends": ("Is going to end", Q(cancel_at__isnull=False, is_live=True)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(word, said) for word, (said, _) in self.SAID.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UserPlan]) -> QuerySet[UserPlan]:
        return queryset.filter(self.SAID[self.value()][1]) if self.value() in self.SAID else queryset


@admin.register(UserPlan)
class UserPlanAdmin(ReadOnlyAdmin):
    list_display = ("user", "plan", "status", "price", "what_is_up", "synced_at")
    list_filter = (WhatIsUpFilter, "is_live", "status", "plan")
    list_select_related = ("user", "plan", "pending_price__plan", "awaited_price__plan")
    search_fields = ("user__email", "stripe_subscription_id")
    date_hierarchy = "start_date"
    actions = ("compare",)
    fieldsets = (
        (None, {"fields": ("user", "plan", "price", "status", "is_live", "at_stripe", "synced_at")}),
        ("Given by staff", {"fields": ("grant_reason",)}),
        ("Time", {"fields": ("start_date", "current_period_start", "current_period_end", "trial_end", "cancel_at")}),
        ("Ended", {"fields": ("ended_at",)}),
        ("About to change", {"fields": ("changes_to", "waits_for_the_bank", "awaited_until")}),
        (
            "Money",
            {
                "fields": (
                    "next_charge",
                    "owed",
                    "past_due_since",
                    "disputed",
                    "next_attempt_at",
                    "card",
                    "invoices_at_stripe",
                )
            },
        ),
    )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("grant/", view(self.grant), name="billing_userplan_grant"),
            path("<int:plan_id>/move-grant/", view(self.move_grant), name="billing_userplan_move_grant"),
            *super().get_urls(),
        ]

    # --- columns ---

    @admin.display(description="price", ordering="amount_cents")
    def price(self, plan: UserPlan) -> str:
        return f"{_cents(plan.amount_cents)} / {plan.duration_months} mo."

    @admin.display(description="what is up")
    def what_is_up(self, plan: UserPlan) -> str:
        notes = [
            plan.is_grant and f"given: {plan.grant_reason}",
            plan.pending_price and f"changes to {self.changes_to(plan)}",
            plan.awaited_price and f"waits for the bank: {plan.awaited_price}",
            plan.open_invoice_cents is not None and format_html("open bill of {}", self.owed(plan)),
            plan.disputed_since and f"disputed since {_moment(plan.disputed_since)}",
            plan.cancel_at and f"ends {_moment(plan.cancel_at)}",
            plan.ended_at and f"ended {_moment(plan.ended_at)}",
        ]
        return format_html_join(" · ", "{}", ((note,) for note in notes if note)) or "-"

    @admin.display(description="changes to", ordering="pending_at")
    def changes_to(self, plan: UserPlan) -> str:
        return f"{plan.pending_price}, {_moment(plan.pending_at)}" if plan.pending_price else "-"

    @admin.display(description="waits for the bank", ordering="awaited_until")
    def waits_for_the_bank(self, plan: UserPlan) -> str:
        return str(plan.awaited_price) if plan.awaited_price else "-"

    @admin.display(description="open bill", ordering="open_invoice_cents")
    def owed(self, plan: UserPlan) -> str:
        if plan.open_invoice_cents is None:
            return "-"
        return format_html('<a href="{}">{}</a>', plan.open_invoice_url, _cents(plan.open_invoice_cents))

    @admin.display(description="disputed since", ordering="disputed_since")
    def disputed(self, plan: UserPlan) -> str:
        return _moment(plan.disputed_since)

    @admin.display(description="next charge")
    def next_charge(self, plan: UserPlan) -> str:
        return f"{_cents(plan.next_charge_cents)} on {_moment(plan.next_charge_at)}" if plan.next_charge_at else "-"

    @admin.display(description="card")
    def card(self, plan: UserPlan) -> str:
        return f"{plan.card_brand} {plan.card_last4}, until {plan.card_expires_on}" if plan.card_last4 else "-"

    @admin.display(description="at Stripe")
    def at_stripe(self, plan: UserPlan) -> str:
        return stripe_link("subscriptions", plan.stripe_subscription_id)

    @admin.display(description="invoices and refunds")
    def invoices_at_stripe(self, plan: UserPlan) -> str:
        account = BillingAccount.objects.filter(user_id=plan.user_id).first()
        customer = account.stripe_customer_id if account else None
        return stripe_link("customers", customer or "", "In Stripe's dashboard: a paid invoice is refunded there")

    def has_compare_permission(self, request: HttpRequest) -> bool:
        # It heals: an end, a refund, a mail may come of it. Who may only look may not.
        return request.user.has_perm("billing.change_userplan")

    @admin.action(description="Compare with Stripe, and say what changed", permissions=["compare"])
    def compare(self, request: HttpRequest, user_plans: QuerySet[UserPlan]) -> None:
        compare_with_stripe(request, set(user_plans.values_list("user_id", flat=True)))

    # --- a plan that staff give ---

    def grant(self, request: HttpRequest) -> HttpResponse:
        """Who, which, until when, why; then what happens; then it does."""
        self._may_grant(request)
        form = GrantForm(request.POST or None, initial={"email": request.GET.get("email", "")})
        if request.method == "POST" and form.is_valid():
            user, plan, until = (form.cleaned_data[name] for name in ("email", "plan", "until"))
            reason = form.cleaned_data["reason"]
            try:
                if is_confirmed(request):
                    grant_plan(user, plan, until=until, reason=reason, by=request.user)
                    messages.success(request, f"{user} has {plan.name} until {_moment(until)}.")
                    return self._to_list_of(user)
                live = live_plan(user.pk)
                refuse_end(until)
                refuse_what_they_pay_for(live)
            except DomainError as error:
                form.add_error(None, error.message)
            else:
                return ask(request, self, _question_of_grant(user, plan, until, reason, live))
        text = "They get it without a card, nothing is charged, and it ends by itself."
        return ask_form(request, self, "Give a plan", form, text=text)

    def move_grant(self, request: HttpRequest, plan_id: int) -> HttpResponse:
        self._may_grant(request)
        grants = UserPlan.objects.live().exclude(grant_reason="").select_related("user", "plan")
        plan = grants.filter(pk=plan_id).first()
        if plan is None:
            raise Http404
        form = MoveGrantForm(request.POST or None)
        title = f"{plan.plan.name}, given to {plan.user}"
        if request.method == "POST" and form.is_valid():
            until = form.cleaned_data["until"]
            try:
                if not is_confirmed(request):
                    if not form.ends:
                        refuse_end(until)
                    then = "now" if form.ends else _moment(until)
                    question = Question(
                        title=title,
                        button="Yes, end it now" if form.ends else "Yes, move it",
                        changes=[Change("Ends", _moment(plan.cancel_at), then)],
                        effects=["They are told by mail.", "Nothing is charged."],
                        is_dangerous=form.ends,
                    )
                    return ask(request, self, question)
                if form.ends:
                    end_grant(plan.user, by=request.user)
                    messages.success(request, f"The plan of {plan.user} has ended.")
                else:
                    move_grant_end(plan.user, until=until, by=request.user)
                    messages.success(request, f"{plan.user} has {plan.plan.name} until {_moment(until)}.")
                return self._to_list_of(plan.user)
            except DomainError as error:
                form.add_error(None, error.message)
        text = f"It ends {_moment(plan.cancel_at)}. Given because: {plan.grant_reason}"
        return ask_form(request, self, title, form, text=text)

    def _may_grant(self, request: HttpRequest) -> None:
        if not request.user.has_perm("billing.grant_plan"):
            raise PermissionDenied

    def _to_list_of(self, user: Any) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:billing_userplan_changelist')}?user__id__exact={user.pk}")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "user__id__exact" or super().lookup_allowed(lookup, value, request)


def _question_of_grant(user: Any, plan: Plan, until: datetime, reason: str, live: UserPlan | None) -> Question:
    effects = [f"{plan.name} begins now and ends by itself on {_moment(until)}.", "No card is asked for or charged."]
    if live:
        effects.append(f"It takes the place of {live.plan.name}{', which was given to them' if live.is_grant else ''}.")
    return Question(
        title="Give this plan?",
        button="Yes, give it",
        facts=[("User", user), ("Plan", plan), ("Until", _moment(until)), ("Reason", reason)],
        effects=effects,
    )


@admin.register(BillingAccount)
class BillingAccountAdmin(ReadOnlyAdmin):
    list_display = ("user", "customer", "trial_started_at", "closed_at", "created_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter), ("trial_started_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__email", "stripe_customer_id")
    fields = ("user", "customer", "trial_started_at", "purchases_answered", "closed_at", "created_at")

    @admin.display(description="customer at Stripe", ordering="stripe_customer_id")
    def customer(self, account: BillingAccount) -> str:
        return stripe_link("customers", account.stripe_customer_id or "")
