"""The log-ins and plans of the embedded default, on a fresh database. Running it again changes nothing."""

from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from billing.catalog import seed_plans

PASSWORD = "datilio-demo"
LOG_INS = {"staff@datilio.example": True, "customer@datilio.example": False}


class Command(BaseCommand):
    help = "Make the demo's two log-ins and the three plans (embedded default only)."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError("Log-ins with a known password exist in the embedded default only.")
        with transaction.atomic():
            for email, is_staff in LOG_INS.items():
                if User.objects.filter(email=email).exists():
                    continue
                make = User.objects.create_superuser if is_staff else User.objects.create_user
                user = make(email, PASSWORD)
                EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
        seed_plans()
