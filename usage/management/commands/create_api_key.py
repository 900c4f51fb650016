from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from datilio.errors import DomainError
from usage.api_keys import SCOPES, make_api_key


class Command(BaseCommand):
    help = "Make an API key for a backend and print it, this once. Only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Which backend it is for.")
        parser.add_argument(
            "--scope", action="append", required=True, choices=list(SCOPES), help="What it may do; may be repeated."
        )

    def handle(self, *args: Any, name: str, scope: list[str], **options: Any) -> None:
        try:
            _, key = make_api_key(name, scope)
        except DomainError as error:
            raise CommandError(error.message) from error
        # The key alone on stdout, so that a script can take it.
        self.stderr.write(f"API key for {name}. It is shown only now; send it as: Authorization: Api-Key <key>")
        self.stdout.write(key)
