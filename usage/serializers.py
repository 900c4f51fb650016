"""Shapes of the usage API: strict on the way in; on the way out documentation only, bodies are built from rows."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from datilio.fields import DollarField, StrictCharField, StrictIntegerField
from usage.features import Window, feature_choices
from usage.limits import CUSTOM, WARNING_LEVELS
from usage.models import MAX_CAP_CENTS
from usage.uses import MAX_AMOUNT

# A file of a petabyte is a mistake.
MAX_SIZE_MB = 10**9


class PrintableField(StrictCharField):
    """Text without control characters, kept exactly as sent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.isprintable():
            raise serializers.ValidationError("Printable characters only.")
        return text


@extend_schema_field({"type": "number", "minimum": 0, "maximum": MAX_SIZE_MB})
class SizeField(serializers.Field):
    """A JSON number of MB."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, (int, float)):
            raise serializers.ValidationError("A number of MB.")
        # Refuses infinity too: 1e400 is valid JSON.
        if not 0 <= data <= MAX_SIZE_MB:
            raise serializers.ValidationError(f"From 0 to {MAX_SIZE_MB:,} MB.")
        return float(data)


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentField(serializers.DateTimeField):
    """ISO 8601 text; without an offset it is UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, input_formats=["iso-8601"], **kwargs)

    def to_internal_value(self, data: Any) -> datetime:
        # datetime.fromisoformat overlooks a NUL at the end.
        if not isinstance(data, str) or not data.isprintable():
            self.fail("invalid", format="2026-03-01T00:00:00Z")
        moment = super().to_internal_value(data)
        assert moment is not None
        return moment


_KEY = "Needed, here or in the header `Idempotency-Key`: the same again is the same event, hold or level."


class StrictSerializer(serializers.Serializer):
    # Refuses what it does not know: a misspelt `timestamp` that is dropped in silence counts in the wrong window.
    # No docstring, which OpenAPI would say of each that has none of its own.

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        unknown = [name for name in data if name not in self.fields]
        if unknown:
            raise serializers.ValidationError({name[:80]: ["There is no such field."] for name in unknown[:10]})
        return values


class UsageEventIn(StrictSerializer):
    """One event of Metering in shared/api.md. What `amount` may be for which feature is metering's business."""

    user_id = StrictIntegerField(min_value=1, max_value=2**63 - 1)
    feature = serializers.ChoiceField(choices=feature_choices())
    amount = StrictIntegerField(min_value=-MAX_AMOUNT, max_value=MAX_AMOUNT)
    key = PrintableField(max_length=255, help_text=_KEY)
    timestamp = MomentField(required=False)
    model = PrintableField(max_length=80, required=False)
    size_mb = SizeField(required=False)


class BatchIn(serializers.Serializer):
    """1 to 1,000 events; documentation only: each event is checked for itself (usage/incoming.py)."""

    events = serializers.ListField(child=UsageEventIn(), min_length=1, max_length=1000)


class LevelIn(StrictSerializer):
    """How many are stored now, instead of how many came or went."""

    user_id = StrictIntegerField(min_value=1, max_value=2**63 - 1)
    feature = serializers.ChoiceField(choices=feature_choices())
    level = StrictIntegerField(min_value=0, max_value=MAX_AMOUNT)
    key = PrintableField(max_length=255, help_text=_KEY)


class HoldIn(StrictSerializer):
    """Room for what is about to be used, at its worst."""

    user_id = StrictIntegerField(min_value=1, max_value=2**63 - 1)
    feature = serializers.ChoiceField(choices=feature_choices())
    amount = StrictIntegerField(min_value=1, max_value=MAX_AMOUNT, help_text="The worst case.")
    key = PrintableField(max_length=255, help_text=_KEY)
    tokens = StrictIntegerField(
        min_value=1, max_value=MAX_AMOUNT, required=False, help_text="For `ai_prompt`: the most tokens it may take."
    )
    model = PrintableField(max_length=80, required=False)
    expires_in = StrictIntegerField(min_value=10, max_value=3600, required=False, help_text="Seconds; 300.")


class SettleIn(StrictSerializer):
    """What a hold has come to: 0, less or more than was held."""

    amount = StrictIntegerField(min_value=0, max_value=MAX_AMOUNT, help_text="What was truly used.")
    tokens = StrictIntegerField(
        min_value=0, max_value=MAX_AMOUNT, required=False, help_text="Where the hold has tokens: needed."
    )


class UsageFilter(serializers.Serializer):
    """Query of GET /api/user/usage.csv: since <= timestamp < until."""

    feature = serializers.ChoiceField(required=False, choices=feature_choices())
    since = MomentField(required=False)
    until = MomentField(required=False)


