from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from billing import email_samples, emails
        from usage.emails import LETTERS, SAMPLES

        post_migrate.connect(_prepare_event_table, sender=self)
        # Billing keeps the outbox and knows nothing of usage: the words are put into its books from here.
        emails.LETTERS.update(LETTERS)
        email_samples.SAMPLES.update(SAMPLES)


def _prepare_event_table(using: str, **kwargs: Any) -> None:
    from django.utils import timezone

    from usage.partitions import prepare_event_table

    if using == "default":
        prepare_event_table(timezone.now())
