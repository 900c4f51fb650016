"""Register and log in, for the API: the same flows of allauth that its pages run, without leaving a browser session.

These take the request, as no other service does: allauth builds its links from it, limits by its address and keeps its
stages in its session. They give it a copy whose session, messages and CSRF cookie nobody will see.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from allauth.account.adapter import get_adapter
from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.internal.constants import LoginStageKey
from allauth.account.internal.flows.login import perform_password_login
from allauth.account.internal.flows.signup import complete_signup
from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from allauth.account.models import Login
from allauth.core.context import request_context
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.base import BaseStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.forms import SignupForm
from accounts.tokens import Tokens, issue_tokens
from datilio.errors import DomainError, InvalidInput, RateLimited


class InvalidCredentials(DomainError):
    code = "invalid_credentials"
    message = "The email address and the password do not belong together."
    status = 401


class AccountInactive(DomainError):
    """Told only to who knows the password."""

    code = "account_inactive"
    message = "This account is switched off. Write to us if that is a surprise."
    status = 403


class EmailNotVerified(DomainError):
    code = "email_not_verified"
    message = "Confirm your email address first: open the link in the mail that we have sent you, then log in again."
    status = 403


class LogInNeedsAnotherStep(DomainError):
    code = "log_in_needs_another_step"
    message = "This account asks for more than a password. Log in on the website."
    status = 403


def register(request: HttpRequest, email: str, password: str) -> None:
    """Make an account and mail a link that confirms its address. Logs nobody in.

    A taken address looks the same from outside, in its answer and in its time; its owner gets a mail that says so.
    Raises InvalidInput (`email`, `password`), decided before it is known whether the address is taken.
    """
    with _off_the_record(request) as request:
        form = SignupForm({"email": email, "password1": password})
        if not form.is_valid():
            raise InvalidInput(form.errors_by_input())
        user, _ = form.try_save(request)
        if user is not None:
            # Mandatory here, whatever the setting: it mails the link and ends before the log-in.
            complete_signup(request, user=user, email_verification=EmailVerificationMethod.MANDATORY)


def log_in(request: HttpRequest, email: str, password: str) -> Tokens:
    """Tokens for who passes everything that allauth's log-in page would ask.

    Raises InvalidCredentials, RateLimited (too many failures for this address), AccountInactive, EmailNotVerified (and
    mails a new link), LogInNeedsAnotherStep.
    """
    with _off_the_record(request) as request:
        adapter = get_adapter(request)
        try:
            user = adapter.authenticate(request, email=email, password=password)
        except ValidationError as exc:
            wait = adapter.seconds_until_next_log_in(request, email)
            raise RateLimited(
                "Too many failed log-ins for this address. Wait a few minutes, or reset the password.",
                retry_after=wait,
                headers={"Retry-After": str(wait)},
            ) from exc
        if user is None:
            raise InvalidCredentials()
        if not user.is_active:
            raise AccountInactive()
        perform_password_login(request, {"email": email}, Login(user=user, email=email))
        if request.user.is_authenticated:
            return issue_tokens(user)
        # A stage of allauth stands in the way. An unknown one (a second factor that is added one day) does too.
        if _pending_stage(request) == LoginStageKey.VERIFY_EMAIL:
            raise EmailNotVerified()
        raise LogInNeedsAnotherStep()


def _pending_stage(request: HttpRequest) -> str | None:
    login = request.session.get(LOGIN_SESSION_KEY) or {}
    return login.get("state", {}).get("stages", {}).get("current")


@contextmanager
def _off_the_record(request: HttpRequest) -> Iterator[HttpRequest]:
    scratch = copy.copy(request)
    # A copy, because rotate_token() writes the new CSRF cookie here: it would break the forms open in another tab.
    scratch.META = request.META.copy()
    scratch.session = SessionStore()
    scratch.user = AnonymousUser()
    scratch._messages = BaseStorage(scratch)
    with request_context(scratch):
        yield scratch
