"""What comes in, checked; what goes out, documented. Hot reads build their JSON by the functions below."""

import json
from datetime import datetime
from typing import Any

from rest_framework import serializers

from billing.invoices import MAX_PAGE, Invoice
from billing.models import MAX_LIMIT, MAX_PRICE, MAX_TRIAL_DAYS, Plan, UserPlan
from billing.pricing import MAX_MONTHS, feature_sentences
from billing.quotes import Quote
from datilio.fields import DollarField, StrictBooleanField, StrictCharField, StrictIntegerField
from datilio.times import iso

MAX_ID = 9_223_372_036_854_775_807
MAX_FEATURES_BYTES = 16_384
MAX_FEATURES_DEPTH = 3


class FeaturesField(serializers.DictField):
    """CreatePlanIn.features: a JSON object, at most 16 KiB and 3 levels deep."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_FEATURES_BYTES:
            raise serializers.ValidationError("At most 16 KiB.")
        if _depth(value) > MAX_FEATURES_DEPTH:
            raise serializers.ValidationError("At most 3 levels deep.")
        return value


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _limit(help_text: str) -> StrictIntegerField:
    return StrictIntegerField(
        min_value=0, max_value=MAX_LIMIT, allow_null=True, help_text=f"{help_text} null: unlimited."
    )


class CreatePlanIn(serializers.Serializer):
    name = StrictCharField(min_length=1, max_length=80, help_text="Unique, whatever the case.")
    price_monthly = DollarField(max_value=MAX_PRICE, help_text="USD a month.")
    file_limit = _limit("Files stored at once.")
    file_size_limit_mb = _limit("MB of each file, never the sum.")
    ai_prompts_per_day = _limit("Prompts a UTC day; they are priced by their tokens.")
    synthetic_rows_per_month = _limit("Rows a month.")
    features = FeaturesField(help_text="Additional features; texts and true values are shown to customers.")
    price_yearly = DollarField(max_value=MAX_PRICE * 12, required=False, allow_null=True, help_text="USD a year.")
    ai_token_price_per_million = DollarField(max_value=MAX_PRICE, required=False, allow_null=True)
    description = StrictCharField(max_length=300, required=False, allow_blank=True)
    trial_days = StrictIntegerField(
        min_value=0,
        max_value=MAX_TRIAL_DAYS,
        required=False,
        help_text="Free days before the first charge, once per person.",
    )
    publish = StrictBooleanField(default=True, help_text="false keeps it a draft that only staff see.")


class ChoiceIn(serializers.Serializer):
    plan_id = StrictIntegerField(min_value=1, max_value=MAX_ID)
    duration_months = StrictIntegerField(min_value=1, max_value=MAX_MONTHS)


class PurchasePlanIn(ChoiceIn):
    quote = StrictCharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        default="",
        help_text="Of POST /api/purchase/preview: then exactly what it says is charged, or nothing.",
    )


class CancelPlanIn(serializers.Serializer):
    immediately = StrictBooleanField(default=False, help_text="End it now instead of at the period's end.")
    reason = StrictCharField(max_length=500, required=False, allow_blank=True, default="")


class InvoicesIn(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=20)
    cursor = serializers.RegexField(r"^in_\w{1,200}$", required=False, default="")


class PlanOut(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    price_monthly = serializers.FloatField(help_text="USD, two decimals at most.")
    price_yearly = serializers.FloatField(allow_null=True)
    file_limit = serializers.IntegerField(allow_null=True)
    file_size_limit_mb = serializers.IntegerField(allow_null=True)
    ai_prompts_per_day = serializers.IntegerField(allow_null=True)
    synthetic_rows_per_month = serializers.IntegerField(allow_null=True)
    ai_token_price_per_million = serializers.FloatField(allow_null=True)
    trial_days = serializers.IntegerField(help_text="Free days before the first charge, once per person.")
    features = serializers.DictField(help_text="As it was given.")


class PlanListItem(PlanOut):
    features = serializers.ListField(child=serializers.CharField(), help_text="Sentences that a customer reads.")


class PendingChange(serializers.Serializer):
    plan_id = serializers.IntegerField()
    duration_months = serializers.IntegerField()
    effective_at = serializers.DateTimeField()


class MoneyAt(serializers.Serializer):
    amount = serializers.FloatField(help_text="USD.")
    date = serializers.DateTimeField()


class Card(serializers.Serializer):
    brand = serializers.CharField()
    last4 = serializers.CharField()
    expires_on = serializers.DateField()


class AwaitingConfirmation(serializers.Serializer):
    plan_id = serializers.IntegerField()
    duration_months = serializers.IntegerField()
    expires_at = serializers.DateTimeField()
    authentication_url = serializers.CharField()


class OpenInvoice(serializers.Serializer):
    amount_due = serializers.FloatField(help_text="USD.")
    hosted_url = serializers.CharField(help_text="Stripe's page on which to pay it.")
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="When the card is tried again.")


class UserPlanOut(serializers.Serializer):
    id = serializers.IntegerField()
    plan_id = serializers.IntegerField()
    is_active = serializers.BooleanField(help_text="Does it give access now?")
    start_date = serializers.DateTimeField()
    end_date = serializers.DateTimeField(
        allow_null=True, help_text="When it ends or ended; else how far it is paid; null: open-ended (a free plan)."
    )
    plan = PlanOut()
    status = serializers.CharField(help_text="Stripe's word for it: active, trialing, past_due, canceled, ...")
    duration_months = serializers.IntegerField()
    cancel_at_period_end = serializers.BooleanField()
    pending_change = PendingChange(allow_null=True)
    current_period_start = serializers.DateTimeField()
    current_period_end = serializers.DateTimeField()
    trial_end = serializers.DateTimeField(allow_null=True, help_text="While it is a trial: the first charge is then.")
    next_charge = MoneyAt(allow_null=True, help_text="The next bill; null: nothing will be charged.")
    card = Card(allow_null=True, help_text="What will be charged.")
    awaiting_confirmation = AwaitingConfirmation(
        allow_null=True, help_text="An upgrade that begins once the customer has confirmed its payment with the bank."
    )
    open_invoice = OpenInvoice(allow_null=True, help_text="A bill that waits to be paid.")
    grace_ends_at = serializers.DateTimeField(
        allow_null=True, help_text="While a payment is overdue or disputed: access until then."
    )


def plan_out(plan: Plan) -> dict[str, Any]:
    """PlanOut as JSON-ready values. Money leaves as a number: two decimals are exact in a double's repr."""
    return {
        "id": plan.pk,
        "name": plan.name,
        "description": plan.description,
        "price_monthly": float(plan.price_monthly),
        "price_yearly": None if plan.price_yearly is None else float(plan.price_yearly),
        "file_limit": plan.file_limit,
        "file_size_limit_mb": plan.file_size_limit_mb,
        "ai_prompts_per_day": plan.ai_prompts_per_day,
        "synthetic_rows_per_month": plan.synthetic_rows_per_month,
        "ai_token_price_per_million": None
        if plan.ai_token_price_per_million is None
        else float(plan.ai_token_price_per_million),
        "trial_days": plan.trial_days,
        "features": plan.features,
    }


