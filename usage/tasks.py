"""What the queue does for usage. Each task can run twice, or late: nothing is counted wrong without it."""

import logging

from celery import shared_task
from django.utils import timezone

from usage import holds, partitions, replays

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
