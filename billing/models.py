"""What they pay for: only what Stripe does not hold, and one projection (UserPlan) of what it does."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from billing.fields import OrderedJSONField

MAX_PRICE = Decimal("99999.99")
# Fits PostgreSQL's integer; sqlite would take more and answer differently.
MAX_LIMIT = 2_147_483_647
# Stripe takes up to two years; more than a quarter is no trial.
MAX_TRIAL_DAYS = 90

_price = [MinValueValidator(Decimal(0)), MaxValueValidator(MAX_PRICE)]
_limit = [MinValueValidator(0), MaxValueValidator(MAX_LIMIT)]


class PlanQuerySet(models.QuerySet["Plan"]):
    def published(self) -> "PlanQuerySet":
        """Those on sale, in the order they are shown."""
        return self.filter(state=Plan.State.PUBLISHED).order_by("display_order", "price_monthly", "id")


class Plan(models.Model):
    """One of the offers. Prices in USD; a limit of None is unlimited; `features` as CreatePlanIn.features."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"
        ARCHIVED = "archived", "Archived"

    # Names the plan in lookup keys and idempotency keys at Stripe: ids of two databases would collide there.
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=300, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    display_order = models.PositiveSmallIntegerField(default=100)

    price_monthly = models.DecimalField(max_digits=7, decimal_places=2, validators=_price)
    price_yearly = models.DecimalField(
        max_digits=8, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(Decimal(0))]
    )
    ai_token_price_per_million = models.DecimalField(
        max_digits=7, decimal_places=2, null=True, blank=True, validators=_price
    )

    trial_days = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(MAX_TRIAL_DAYS)],
        help_text="Free days before the first charge, once per person. 0: none.",
    )

    file_limit = models.PositiveIntegerField(null=True, blank=True, validators=_limit)
    file_size_limit_mb = models.PositiveIntegerField(
        "file size limit (MB)", null=True, blank=True, validators=_limit, help_text="For each file, never the sum."
    )
    ai_prompts_per_day = models.PositiveIntegerField("AI prompts per day", null=True, blank=True, validators=_limit)
    synthetic_rows_per_month = models.PositiveIntegerField(null=True, blank=True, validators=_limit)
    features = OrderedJSONField(default=dict, blank=True)

    stripe_product_id = models.CharField(max_length=255, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = PlanQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="plan_name_unique_whatever_the_case",
                violation_error_message="There is a plan with this name.",
            ),
            models.CheckConstraint(condition=Q(price_monthly__gte=0), name="plan_price_monthly_not_negative"),
            models.CheckConstraint(
                condition=Q(price_yearly__isnull=True) | Q(price_yearly__gte=0), name="plan_price_yearly_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | ~Q(stripe_product_id=""), name="plan_on_sale_has_a_product"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_free(self) -> bool:
        return self.price_monthly == 0


class PlanPrice(models.Model):
    """A Stripe Price of a plan: so many months for so many cents. Made once, never edited; see billing/catalog.py."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="prices")
    months = models.PositiveSmallIntegerField()
    amount_cents = models.PositiveIntegerField()
    token_price_cents = models.PositiveIntegerField(
        default=0, help_text="A million AI tokens, for who has this price. 0: they cost nothing."
    )
    stripe_price_id = models.CharField(max_length=255, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "months", "amount_cents", "token_price_cents"], name="plan_price_made_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan} {self.months} mo. ${Decimal(self.amount_cents) / 100:.2f}"


class MeteredPrice(models.Model):
    """The Stripe Price by which AI tokens are billed beside a plan of so many months; see billing/metered.py."""

    months = models.PositiveSmallIntegerField(unique=True)
    stripe_price_id = models.CharField(max_length=255, unique=True)
    stripe_meter_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"AI tokens, billed every {self.months} mo."


class BillingAccount(models.Model):
    """A user's Stripe customer, and the row whose lock puts everything about their money into one line."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True, related_name="billing_account"
    )
    stripe_customer_id = models.CharField(max_length=255, null=True, unique=True)  # noqa: DJ001 (unique when known)
    purchases_answered = models.PositiveIntegerField(
        default=0,
        help_text="Purchases that Stripe has answered for good. Part of the idempotency key: while an answer is "
        "missing the key stays, so pressing again cannot buy twice; after a decline it moves on, so another try is a "
        "real one.",
    )
    trial_started_at = models.DateTimeField(null=True, blank=True, help_text="One trial per person: this was it.")
    closed_at = models.DateTimeField(
        null=True, blank=True, help_text="The account was closed: nothing is sold to it any more."
    )
    former_address_hmac = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="Stands for the address of a closed account; billing/trials.py.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.stripe_customer_id or f"user {self.user_id}"


