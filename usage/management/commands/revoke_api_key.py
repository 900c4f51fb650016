from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from datilio.times import iso
from usage.api_keys import KEY_START, revoke_api_key
from usage.models import ApiKey


class Command(BaseCommand):
    help = (
        "Revoke an API key: what begins from now on is refused, in every process. There is no way back; make another."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key", help=f"Its name, or what it begins with as the admin shows it: {KEY_START}... Never the key itself."
        )

    def handle(self, *args: Any, key: str, **options: Any) -> None:
        found = list(ApiKey.objects.filter(name=key) or ApiKey.objects.filter(prefix=key)[:2])
        if len(found) != 1:
            known = ", ".join(
                ApiKey.objects.filter(revoked_at=None).order_by("name").values_list("name", flat=True)[:20]
            )
            raise CommandError(f"No one API key has this name or beginning. In use: {known or 'none'}.")
        revoke_api_key(found[0], timezone.now())
        self.stdout.write(f"{found[0].name} ({found[0].prefix}...) is revoked since {iso(found[0].revoked_at)}.")