class UsageQuery(UsageFilter):
    """Query of GET /api/user/usage: the same, page by page."""

    cursor = serializers.CharField(required=False, max_length=100, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


# --- what goes out ----------------------------------------------------------------------------------------------------


class UsageOut(serializers.Serializer):
    id = serializers.IntegerField()
    user_id = serializers.IntegerField()
    feature = serializers.ChoiceField(choices=feature_choices())
    amount = serializers.IntegerField()
    timestamp = serializers.DateTimeField()


class LimitOut(serializers.Serializer):
    feature = serializers.ChoiceField(choices=feature_choices())
    unit = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")
    remaining = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField(allow_null=True, help_text="Rounded down; more than 100 after a downgrade.")
    window = serializers.ChoiceField(choices=[window.value for window in Window])
    resets_at = serializers.DateTimeField(allow_null=True, help_text="null: goes down only when some are removed.")
    status = serializers.ChoiceField(choices=["ok", "approaching", "exceeded", "unlimited"])


class MonthsSpendingOut(serializers.Serializer):
    spent = serializers.FloatField(help_text="Dollars, rounded half up to cents, as a bill rounds its sum.")
    spent_exact = serializers.CharField(help_text="Dollars with all their digits.")
    spend_cap = serializers.FloatField(allow_null=True, help_text="Your own cap in dollars; null: none, or unused yet.")
    percent = serializers.IntegerField(allow_null=True, help_text="Of your own cap, rounded down.")
    own_threshold = serializers.IntegerField(
        allow_null=True, help_text="The percentage of it set on the usage page. null: none, or nothing is spent yet."
    )
    runs_out_at = serializers.DateTimeField(
        allow_null=True, help_text="When the cap is reached at the present pace. null: not before it starts again."
    )


class PresentLimitOut(LimitOut):
    """A limit as it stands now, with what only the present knows."""

    held = serializers.IntegerField(help_text="The worst case of what has begun; counts towards the limit as well.")
    runs_out_at = serializers.DateTimeField(
        allow_null=True,
        help_text="At the present pace. null: not before it resets, no limit, or less than a tenth of the window over.",
    )
    can_tell_pace = serializers.BooleanField(help_text="false: too little of the window is over, or there is none.")
    own_threshold = serializers.IntegerField(
        allow_null=True, help_text="The percentage set on the usage page. null: none, or nothing is used yet."
    )
    spending = MonthsSpendingOut(allow_null=True, help_text="What tokens cost; null for the others.")


class UsageWarning(serializers.Serializer):
    feature = serializers.ChoiceField(choices=feature_choices())
    level = serializers.ChoiceField(
        choices=[CUSTOM, *WARNING_LEVELS.values()],
        help_text="From 80, 95 and 100 %; `custom`: below them, from a threshold of one's own.",
    )
    threshold = serializers.IntegerField(help_text="The highest percentage that is reached, of these and one's own.")
    message = serializers.CharField(help_text="A sentence for people, with the next step.")
    used = serializers.FloatField(help_text="In the feature's unit; dollars for one's own cap on AI tokens.")
    limit = serializers.FloatField()
    resets_at = serializers.DateTimeField(allow_null=True)


class RecordedOut(serializers.Serializer):
    usage = UsageOut()
    limit = LimitOut()


class LevelOut(serializers.Serializer):
    usage = UsageOut(allow_null=True, help_text="The difference; null: there was none.")
    limit = LimitOut()


class BatchResultOut(serializers.Serializer):
    key = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "refused"])
    usage = UsageOut(allow_null=True, help_text="With `duplicate`: of the first time.")
    error = serializers.DictField(allow_null=True, help_text="The problem document that the event alone would get.")


class BatchOut(serializers.Serializer):
    results = BatchResultOut(many=True)


class HoldOut(serializers.Serializer):
    id = serializers.IntegerField()
    user_id = serializers.IntegerField()
    feature = serializers.ChoiceField(choices=feature_choices())
    amount = serializers.IntegerField()
    tokens = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=["open", "settled", "released", "expired"])


class HeldOut(serializers.Serializer):
    hold = HoldOut()


class SettledOut(serializers.Serializer):
    usage = UsageOut(many=True)


