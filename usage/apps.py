from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        post_migrate.connect(_prepare_event_table, sender=self)


def _prepare_event_table(using: str, **kwargs: Any) -> None:
    from django.utils import timezone

    from usage.partitions import prepare_event_table

    if using == "default":
        prepare_event_table(timezone.now())
