"""Where allauth asks us. Each method says what allauth would do without it."""

import logging
import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.internal import ratelimit
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.http import HttpRequest

from accounts.models import User
from accounts.tasks import send_mail
from datilio.client_address import client_address

logger = logging.getLogger(__name__)

MAX_EMAIL_LENGTH = User._meta.get_field("email").max_length


class AccountAdapter(DefaultAccountAdapter):
    def clean_email(self, email: str) -> str:
        """Every address that comes in through a form, in lower case already.

        allauth's forms take 320 characters and cut them to our 254: somebody else's address. Lower-casing can make an
        address longer, and Django's validator lets two letters that are not ASCII pass before the @.
        """
        validate_email(email)
        if len(email) > MAX_EMAIL_LENGTH or not email.rpartition("@")[0].isascii():
            raise ValidationError("Enter a valid email address.", code="invalid")
        return email

    def get_client_ip(self, request: HttpRequest) -> str:
        """allauth's own answers 500 to an X-Forwarded-For that is too short, and 403 behind a unix socket."""
        return client_address(request)

    def send_mail(self, template_prefix: str, email: str, context_: dict[str, Any]) -> None:
        """Through the queue: how long the mail server takes must not tell which mail it was, and a mail server that is
        down must not turn a sign-up into a 500 (allauth sends within the request)."""
        request = context.request
        values = {"request": request, "email": email, "current_site": get_current_site(request), **context_}
        mail = self.render_mail(template_prefix, email, values)
        html = ""
        if isinstance(mail, EmailMultiAlternatives) and mail.alternatives:
            html = str(mail.alternatives[0][0])
        try:
            send_mail.delay(mail.subject, mail.body, html, mail.from_email, mail.to)
        except Exception:
            logger.exception("The queue did not take the mail %r", mail.subject)

    def seconds_until_next_log_in(self, request: HttpRequest, email: str) -> int:
        """How long `too_many_login_attempts` is going to last for this address: at least 1 s."""
        key = self._get_login_attempts_cache_key(request, email=email)
        wait = 1.0
        limit = {"app": "allauth.account", "action": "login_failed"}
        for rate in ratelimit.get_rates(**limit):
            cache_key = ratelimit.get_cache_key(request, **limit, rate=rate, key=key)
            attempts = ratelimit.cache.get(cache_key, [])
            if len(attempts) >= rate.amount:
                wait = max(wait, attempts[-1] + rate.duration - time.time())
        return int(wait) + 1