class UserUsageOut(serializers.Serializer):
    usage = UsageOut(many=True)
    limits = PresentLimitOut(many=True)
    warnings = UsageWarning(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class SpendCapIn(StrictSerializer):
    """A customer's own cap on what AI tokens cost."""

    amount = DollarField(max_value=Decimal(MAX_CAP_CENTS) / 100, help_text="Dollars a month of your plan.")


class SpendingOut(serializers.Serializer):
    """What AI tokens cost this month. `..._exact`: dollars with all their digits, as text."""

    spend_cap = serializers.FloatField(allow_null=True, help_text="Your own cap in dollars; null: none.")
    spent = serializers.FloatField(help_text="Dollars, rounded half up to cents, as a bill rounds its sum.")
    spent_exact = serializers.CharField()
    held_exact = serializers.CharField(help_text="The worst case of what has begun; counts towards the cap.")
    remaining = serializers.FloatField(allow_null=True)
    remaining_exact = serializers.CharField(allow_null=True)
    price_per_million = serializers.FloatField(help_text="Dollars at factor 1.0; 0: tokens cost you nothing.")
    window_start = serializers.DateTimeField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)


class TokenQuoteQuery(StrictSerializer):
    tokens = serializers.IntegerField(min_value=1, max_value=MAX_AMOUNT)
    model = PrintableField(max_length=80, required=False, default="")


class TokenQuoteIn(StrictSerializer):
    user_id = StrictIntegerField(min_value=1, max_value=2**63 - 1)
    tokens = StrictIntegerField(min_value=1, max_value=MAX_AMOUNT)
    model = PrintableField(max_length=80, required=False)


class TokenQuoteOut(serializers.Serializer):
    """What one prompt of so many tokens would cost now, and whether it would be let in."""

    tokens = serializers.IntegerField()
    model = serializers.CharField(allow_blank=True)
    factor = serializers.FloatField(help_text="Multiple of the plan's price.")
    cost = serializers.FloatField(help_text="Dollars, rounded half up to cents.")
    cost_exact = serializers.CharField(help_text="Dollars with all digits.")
    fits = serializers.BooleanField()
    error = serializers.DictField(allow_null=True, help_text="The problem that it would be refused with.")
    prompts = LimitOut(allow_null=True)
    spending = SpendingOut()


class ReceiptLineOut(serializers.Serializer):
    model = serializers.CharField(allow_blank=True)
    factor = serializers.FloatField()
    price_per_million = serializers.FloatField(help_text="Dollars at factor 1.0.")
    tokens = serializers.IntegerField()
    formula = serializers.CharField()
    cost_exact = serializers.CharField(help_text="Dollars with all digits.")


class ReceiptOut(serializers.Serializer):
    """What AI tokens cost on one bill. `amount` is the exact sum of its lines, rounded once, half up: what the metered
    line of Stripe's invoice says."""

    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(allow_null=True)
    is_open = serializers.BooleanField(help_text="It still grows; billed at the period's end.")
    amount = serializers.FloatField()
    amount_exact = serializers.CharField()
    reported_exact = serializers.CharField(help_text="As far as Stripe's meter has acknowledged it.")
    lines = ReceiptLineOut(many=True)
    events = serializers.CharField(help_text="Where the events are that it is made of: a path of this API.")


class ReceiptEventsQuery(serializers.Serializer):
    period_start = MomentField(help_text="Of the receipt.")
    model = serializers.CharField(required=False, max_length=80, allow_blank=True)
    cursor = serializers.CharField(required=False, max_length=100, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class ReceiptEventOut(serializers.Serializer):
    id = serializers.IntegerField()
    model = serializers.CharField(allow_blank=True)
    tokens = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    counted_at = serializers.DateTimeField(help_text="Later than `timestamp` for what came late.")
    rate_exact = serializers.CharField(help_text="Dollars per million tokens, the model's factor in it.")
    cost_exact = serializers.CharField()


class ReceiptEventsOut(serializers.Serializer):
    events = ReceiptEventOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ReceiptsOut(serializers.Serializer):
    receipts = ReceiptOut(many=True)


_OF_THE_CAP = "Dollars with all their decimals; spend_cap_reached only."


class LimitExceededProblem(serializers.Serializer):
    """402, `code` limit_exceeded, spend_cap_reached (then used, held and limit are dollars) or no_active_plan (then
    only feature and upgrade_url)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField()
    feature = serializers.CharField()
    limit_name = serializers.CharField(required=False)
    used = serializers.FloatField(required=False)
    held = serializers.FloatField(required=False, help_text="For work that has begun: it counts towards the limit.")
    limit = serializers.FloatField(required=False)
    used_exact = serializers.CharField(required=False, help_text=_OF_THE_CAP)
    held_exact = serializers.CharField(required=False, help_text=_OF_THE_CAP)
    cost_exact = serializers.CharField(required=False, help_text=f"What this would cost. {_OF_THE_CAP}")
    resets_at = serializers.DateTimeField(required=False, allow_null=True)
    upgrade_url = serializers.URLField()
    upgrade_plan = serializers.CharField(required=False, allow_null=True)
