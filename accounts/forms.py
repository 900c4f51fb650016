"""allauth's forms with what they lack. Wired by ACCOUNT_FORMS; the API signs up through the same form."""

import copy
import uuid
from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import get_adapter
from allauth.account.app_settings import EmailVerificationMethod
from allauth.account.internal.flows.login import perform_login
from allauth.account.internal.userkit import filter_users_by_email
from allauth.account.models import EmailAddress, Login
from django import forms
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse

from accounts.models import User
from accounts.passwords import MAX_LENGTH


class SignupForm(allauth_forms.SignupForm):
    """Says nothing about an address that is taken, whatever ACCOUNT_EMAIL_VERIFICATION is; its owner gets a mail.

    allauth does so only when verification is mandatory, and then answers a quarter of a second sooner: it hashes no
    password.
    """

    def validate_unique_email(self, value: str) -> str:
        self.account_already_exists = bool(filter_users_by_email(value))
        return get_adapter().validate_unique_email(value)

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """(the new user, None), or (None, the page that says "look into your inbox") for a taken address."""
        if self.account_already_exists:
            self._save_nobody(request)
        else:
            try:
                with transaction.atomic():
                    return self.save(request), None
            except IntegrityError:
                # Somebody took it since we looked.
                self.account_already_exists = True
        # Without a user the stages run as for a new one and end at its verification, with another mail.
        nobody = Login(
            email=self.cleaned_data["email"], email_verification=EmailVerificationMethod.MANDATORY, signup=True
        )
        return None, perform_login(request, nobody)

    def _save_nobody(self, request: HttpRequest) -> None:
        """The work of save(), so that a taken address takes as long: one hash, the same rows, one commit."""
        decoy = copy.copy(self)
        decoy.account_already_exists = False
        decoy.cleaned_data = self.cleaned_data | {"email": f"{uuid.uuid4().hex}@nobody.invalid"}
        with transaction.atomic():
            nobody = decoy.save(request)
            # Gone before the commit: nobody else ever sees them.
            for rows in (EmailAddress.objects.filter(user=nobody), User.objects.filter(pk=nobody.pk)):
                rows._raw_delete(rows.db)

    def errors_by_input(self) -> dict[str, list[str]]:
        """The messages by the names that the API uses."""
        names: dict[str, Any] = {"password1": "password", "__all__": "body"}
        return {names.get(field, field): [str(m) for m in messages] for field, messages in self.errors.items()}


class CloseAccountForm(forms.Form):
    password = forms.CharField(
        label="Your password",
        help_text="So that nobody else closes it.",
        # As many characters as a password may have: what is longer need not be hashed.
        max_length=MAX_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        if not self.user.check_password(self.cleaned_data["password"]):
            raise ValidationError("This is not your password.")
        return self.cleaned_data["password"]
