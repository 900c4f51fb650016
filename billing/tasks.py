"""What the queue does for billing. Each task can run twice: the rows decide what is left to do."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone
from djstripe.models import WebhookEventTrigger

from billing import idempotency, outbox, reminders, webhooks
from datilio.celery import ring


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
def write_reminders() -> None:
    reminders.write_reminders(timezone.now())
