"""What a password may be, beyond Django's own rules."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError

MAX_LENGTH = 128


class MaximumLengthValidator:
    """Bounds what a stranger can make us hash and compare. In AUTH_PASSWORD_VALIDATORS, so it holds on every way in."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        if len(password) > MAX_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password must contain at most {MAX_LENGTH} characters."