class TrialCard(models.Model):
    """A card that somebody's trial began with: the next account that comes with it gets none. See billing/trials.py."""

    fingerprint = models.CharField(
        max_length=255, unique=True, help_text="Stripe's word for the card's number, the same for all customers."
    )
    account = models.ForeignKey(BillingAccount, on_delete=models.PROTECT, related_name="trial_cards")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.fingerprint


# Stripe's statuses in which a plan serves; past_due within its grace only.
SERVING = frozenset({"active", "trialing", "past_due"})
LONG_AGO, FOREVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class UserPlanQuerySet(models.QuerySet["UserPlan"]):
    def live(self) -> "UserPlanQuerySet":
        return self.filter(is_live=True)


class UserPlan(models.Model):
    """A subscription as Stripe last told it. Written by billing/sync.py and by nothing else."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="plans")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscribers")
    stripe_subscription_id = models.CharField(max_length=255, unique=True)
    stripe_item_id = models.CharField(max_length=255, blank=True)
    stripe_metered_item_id = models.CharField(
        max_length=255, blank=True, help_text="What bills AI tokens. Empty: nothing does, so they cost nothing."
    )
    stripe_schedule_id = models.CharField(max_length=255, blank=True)
    stripe_price_id = models.CharField(max_length=255)
    duration_months = models.PositiveSmallIntegerField()
    amount_cents = models.PositiveIntegerField(help_text="The price of one period, before discounts and credit.")
    token_price_cents = models.PositiveIntegerField(
        default=0, help_text="What a million AI tokens cost now, before the model's factor. 0: nothing."
    )

    status = models.CharField(max_length=30, help_text="Stripe's word: active, trialing, past_due, canceled, ...")
    is_live = models.BooleanField(
        default=False, help_text="Not over yet: it counts as the user's one subscription, paid or not."
    )
    start_date = models.DateTimeField()
    current_period_start = models.DateTimeField()
    current_period_end = models.DateTimeField()
    cancel_at = models.DateTimeField(null=True, blank=True, help_text="Ends then, unless resumed.")
    ended_at = models.DateTimeField(null=True, blank=True)
    trial_end = models.DateTimeField(null=True, blank=True)
    usage_anchored_at = models.DateTimeField(
        null=True, blank=True, help_text="Carried over from the plan before, so that a change resets no counter."
    )

    pending_price = models.ForeignKey(
        PlanPrice, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="What it changes to."
    )
    pending_at = models.DateTimeField(null=True, blank=True, help_text="When it changes.")
    awaited_price = models.ForeignKey(
        PlanPrice,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="An upgrade that waits until the customer has confirmed its payment with the bank.",
    )
    awaited_until = models.DateTimeField(null=True, blank=True)

    next_charge_cents = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: nothing will be charged.")
    next_charge_at = models.DateTimeField(null=True, blank=True)
    past_due_since = models.DateTimeField(null=True, blank=True, help_text="The grace runs from here.")
    disputed_since = models.DateTimeField(
        null=True, blank=True, help_text="The bank took a payment back for the time being; the grace runs from here."
    )
    open_invoice_cents = models.PositiveIntegerField(null=True, blank=True, help_text="What waits to be paid.")
    open_invoice_url = models.URLField(max_length=2000, blank=True, help_text="Stripe's page on which to pay it.")
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="When Stripe tries the card again.")

    card_brand = models.CharField(max_length=20, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_expires_on = models.DateField(null=True, blank=True, help_text="The last day of the month on the card.")
    grant_reason = models.CharField(max_length=200, blank=True, help_text="Given by staff, not bought.")
    synced_at = models.DateTimeField(default=timezone.now)

    objects = UserPlanQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(is_live=True), name="user_has_one_live_plan"),
            models.CheckConstraint(
                condition=Q(is_live=False) | Q(ended_at__isnull=True), name="live_plan_has_not_ended"
            ),
            models.CheckConstraint(
                condition=Q(current_period_end__gte=F("current_period_start")), name="period_runs_forward"
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-start_date"], name="user_plan_history"),
            # billing/reminders.py asks for those that are charged soon.
            models.Index(fields=["next_charge_at"], condition=Q(is_live=True), name="live_plan_next_charge"),
        ]
        permissions = [("grant_plan", "Can give a plan by hand")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.plan} ({self.status})"

    @property
    def unpaid_since(self) -> datetime | None:
        """Since when we lack the money for the present period: a charge failed, or the bank took it back."""
        if self.past_due_since is None or self.disputed_since is None:
            return self.past_due_since or self.disputed_since
        return min(self.past_due_since, self.disputed_since)

    @property
    def grace_ends_at(self) -> datetime | None:
        """When an unpaid plan stops serving; None while nothing is owed."""
        return self.unpaid_since + timedelta(days=settings.GRACE_DAYS) if self.unpaid_since else None

    def on_grace_period(self, now: datetime) -> bool:
        """Is a payment missing, and the plan serving all the same?"""
        return self.status in SERVING and self.grace_ends_at is not None and now < self.grace_ends_at

    @property
    def active_until(self) -> datetime:
        """The moment from which on it gives no access, as far as is known now. LONG_AGO: it gives none; FOREVER: no end
        is known."""
        if self.ended_at or self.status not in SERVING:
            return LONG_AGO
        # past_due without a date is no state that sync writes; it would be access without an end.
        grace_ends_at = self.grace_ends_at or (LONG_AGO if self.status == "past_due" else FOREVER)
        return min(self.cancel_at or FOREVER, grace_ends_at)

    def is_active(self, now: datetime) -> bool:
        """Does it give access at `now` (aware)?"""
        return now < self.active_until

    @property
    def is_ending(self) -> bool:
        """Is it cancelled for a moment to come?"""
        return self.is_live and self.cancel_at is not None

    @property
    def is_grant(self) -> bool:
        return bool(self.grant_reason)

    @property
    def costs_nothing(self) -> bool:
        """A free plan, or one that staff gave: whoever buys another owes and loses nothing."""
        return self.amount_cents == 0 or self.is_grant

    @property
    def in_trial(self) -> bool:
        return self.status == "trialing"

    @property
    def usage_anchor(self) -> datetime:
        """The moment whose day of the month begins the monthly windows."""
        return self.usage_anchored_at or self.start_date

    @property
    def end_date(self) -> datetime | None:
        """UserPlanOut.end_date: when it ended or is going to end; else how far it is paid; None for a free plan,
        which is open-ended."""
        if self.ended_at or self.cancel_at:
            return self.ended_at or self.cancel_at
        return self.current_period_end if self.amount_cents else None


class TokenCharge(models.Model):
    """What a user's AI tokens of one day cost, by model and rate: a line of the receipt, and what Stripe is told.

    Grown by usage/statements.py in the statement that counts the tokens; reported by billing/meter_reports.py, which
    alone writes the columns from `metered_nanocents` on. Days begin at the second at which the bill's period does, so
    that none lies in two bills. A nanocent is 10^-9 cents: cost = tokens * factor * price_cents, exactly.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    period_start = models.DateTimeField(help_text="Of the bill that it stands on.")
    day_start = models.DateTimeField(help_text="Its time at Stripe.")
    model = models.CharField(max_length=80, blank=True)
    factor = models.PositiveIntegerField(help_text="The model's factor in thousandths.")
    price_cents = models.PositiveIntegerField(help_text="A million tokens at factor 1.0.")
    tokens = models.BigIntegerField()
    cost_nanocents = models.BigIntegerField()
    metered_nanocents = models.BigIntegerField(default=0, db_default=0, help_text="What Stripe has acknowledged.")
    in_flight_nanocents = models.BigIntegerField(
        default=0, db_default=0, help_text="What was sent and not acknowledged yet: sent again until it is."
    )
    in_flight_since = models.DateTimeField(null=True, blank=True)
    try_after = models.DateTimeField(null=True, blank=True, help_text="Somebody is at it until then.")
    resent = models.PositiveIntegerField(default=0, db_default=0, help_text="How often Stripe had lost some of it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "period_start", "day_start", "model", "factor", "price_cents"], name="one_token_charge"
            ),
        ]
        indexes = [
            models.Index(
                fields=["user"],
                condition=Q(metered_nanocents__lt=F("cost_nanocents")),
                name="token_charge_to_report",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.day_start:%Y-%m-%d} {self.model} {self.tokens}"


class IdempotentAnswer(models.Model):
    """The first answer to a write that carried an Idempotency-Key; see billing/idempotency.py."""

    caller = models.CharField(max_length=40, help_text="`user:<id>` or `key:<id>` of an API key.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True, help_text="Empty while the first request is still at work.")
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="one_answer_per_key")]

    def __str__(self) -> str:
        return self.key