def plan_list_item(plan: Plan) -> dict[str, Any]:
    """The same with `features` as sentences, for GET /api/plans."""
    return plan_out(plan) | {"features": feature_sentences(plan)}


def user_plan_out(user_plan: UserPlan, now: datetime) -> dict[str, Any]:
    """UserPlanOut (without limits, which accounts adds) as JSON-ready values; best of billing.subscriptions.live_plan,
    which has loaded what this touches."""
    pending, awaited = user_plan.pending_price, user_plan.awaited_price
    return {
        "id": user_plan.pk,
        "plan_id": user_plan.plan_id,
        "is_active": user_plan.is_active(now),
        "start_date": iso(user_plan.start_date),
        "end_date": iso(user_plan.end_date),
        "plan": plan_out(user_plan.plan),
        "status": user_plan.status,
        "duration_months": user_plan.duration_months,
        "cancel_at_period_end": user_plan.is_ending,
        "pending_change": pending
        and {
            "plan_id": pending.plan_id,
            "duration_months": pending.months,
            "effective_at": iso(user_plan.pending_at),
        },
        "current_period_start": iso(user_plan.current_period_start),
        "current_period_end": iso(user_plan.current_period_end),
        "trial_end": iso(user_plan.trial_end),
        "next_charge": _money_at(user_plan.next_charge_cents, user_plan.next_charge_at),
        "card": {
            "brand": user_plan.card_brand,
            "last4": user_plan.card_last4,
            "expires_on": user_plan.card_expires_on.isoformat(),
        }
        if user_plan.card_expires_on
        else None,
        "awaiting_confirmation": awaited
        and {
            "plan_id": awaited.plan_id,
            "duration_months": awaited.months,
            "expires_at": iso(user_plan.awaited_until),
            "authentication_url": user_plan.open_invoice_url,
        },
        "open_invoice": None
        if user_plan.open_invoice_cents is None
        else {
            "amount_due": dollars(user_plan.open_invoice_cents),
            "hosted_url": user_plan.open_invoice_url,
            "next_attempt_at": iso(user_plan.next_attempt_at),
        },
        "grace_ends_at": iso(user_plan.grace_ends_at),
    }


