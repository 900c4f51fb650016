"""What the queue does for billing. Each task can run twice: the rows decide what is left to do."""

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from djstripe.models import WebhookEventTrigger

from billing import idempotency, meter_reports, outbox, reconcile, reminders, webhooks
from billing.errors import StripeUnavailable
from datilio.celery import ring

logger = logging.getLogger(__name__)


@shared_task
def process_webhook(trigger_id: int) -> None:
    webhooks.process(trigger_id)


@shared_task
def sweep_webhooks() -> None:
    """Process valid events that a lost message, a crash or a Stripe outage left unprocessed, oldest first."""
    left = WebhookEventTrigger.objects.filter(
        valid=True, processed=False, created__lt=timezone.now() - timedelta(seconds=30)
    ).order_by("id")
    for trigger_id in left.values_list("pk", flat=True)[:500]:
        webhooks.process_or_log(trigger_id)


@shared_task
def forget_old_answers() -> None:
    idempotency.forget_old_answers()


@shared_task
def send_billing_mail(key: str) -> None:
    outbox.deliver(key)


@shared_task
def sweep_billing_mails() -> None:
    """Send the mails that a lost message, a crash or a mail server that was down left behind."""
    for key in outbox.due_keys(timezone.now()):
        ring(send_billing_mail, key)


@shared_task
def report_token_usage(user_id: int | None = None) -> None:
    """Tell Stripe's meter what AI tokens (of one user) have cost since it was told last. Lost or late: the next run
    goes on."""
    try:
        if user_id is None:
            meter_reports.report_usage(timezone.now())
        else:
            meter_reports.report_usage_of(user_id)
    except StripeUnavailable:
        logger.warning("Stripe is down: usage is reported later")


@shared_task(time_limit=3600)
def write_reminders() -> None:
    reminders.write_reminders(timezone.now())


# CELERY_TASK_TIME_LIMIT is 120; the last step of a slice may take a minute when Stripe is slow.
SLICE_SECONDS = 45


@shared_task
def reconcile_nightly() -> None:
    """Begin the night's comparison with Stripe; one that is still unfinished is given up."""
    reconcile.begin(reconcile.NIGHTLY)
    reconcile_slice()


@shared_task
def reconcile_slice() -> None:
    """Go on with the night's comparison for a while, then ring for the next slice. Nothing to do: nothing is done.

    Also rung every ten minutes: for a run whose worker was killed, whose message was lost, or that met a Stripe that
    was down.
    """
    run = reconcile.unfinished(reconcile.NIGHTLY)
    if run is None:
        return
    try:
        # Without a queue this runs where it is called, and nobody would answer the bell.
        is_finished = reconcile.work(run, seconds=None if settings.CELERY_TASK_ALWAYS_EAGER else SLICE_SECONDS)
    except reconcile.RunAtWork:
        return
    except StripeUnavailable:
        logger.warning("Stripe is down: the comparison of %s goes on later", run)
        return
    if not is_finished:
        ring(reconcile_slice)
