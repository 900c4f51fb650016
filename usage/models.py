"""What they use: one row an event, one counter a window. Reads take counters; nothing sums events."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from usage.features import feature_choices

# A hundred times a plan's price.
MAX_FACTOR = 100_000
MAX_CAP_CENTS = 10_000 * 100


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
    """One use: what was counted, where, and what was answered.

    Written by usage/metering.py and never changed. What it was answered with (`used_after`, `limit_then`,
    `window_start`, `resets_at`) is kept, so that a replay gives the first answer whatever has happened since; and
    every counter is the sum of the events with its `window_start`. On PostgreSQL a table partitioned by the month of
    `timestamp`, with the primary key (id, timestamp): see usage/partitions.py.
    """

    id = models.BigAutoField(primary_key=True)
    # No foreign key in the database: only those with a plan are counted, and a million events would each ask again.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    feature = models.CharField(max_length=20, choices=feature_choices)
    amount = models.BigIntegerField()
    timestamp = models.DateTimeField(help_text="When it was used (UTC).")
    source = models.CharField(
        max_length=40, help_text="Who counted it: `key:<id>` of an API key, `hold:<id>`, `try-it:<user>`."
    )
    key = models.CharField(max_length=255)
    model = models.CharField(max_length=80, blank=True, help_text="The AI model, for tokens.")
    cost_nanocents = models.BigIntegerField(default=0, db_default=0, help_text="What it costs, in 10^-9 cents.")

    billed_from = models.DateTimeField(
        null=True, blank=True, help_text="The start of the bill on which its cost stands. Empty: it costs nothing."
    )

    window_start = models.DateTimeField(help_text="Which counter it went into.")
    resets_at = models.DateTimeField(null=True, blank=True)
    used_after = models.BigIntegerField(help_text="The counter with this event in it.")
    limit_then = models.BigIntegerField(null=True, blank=True, help_text="Empty: unlimited.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount=0), name="usage_event_counts_something"),
        ]
        indexes = [
            models.Index(fields=["user", "-timestamp", "-id"], name="usage_newest_first"),
            models.Index(fields=["user", "feature", "-timestamp", "-id"], name="usage_of_a_feature"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.amount:+d}"


class UsageKey(models.Model):
    """What makes an event idempotent: the same (source, key) is the same event, however often it is sent.

    A narrow table of its own: a unique key of a partitioned table must contain the partition's column. Forgotten after
    KEYS_KEPT of usage/replays.py.
    """

    pk = models.CompositePrimaryKey("source", "key")
    source = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=32, help_text="Hash of the event as sent: another body is refused.")
    event_id = models.BigIntegerField(null=True, help_text="Empty: it changed nothing, so there is no event.")
    timestamp = models.DateTimeField(db_index=True, help_text="The event's: names its partition.")

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


class UsageCounter(models.Model):
    """How much of a feature a user has used in one window. Written by the conditional upsert of usage/metering.py.

    `held` is the worst case of what has begun and is not settled: it counts towards the limit as `used` does.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    window_start = models.DateTimeField()
    used = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "feature", "window_start"], name="one_counter_per_window"),
            models.CheckConstraint(condition=Q(used__gte=0), name="usage_counter_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="usage_counter_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.used}"


class UsageDay(models.Model):
    """What a user used of a feature on one UTC day, so that no chart sums events. For files: what came less what went.

    The sum of the events whose timestamp is on that day, written with them.
    """

    pk = models.CompositePrimaryKey("user", "feature", "day")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    day = models.DateField()
    amount = models.BigIntegerField()
    cost_nanocents = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.day} {self.amount:+d}"


class UsageHold(models.Model):
    """A worst case that is kept free until the true use is known; see usage/holds.py.

    `amounts` says what is held, feature by feature in the order of the counters:
    [{feature, amount, window_start, resets_at, limit}].
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SETTLED = "settled", "Settled"
        RELEASED = "released", "Released"
        EXPIRED = "expired", "Expired"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    source = models.CharField(max_length=40, help_text="Who asked for it: `key:<id>` of an API key.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=32)
    model = models.CharField(max_length=80, blank=True)
    amounts = models.JSONField()
    settled = models.JSONField(null=True, blank=True, help_text="What it was settled with: {feature: amount}.")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(help_text="The use counts in the window of this moment.")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="one_hold_per_key")]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="open_holds"),
            models.Index(fields=["user", "expires_at"], condition=Q(state="open"), name="open_holds_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.state} until {self.expires_at}"


class ModelFactor(models.Model):
    """A version of what the tokens of an AI model weigh: the price book. See usage/price_book.py."""

    model = models.CharField(max_length=80, help_text="As the backends name it in `model`.")
    factor = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_FACTOR)],
        help_text="In thousandths: 1000 is the plan's price, 2500 is two and a half times it.",
    )
    valid_from = models.DateTimeField(help_text="UTC, a few minutes ahead at least. From then on nobody changes it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["model", "valid_from"], name="one_factor_at_a_time"),
            models.CheckConstraint(condition=Q(factor__gte=1), name="model_factor_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.model} × {self.factor / 1000:g}"


class SpendCap(models.Model):
    """The most dollars that somebody wants to spend on AI tokens in a month of their plan. No row: no cap."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="spend_cap"
    )
    cents = models.PositiveIntegerField(validators=[MaxValueValidator(MAX_CAP_CENTS)])
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(cents__lte=MAX_CAP_CENTS), name="spend_cap_not_absurd")]

    def __str__(self) -> str:
        return f"{self.user_id} ${self.cents / 100:.2f}"


class UsageAlert(models.Model):
    """A threshold that was reached, once per window; written in the same transaction as the use that reached it.

    What has no window of its own (files) is told at most once in a month of the plan: `window_start` is that month's.
    usage/warning_mails.py decides what is written to the customer, and notes here that it has (`told_at`).
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    window_start = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField(help_text="Percent: 80, 95, 100, or the customer's own.")
    created_at = models.DateTimeField(db_default=Now())
    told_at = models.DateTimeField(null=True, blank=True, help_text="When it was decided whether to write a mail.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "feature", "window_start", "threshold"], name="one_alert_per_threshold"
            ),
        ]
        indexes = [models.Index(fields=["user"], condition=Q(told_at__isnull=True), name="usage_alerts_to_tell")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.threshold} %"


class UsageWarningChoice(models.Model):
    """How a user wants to be warned of one feature. No row: by mail at 80, 95 and 100 %, at nothing of their own."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    feature = models.CharField(max_length=20, choices=feature_choices)
    own_threshold = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Percent, 1 to 99.")
    mails = models.BooleanField(default=True, help_text="Mails at 80, 95 and 100 %.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "feature"], name="one_warning_choice_per_feature"),
            models.CheckConstraint(
                condition=Q(own_threshold__isnull=True) | Q(own_threshold__range=(1, 99)),
                name="own_threshold_in_percent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.feature} {self.own_threshold or 'no own'} %"
