"""The life of a log-in: register, log in (both for the API), close the account.

Register and log in are the same flows of allauth that its pages run, without leaving a browser session. They take the
request, as no other service does: allauth builds its links from it, limits by its address and keeps its stages in its
session. They give it a copy whose session, messages and CSRF cookie nobody will see.
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
from allauth.account.models import EmailAddress, Login
from allauth.core.context import request_context
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.base import BaseStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.loader import render_to_string

from accounts.forms import SignupForm
from accounts.models import User
from accounts.tasks import send_mail
from accounts.tokens import Tokens, issue_tokens
from billing.closing import close_billing
from billing.customers import locked_account
from datilio.celery import ring
from datilio.errors import DomainError, InvalidInput, RateLimited

# What a closed account's address ends with: nobody can register it (RFC 2606), nothing can be mailed to it.
CLOSED_ADDRESSES = "@closed.invalid"


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


class StaffAccount(DomainError):
    code = "staff_account"
    message = "This account may use the admin, so it is not closed from here. Take its staff rights away first."
    status = 409


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


def close_account(user: User, *, by: User | None = None) -> None:
    """End the plan at Stripe, then the account: every log-in, and the address, which is free for a new registration.

    Stripe comes first: when it does not answer nothing is closed. Usage and invoices stay, without a name here and
    with Stripe for the law; API keys belong to backends and stay. Closing twice changes nothing. The person gets a
    mail. by: the member of staff who does it, for the log. Raises StaffAccount, StripeUnavailable.
    """
    if user.is_staff or user.is_superuser:
        raise StaffAccount()
    address = user.email
    if address.endswith(CLOSED_ADDRESSES):
        return
    # One transaction under the billing lock: whoever buys in another tab has bought before, and it is ended, or
    # finds the account closed.
    with locked_account(user.pk) as account:
        close_billing(account)
        user = User.objects.select_for_update().get(pk=user.pk)
        user.refresh_token_families.live().revoke()
        EmailAddress.objects.filter(user=user).delete()
        user.email = f"closed-{user.pk}{CLOSED_ADDRESSES}"
        user.is_active = False
        # Sessions and access tokens die with the password that they were given for.
        user.set_unusable_password()
        user.groups.clear()
        user.user_permissions.clear()
        user.save()
        if by is not None:
            LogEntry.objects.log_actions(by.pk, [user], CHANGE, change_message="Closed the account", single_object=True)
        subject = "Your Datilio account is closed"
        text, html = (render_to_string(f"accounts/email/account_closed.{kind}") for kind in ("txt", "html"))
        ring(send_mail, subject, text, html, settings.DEFAULT_FROM_EMAIL, [address])


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
