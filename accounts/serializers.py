"""What comes in, checked for shape (whether an address or a password will do, the form says); what goes out."""

from rest_framework import serializers

from accounts.passwords import MAX_LENGTH
from billing.serializers import UserPlanOut
from datilio.fields import StrictCharField
from usage.serializers import LimitOut


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
    limits = LimitOut(many=True)
