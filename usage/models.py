"""What they use: one row an event, one counter a window. Reads take counters; nothing sums events."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from usage.features import feature_choices


class ApiKey(models.Model):
    """What a backend of Datilio's shows to be let in. Only the hash is kept: the key itself is shown once."""

    name = models.CharField(max_length=80, unique=True, help_text="Which backend it is for.")
    prefix = models.CharField(max_length=16, help_text="The key's first characters, to tell keys apart.")
    sha256 = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class UsageEvent(models.Model):
    """One use. `source` and `key` make it idempotent: the same pair is the same event, however often it is sent.

    Written by usage/metering.py and never changed. What it was answered with (`used_after`, `limit_then`,
    `window_start`, `resets_at`) is kept, so that a replay gives the first answer whatever has happened since; and
    every counter is the sum of the events with its `window_start`.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    amount = models.BigIntegerField()
    timestamp = models.DateTimeField(help_text="When it was used (UTC).")
    source = models.CharField(max_length=40, help_text="Who counted it: `key:<id>` of an API key, `try-it:<user>`.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the event as sent: another body is refused.")
    model = models.CharField(max_length=80, blank=True, help_text="The AI model, for tokens.")

    window_start = models.DateTimeField(help_text="Which counter it went into.")
    resets_at = models.DateTimeField(null=True, blank=True)
    used_after = models.BigIntegerField(help_text="The counter with this event in it.")
    limit_then = models.BigIntegerField(null=True, blank=True, help_text="Empty: unlimited.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "key"], name="usage_event_counted_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="usage_event_counts_something"),
        ]
        indexes = [
            models.Index(fields=["user", "-timestamp", "-id"], name="usage_newest_first"),
            models.Index(fields=["user", "feature", "-timestamp", "-id"], name="usage_of_a_feature"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.amount:+d}"


class UsageCounter(models.Model):
    """How much of a feature a user has used in one window. Written by the conditional upsert of usage/metering.py."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    window_start = models.DateTimeField()
    used = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "feature", "window_start"], name="one_counter_per_window"),
            models.CheckConstraint(condition=Q(used__gte=0), name="usage_counter_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.used}"


class UsageAlert(models.Model):
    """A threshold that was reached, once per window; written in the same transaction as the use that reached it.

    What has no window of its own (files) is told at most once in a month of the plan: `window_start` is that month's.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    window_start = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField(help_text="Percent: 80, 95 or 100.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "feature", "window_start", "threshold"], name="one_alert_per_threshold"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.threshold} %"
