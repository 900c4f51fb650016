"""What comes in, checked; what goes out, documented. Hot reads build their JSON by the functions below."""

import json
from datetime import datetime
from typing import Any

from rest_framework import serializers

from billing.models import MAX_LIMIT, MAX_PRICE, Plan, UserPlan
from billing.pricing import MAX_MONTHS, feature_sentences
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
    publish = StrictBooleanField(default=True, help_text="false keeps it a draft that only staff see.")


class PurchasePlanIn(serializers.Serializer):
    plan_id = StrictIntegerField(min_value=1, max_value=MAX_ID)
    duration_months = StrictIntegerField(min_value=1, max_value=MAX_MONTHS)


class CancelPlanIn(serializers.Serializer):
    immediately = StrictBooleanField(default=False, help_text="End it now instead of at the period's end.")
    reason = StrictCharField(max_length=500, required=False, allow_blank=True, default="")


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
    features = serializers.DictField(help_text="As it was given.")


class PlanListItem(PlanOut):
    features = serializers.ListField(child=serializers.CharField(), help_text="Sentences that a customer reads.")


class PendingChange(serializers.Serializer):
    plan_id = serializers.IntegerField()
    duration_months = serializers.IntegerField()
    effective_at = serializers.DateTimeField()


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
    grace_ends_at = serializers.DateTimeField(
        allow_null=True, help_text="While a payment is overdue: access until then."
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
        "features": plan.features,
    }


def plan_list_item(plan: Plan) -> dict[str, Any]:
    """The same with `features` as sentences, for GET /api/plans."""
    return plan_out(plan) | {"features": feature_sentences(plan)}


def user_plan_out(user_plan: UserPlan, now: datetime) -> dict[str, Any]:
    """UserPlanOut (without limits, which accounts adds) as JSON-ready values; `user_plan.plan` should be loaded."""
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
        "pending_change": None,
        "current_period_start": iso(user_plan.current_period_start),
        "current_period_end": iso(user_plan.current_period_end),
        "grace_ends_at": iso(user_plan.grace_ends_at),
    }