def dollars(cents: int) -> float:
    """Money on its way out: a JSON number. Two decimals are exact in a double's repr."""
    return cents / 100


def _money_at(cents: int | None, at: datetime | None) -> dict[str, Any] | None:
    return None if cents is None else {"amount": dollars(cents), "date": iso(at)}


class QuoteLineOut(serializers.Serializer):
    description = serializers.CharField()
    amount = serializers.FloatField(help_text="USD; negative: given back.")
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()
    proration = serializers.BooleanField()


class QuoteOut(serializers.Serializer):
    change = serializers.ChoiceField(["start", "resume", "upgrade", "downgrade"])
    plan_id = serializers.IntegerField()
    duration_months = serializers.IntegerField()
    is_immediate = serializers.BooleanField()
    effective_at = serializers.DateTimeField(help_text="When it takes effect: now, or the end of the present period.")
    lines = QuoteLineOut(many=True)
    subtotal = serializers.FloatField()
    discount = serializers.FloatField()
    tax = serializers.FloatField()
    credit = serializers.FloatField(help_text="Of earlier payments, used up by this bill.")
    total_now = serializers.FloatField(help_text="What is charged now, USD.")
    currency = serializers.CharField()
    next_bill = MoneyAt(allow_null=True)
    payment = serializers.ChoiceField(
        ["card", "checkout", "nothing"], help_text="The card on file, Stripe's page, or nothing to pay."
    )
    trial_days = serializers.IntegerField()
    ends_trial = serializers.BooleanField()
    undoes_cancellation = serializers.BooleanField()
    credits_unused_time = serializers.BooleanField(
        help_text="false: the payment of the present period was given back, so nothing is credited for the rest of it."
    )
    quote = serializers.CharField(help_text="Send it with POST /api/purchase/plan to confirm exactly this.")
    quote_expires_at = serializers.DateTimeField()


def quote_out(quote: Quote) -> dict[str, Any]:
    """QuoteOut as JSON-ready values."""
    return {
        "change": quote.kind,
        "plan_id": quote.price.plan_id,
        "duration_months": quote.price.months,
        "is_immediate": quote.effective_at is None,
        "effective_at": iso(quote.effective_at or quote.quoted_at),
        "lines": [
            {
                "description": line.description,
                "amount": dollars(line.amount_cents),
                "period_start": iso(line.period_start),
                "period_end": iso(line.period_end),
                "proration": line.is_proration,
            }
            for line in quote.lines
        ],
        "subtotal": dollars(quote.subtotal_cents),
        "discount": dollars(quote.discount_cents),
        "tax": dollars(quote.tax_cents),
        "credit": dollars(quote.credit_cents),
        "total_now": dollars(quote.total_cents),
        "currency": "usd",
        "next_bill": _money_at(quote.next_cents, quote.next_at),
        "payment": quote.pays_with,
        "trial_days": quote.trial_days,
        "ends_trial": quote.ends_trial,
        "undoes_cancellation": quote.undoes_end,
        "credits_unused_time": not quote.without_credit,
        "quote": quote.token,
        "quote_expires_at": iso(quote.expires_at),
    }


class InvoiceOut(serializers.Serializer):
    id = serializers.CharField()
    number = serializers.CharField()
    created_at = serializers.DateTimeField()
    status = serializers.CharField(help_text="open, paid, uncollectible, void.")
    description = serializers.CharField()
    total = serializers.FloatField(help_text="USD.")
    amount_paid = serializers.FloatField()
    amount_due = serializers.FloatField()
    amount_refunded = serializers.FloatField()
    is_disputed = serializers.BooleanField()
    hosted_url = serializers.CharField(help_text="Stripe's page of the invoice; an open one is paid there.")
    pdf_url = serializers.CharField()


def invoice_out(invoice: Invoice) -> dict[str, Any]:
    """InvoiceOut as JSON-ready values."""
    return {
        "id": invoice.id,
        "number": invoice.number,
        "created_at": iso(invoice.created_at),
        "status": invoice.status,
        "description": invoice.description,
        "total": dollars(invoice.total_cents),
        "amount_paid": dollars(invoice.paid_cents),
        "amount_due": dollars(invoice.due_cents),
        "amount_refunded": dollars(invoice.refunded_cents),
        "is_disputed": invoice.is_disputed,
        "hosted_url": invoice.hosted_url,
        "pdf_url": invoice.pdf_url,
    }
