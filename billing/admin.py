"""Plans and subscriptions for staff. What Stripe decides is shown and never edited here."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing import emails, outbox
from billing.catalog import publish_plan
from billing.errors import StripeRefused, StripeUnavailable
from billing.models import BillingAccount, BillingMail, Plan, PlanPrice, UserPlan
from billing.pricing import feature_sentences
from billing.sync import sync_user
from datilio.read_only_admin import ReadOnlyAdmin


class PlanPriceInline(admin.TabularInline):
    model = PlanPrice
    fields = readonly_fields = ("months", "amount_cents", "stripe_price_id", "created_at")
    extra = 0
    can_delete = False
    verbose_name_plural = "prices made at Stripe (never edited: a new amount makes a new price)"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ("name", "state", "price_monthly", "price_yearly", "live_subscribers", "display_order")
    list_filter = ("state",)
    search_fields = ("name",)
    ordering = ("display_order", "price_monthly")
    actions = ("publish", "archive")
    readonly_fields = ("state", "stripe_product_id", "on_the_card", "created_at", "updated_at")
    inlines = (PlanPriceInline,)
    fieldsets = (
        (None, {"fields": ("name", "description", "state", "display_order")}),
        ("Prices (USD)", {"fields": ("price_monthly", "price_yearly", "ai_token_price_per_million")}),
        (
            "Limits (empty: unlimited)",
            {"fields": ("file_limit", "file_size_limit_mb", "ai_prompts_per_day", "synthetic_rows_per_month")},
        ),
        ("On the card", {"fields": ("features", "on_the_card")}),
        ("Record", {"fields": ("stripe_product_id", "created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        return super().get_queryset(request).annotate(live=Count("subscribers", Q(subscribers__is_live=True)))

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        # PROTECT would refuse too; this says it before anyone presses the button.
        return super().has_delete_permission(request, obj) and (
            obj is None or (obj.state == Plan.State.DRAFT and not obj.prices.exists())
        )

    @admin.display(description="subscribers", ordering="live")
    def live_subscribers(self, plan: Plan) -> int:
        return plan.live

    @admin.display(description="what customers read")
    def on_the_card(self, plan: Plan) -> str:
        return " · ".join(feature_sentences(plan)) if plan.pk else "-"

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


@admin.register(UserPlan)
class UserPlanAdmin(ReadOnlyAdmin):
    list_display = ("user", "plan", "status", "is_live", "start_date", "current_period_end", "cancel_at", "synced_at")
    list_filter = ("is_live", "status", "plan")
    list_select_related = ("user", "plan")
    search_fields = ("user__email", "stripe_subscription_id")
    date_hierarchy = "start_date"
    actions = ("ask_stripe",)

    @admin.action(description="Ask Stripe and bring up to date")
    def ask_stripe(self, request: HttpRequest, user_plans: QuerySet[UserPlan]) -> None:
        for user_id in sorted(set(user_plans.values_list("user_id", flat=True)))[:50]:
            try:
                sync_user(user_id)
            except (StripeUnavailable, StripeRefused) as error:
                self.message_user(request, error.message, messages.ERROR)
                return
        self.message_user(request, "Up to date with Stripe.", messages.SUCCESS)


@admin.register(BillingAccount)
class BillingAccountAdmin(ReadOnlyAdmin):
    list_display = ("user", "stripe_customer_id", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "stripe_customer_id")


@admin.register(BillingMail)
class BillingMailAdmin(ReadOnlyAdmin):
    """What customers were told, and what still waits."""

    list_display = ("created_at", "user", "kind", "sent_at", "attempts", "try_after")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__email", "key")
    date_hierarchy = "created_at"
    fields = ("user", "kind", "subject", "text", "key", "created_at", "sent_at", "attempts", "try_after")
    actions = ("send_now",)

    @admin.display
    def subject(self, mail: BillingMail) -> str:
        return emails.write(mail.kind, mail.facts).subject

    @admin.display
    def text(self, mail: BillingMail) -> str:
        return emails.write(mail.kind, mail.facts).text

    @admin.action(description="Send now what was not sent yet")
    def send_now(self, request: HttpRequest, mails: QuerySet[BillingMail]) -> None:
        count = outbox.try_again(mails)
        self.message_user(request, f"{count} mail(s) are tried again.", messages.SUCCESS)
