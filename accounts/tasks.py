"""What the queue does for accounts."""

import logging

from celery import Task, shared_task

from datilio.mailer import MAIL_SERVER_FAILED, send

logger = logging.getLogger(__name__)


@shared_task(bind=True, max_retries=5)
def send_mail(self: Task, subject: str, text: str, html: str, sender: str, recipients: list[str]) -> None:
    """A mail server that is down is tried again for about half an hour; without a queue it is logged at once."""
    try:
        send(subject, text, html, recipients, sender=sender)
    except MAIL_SERVER_FAILED as exc:
        if self.request.is_eager or self.request.retries >= self.max_retries:
            logger.exception("The mail %r could not be sent", subject)
        else:
            raise self.retry(exc=exc, countdown=30 * 2**self.request.retries) from exc
