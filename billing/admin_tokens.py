"""What AI tokens cost whom, and how far Stripe knows it. Staff look at it and change none of it."""

from django.contrib import admin

from billing.models import MeteredPrice, TokenCharge
from datilio.read_only_admin import ReadOnlyAdmin


@admin.register(TokenCharge)
class TokenChargeAdmin(ReadOnlyAdmin):
    list_display = (
        "day_start",
        "user",
        "model",
        "factor",
        "price_cents",
        "tokens",
        "cost",
        "is_reported",
        "period_start",
    )
    list_select_related = ("user",)
    ordering = ("-id",)
    show_full_result_count = False
    search_fields = ("user__email__exact",)
    search_help_text = "The customer's whole e-mail address, in lower case."

    @admin.display(description="cost")
    def cost(self, row: TokenCharge) -> str:
        return f"${row.cost_nanocents / 10**11:.6f}"

    @admin.display(boolean=True, description="Stripe knows it")
    def is_reported(self, row: TokenCharge) -> bool:
        return row.metered_nanocents == row.cost_nanocents


@admin.register(MeteredPrice)
class MeteredPriceAdmin(ReadOnlyAdmin):
    list_display = ("months", "stripe_price_id", "stripe_meter_id", "created_at")
