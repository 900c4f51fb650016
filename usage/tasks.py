"""What the queue does for usage. Each task can run twice, or late: nothing is counted wrong without it."""

import logging

from celery import shared_task
from django.utils import timezone

from datilio.celery import ring
from usage import holds, partitions, replays, warning_mails

logger = logging.getLogger(__name__)


@shared_task
def make_usage_partitions() -> None:
    for name in partitions.make_partitions(timezone.now()):
        logger.info("Made the partition %s", name)


@shared_task
def give_back_expired_holds() -> None:
    holds.give_back_expired_holds(timezone.now())


@shared_task
def forget_old_usage_keys() -> None:
    replays.forget_old_keys(timezone.now())


@shared_task
def write_usage_warnings(user_id: int) -> None:
    warning_mails.write_mails(user_id, timezone.now())


@shared_task
def sweep_usage_warnings() -> None:
    """Tell of the alerts that a lost message or a crash left behind, and of those that nobody rang for."""
    for user_id in warning_mails.users_to_tell():
        ring(write_usage_warnings, user_id)
