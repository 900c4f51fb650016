"""What comes in, checked for shape (whether an address or a password will do, the form says); what goes out."""

from rest_framework import serializers

from accounts.passwords import MAX_LENGTH
from billing.serializers import QuoteOut, UserPlanOut
from datilio.fields import StrictCharField
from usage.serializers import PresentLimitOut


class CredentialsIn(serializers.Serializer):
    email = StrictCharField(max_length=254, help_text="Upper and lower case are the same.")
    password = StrictCharField(max_length=MAX_LENGTH, trim_whitespace=False)


class MessageOut(serializers.Serializer):
    message = serializers.CharField()


class UserOut(serializers.Serializer):
    id = serializers.IntegerField()
    email = serializers.CharField()
    is_admin = serializers.BooleanField(source="is_staff", help_text="May create plans and use the admin.")


class LogInOut(serializers.Serializer):
    access_token = serializers.CharField(help_text="For minutes: `Authorization: Bearer ...`.")
    user = UserOut()


class UserPlanOverview(UserPlanOut):
    limits = PresentLimitOut(many=True)


class LimitChange(serializers.Serializer):
    feature = serializers.CharField(help_text="A metered feature, or file_size (MB of each file).")
    label = serializers.CharField()
    unit = serializers.CharField()
    window = serializers.ChoiceField(["none", "day", "month"], help_text="What the limit is for.")
    has_before = serializers.BooleanField(help_text="false: there is no plan yet.")
    before = serializers.IntegerField(allow_null=True, help_text="null: unlimited, or no plan yet.")
    after = serializers.IntegerField(allow_null=True, help_text="null: unlimited.")


class FeatureChange(serializers.Serializer):
    label = serializers.CharField()
    before = serializers.JSONField(help_text="A text, true (included), or null: not included, or no plan yet.")
    after = serializers.JSONField(help_text="A text, true (included), or null: not included.")


class Conflict(serializers.Serializer):
    feature = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    message = serializers.CharField()


class ChangePreviewOut(QuoteOut):
    limits = LimitChange(many=True)
    features = FeatureChange(many=True, help_text="What the plans have beside limits, the price of tokens too.")
    conflicts = Conflict(many=True, help_text="Where present use is more than the new plan allows.")
