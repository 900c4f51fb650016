"""Plans for staff: draft, publish, archive; what was ever sold is changed only after they have seen what it means."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Field, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone

from billing.admin_links import stripe_link
from billing.catalog import publish_plan
from billing.errors import StripeRefused, StripeUnavailable
from billing.forms import PricingForm
from billing.models import Plan, PlanPrice
from billing.offers import Visitor, offers, plans_on_sale
from billing.plan_changes import changes_of, effects_of
from billing.pricing import feature_sentences
from datilio.staff_pages import Change, Question, ask, is_confirmed


class PlanPriceInline(admin.TabularInline):
    model = PlanPrice
    fields = readonly_fields = ("months", "amount_cents", "stripe_price_id", "created_at")
    extra = 0
    can_delete = False
    verbose_name_plural = "prices made at Stripe (never edited: a new amount makes a new price)"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# What the form says of fields whose names do not say enough.
FORM_WORDS = {
    "ai_token_price_per_million": {"label": "AI token price per million"},
    "price_yearly": {"help_text": "Empty: twelve months."},
    "display_order": {"help_text": "The lowest stands first on the pricing page."},
    "features": {
        "help_text": (
            "More lines for the card and the comparison, as JSON. A text is shown as it is, true shows the name, a "
            'number both: {"support": "Priority support within four hours", "seats": 5}'
        )
    },
}


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ("name", "state", "price_monthly", "price_yearly", "trial_days", "live_subscribers", "display_order")
    list_filter = ("state",)
    search_fields = ("name",)
    ordering = ("display_order", "price_monthly")
    actions = ("publish", "archive")
    readonly_fields = ("state", "at_stripe", "live_subscribers", "on_the_card", "created_at", "updated_at")
    inlines = (PlanPriceInline,)
    fieldsets = (
        (
            None,
            {
                "fields": ("name", "description", "state", "display_order", "live_subscribers"),
                "description": "A draft goes on sale by the action “Publish” in the list of plans.",
            },
        ),
        ("Prices (USD)", {"fields": ("price_monthly", "price_yearly", "ai_token_price_per_million", "trial_days")}),
        (
            "Limits (empty: unlimited)",
            {"fields": ("file_limit", "file_size_limit_mb", "ai_prompts_per_day", "synthetic_rows_per_month")},
        ),
        ("On the card", {"fields": ("features", "on_the_card")}),
        ("Record", {"fields": ("at_stripe", "created_at", "updated_at")}),
    )

    def formfield_for_dbfield(self, db_field: "Field[Any, Any]", request: HttpRequest | None, **kwargs: Any) -> Any:
        if db_field.name in FORM_WORDS:
            kwargs |= FORM_WORDS[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        return super().get_queryset(request).annotate(live=Count("subscribers", Q(subscribers__is_live=True)))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview)
        return [path("<path:object_id>/preview/", view, name="billing_plan_preview"), *super().get_urls()]

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        # PROTECT would refuse too; this says it before anyone presses the button.
        return super().has_delete_permission(request, obj) and (
            obj is None or (obj.state == Plan.State.DRAFT and not obj.prices.exists())
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A plan that is or was on sale is changed only after staff have seen what that means; Stripe comes first."""
        plan = self.get_object(request, unquote(object_id)) if request.method == "POST" and object_id else None
        if plan and plan.state != Plan.State.DRAFT and self.has_change_permission(request, plan):
            form = self.get_form(request, plan, change=True)(
                request.POST, request.FILES, instance=self.get_object(request, unquote(object_id))
            )
            fields = _what_matters(plan, form.instance, form.changed_data) if form.is_valid() else []
            if fields and not is_confirmed(request):
                return ask(request, self, self._question(plan, form.instance, fields))
            if fields and plan.state == Plan.State.PUBLISHED:
                try:
                    publish_plan(form.instance)
                except (StripeUnavailable, StripeRefused) as error:
                    question = self._question(plan, form.instance, fields, error=error.message)
                    return ask(request, self, question, status=error.status)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _question(self, before: Plan, after: Plan, fields: list[str], *, error: str = "") -> Question:
        return Question(
            title=f"Change {before.name}?",
            button="Yes, change it",
            changes=[Change(*change) for change in changes_of(before, after, fields)],
            effects=effects_of(before, after, fields),
            back_url=reverse("admin:billing_plan_change", args=[before.pk]),
            error=error,
        )

    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The plan, a draft too, among those on sale, as a visitor is going to see it."""
        plan = self.get_object(request, unquote(object_id))
        if plan is None:
            raise Http404
        if not self.has_view_permission(request, plan):
            raise PermissionDenied
        interval = PricingForm(request.GET).chosen_interval
        plans = sorted({*plans_on_sale(), plan}, key=lambda one: (one.display_order, one.price_monthly, one.pk))
        a_stranger = Visitor(is_known=False, live=None, had_trial=False)
        shown = offers(plans, interval, a_stranger, wanted_plan_id=None)
        return render(request, "billing/plan_preview.html", {"plan": plan, "interval": interval, "offers": shown})

    @admin.display(description="subscribers", ordering="live")
    def live_subscribers(self, plan: Plan) -> int:
        return getattr(plan, "live", 0)

    @admin.display(description="what customers read")
    def on_the_card(self, plan: Plan) -> str:
        return " · ".join(feature_sentences(plan)) if plan.pk else "-"

    @admin.display(description="at Stripe")
    def at_stripe(self, plan: Plan) -> str:
        return stripe_link("products", plan.stripe_product_id)

    @admin.action(description="Publish (or bring Stripe up to date)", permissions=["change"])
    def publish(self, request: HttpRequest, plans: QuerySet[Plan]) -> None:
        for plan in plans:
            try:
                publish_plan(plan)
            except (StripeUnavailable, StripeRefused) as error:
                self.message_user(request, f"{plan.name}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{plan.name} is on sale.", messages.SUCCESS)

    @admin.action(description="Archive (sells no more, keeps serving those who have it)", permissions=["change"])
    def archive(self, request: HttpRequest, plans: QuerySet[Plan]) -> None:
        count = plans.filter(state=Plan.State.PUBLISHED).update(state=Plan.State.ARCHIVED, updated_at=timezone.now())
        self.message_user(request, f"{count} plan(s) archived.", messages.SUCCESS)


def _what_matters(before: Plan, after: Plan, changed: list[str]) -> list[str]:
    """The place on the page may change without a question, and so may what only looks changed."""
    return [name for name in changed if name != "display_order" and getattr(before, name) != getattr(after, name)]
