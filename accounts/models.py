"""Who they are. Nothing here knows money."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, email: str | None) -> "User":
        return self.get(email=(email or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person who logs in with an email address. Addresses are kept in lower case: one person, one spelling."""

    # A plain unique column and not Lower(email): every look-up by address (allauth's too) can use its index.
    email = models.EmailField(
        max_length=254, unique=True, error_messages={"unique": "There is an account with this address."}
    )
    is_staff = models.BooleanField("staff", default=False, help_text="May use the admin and create plans.")
    is_active = models.BooleanField("active", default=True, help_text="Untick instead of deleting.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_in_lower_case")
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        # Set by set_password() until saved; a mere upgrade of the hash at log-in leaves it None.
        password_is_new = self._password is not None and not self._state.adding
        if not password_is_new:
            return super().save(*args, **kwargs)
        with transaction.atomic():
            super().save(*args, **kwargs)
            self.refresh_token_families.live().revoke()


class RefreshTokenFamilyQuerySet(models.QuerySet["RefreshTokenFamily"]):
    def live(self) -> "RefreshTokenFamilyQuerySet":
        return self.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())

    def revoke(self) -> int:
        return self.update(revoked_at=timezone.now())


class RefreshTokenFamily(models.Model):
    """All refresh tokens that descend from one log-in. Only the newest may be used; see accounts/tokens.py."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="refresh_token_families")
    current_jti = models.CharField(max_length=32)
    # Tabs that refresh together present the same token: for a few seconds the one before is answered with the current.
    previous_jti = models.CharField(max_length=32, blank=True)
    rotated_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RefreshTokenFamilyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "refresh token families"

    def __str__(self) -> str:
        return str(self.id)