class ReconcileRun(models.Model):
    """How far a comparison with Stripe is, and what it has found so far. See billing/reconcile.py."""

    class Stage(models.TextChoices):
        """In this order; each walks one list by a cursor."""

        USERS = "users", "Users"
        SUBSCRIPTIONS = "subscriptions", "Live subscriptions at Stripe"
        CATALOG = "catalog", "Plans"
        WEBHOOKS = "webhooks", "Webhooks"
        DONE = "done", "Done"

    class Source(models.TextChoices):
        COMMAND = "command", "manage.py reconcile"
        NIGHTLY = "nightly", "Nightly task"
        ADMIN = "admin", "Admin"

    source = models.CharField(max_length=10, choices=Source)
    is_dry_run = models.BooleanField("dry run", default=False, help_text="Reports only.")
    only_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    stage = models.CharField(max_length=15, choices=Stage, default=Stage.USERS)
    cursor = models.CharField(max_length=255, blank=True, help_text="The last one of the stage's list that is done.")
    users_checked = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=255, blank=True, help_text="host:pid of who is at it; empty: nobody.")
    started_at = models.DateTimeField(default=timezone.now, db_index=True)
    seen_at = models.DateTimeField(default=timezone.now, help_text="Its last sign of life.")
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.get_source_display()}"


