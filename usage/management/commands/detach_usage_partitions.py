from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from usage import partitions

# An event may be 35 days late, and its key is remembered for 100 days with a first answer that lies in its month.
FEWEST_MONTHS = 4


class Command(BaseCommand):
    help = (
        "Take the usage events of old months off the table, each as a table of its own to be archived and dropped. "
        "Counters and daily totals stay. Says what it would do; does it with --run. PostgreSQL only."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--months",
            type=int,
            default=settings.USAGE_RETENTION_MONTHS,
            help="Whole months to keep besides the present one (default: the setting USAGE_RETENTION_MONTHS).",
        )
        parser.add_argument("--run", action="store_true", help="Do it.")

    def handle(self, *args: Any, months: int, run: bool, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL has partitions.")
        if months < FEWEST_MONTHS:
            raise CommandError(f"At least {FEWEST_MONTHS} months are kept: later events and retries need them.")
        if run and (finished := partitions.finish_interrupted_detachment()):
            self.stdout.write(f"Finished {finished}, which an earlier run left half detached.")
        old = partitions.older_than(months, timezone.now())
        if not old:
            self.stdout.write(f"Nothing is older than {months} months.")
        for partition in old:
            rows, size = partitions.rows_and_bytes(partition)
            if run:
                partitions.detach(partition)
            done = "Detached" if run else "Would detach"
            self.stdout.write(f"{done} {partition.name}: about {rows:,} events, {filesizeformat(size)}.")
        if old and run:
            self.stdout.write(
                "Archive them (pg_dump --table=NAME), then DROP TABLE each: until then they still take their room."
            )
        elif old:
            self.stdout.write("Nothing was changed. Do it with --run.")