class Drift(models.Model):
    """Where our rows and Stripe said different things, what became of it, and why not if nothing did."""

    run = models.ForeignKey(ReconcileRun, on_delete=models.CASCADE, related_name="drifts")
    kind = models.CharField(max_length=40, help_text="A word of billing.reconcile.KINDS.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    subject = models.CharField(max_length=255, help_text="Stripe's id, or our own, of what it is about.")
    changes = models.JSONField(default=dict, blank=True, help_text="{field: [before, after]}")
    reason = models.CharField(max_length=500, blank=True)
    is_healed = models.BooleanField("healed", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # A step that is done again after a kill reports nothing twice.
            models.UniqueConstraint(fields=["run", "kind", "subject"], name="drift_told_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class BillingMail(models.Model):
    """A mail about somebody's money that is to be sent, or was: the outbox. See billing/notices.py, billing/outbox.py.

    Written in the same transaction as the change that it tells of; unique by `key`, which names the event with
    Stripe's ids, so that an event seen twice is told once.
    """

    class Kind(models.TextChoices):
        STARTED = "started", "Plan started"
        GRANTED = "granted", "Plan given by staff"
        RECEIPT = "receipt", "Receipt"
        REFUNDED = "refunded", "Refund"
        REPLACED = "replaced", "Bought twice, the older refunded"
        PAYMENT_FAILED = "payment_failed", "Payment failed"
        ACTION_REQUIRED = "action_required", "Bank wants a confirmation"
        CHANGED = "changed", "Plan changed"
        CHANGE_SCHEDULED = "change_scheduled", "Change scheduled"
        CANCEL_SCHEDULED = "cancel_scheduled", "Cancellation scheduled"
        ENDED = "ended", "Plan ended"
        TRIAL_ENDING = "trial_ending", "Trial ending"
        CARD_EXPIRING = "card_expiring", "Card expiring"
        RENEWAL = "renewal", "Yearly renewal ahead"
        # Written by the app `usage`, with words of its own.
        USAGE_WARNING = "usage_warning", "Limit nearly used up"
        SPEND_WARNING = "spend_warning", "Cap on AI costs nearly spent"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="billing_mails")
    kind = models.CharField(max_length=20, choices=Kind)
    key = models.CharField(max_length=255, unique=True, help_text="The event that it tells of: told once.")
    facts = models.JSONField(help_text="What billing/emails.py writes it from: cents, names, ISO times.")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    try_after = models.DateTimeField(default=timezone.now, help_text="Nobody tries it before.")

    class Meta:
        indexes = [
            models.Index(fields=["try_after"], condition=Q(sent_at__isnull=True), name="billing_mail_to_send"),
            models.Index(fields=["user", "-created_at"], name="billing_mail_of_user"),
        ]

    def __str__(self) -> str:
        return self.key
