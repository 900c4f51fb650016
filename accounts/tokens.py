"""JSON web tokens: issue, rotate, revoke. Why they are made this way: docs/decisions/0004-log-in-and-tokens.md.

The access token (minutes) is simplejwt's own. The refresh token (days) is signed by simplejwt and kept in line by a
row: one RefreshTokenFamily per log-in. Only its newest token may be used; showing an older one revokes the family.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, Token

from accounts.models import RefreshTokenFamily, User
from datilio.errors import DomainError

# Tabs that wake together, or a retry whose first answer was lost, show the token before the current one.
GRACE = timedelta(seconds=10)
# Expired families that one log-in clears away: the table cleans itself as fast as it grows.
EXPIRED_PER_LOG_IN = 100


class RefreshTokenNotValid(DomainError):
    code = "refresh_token_not_valid"
    message = "This log-in has ended. Log in again."
    status = 401


class RefreshTokenReused(DomainError):
    code = "refresh_token_reused"
    message = "This refresh token was used before, so the log-in it came from was ended for safety. Log in again."
    status = 401


class RefreshToken(Token):
    token_type = "refresh"
    lifetime = timedelta(days=settings.REFRESH_TOKEN_DAYS)


@dataclass(frozen=True)
class Tokens:
    user: User
    access: str
    refresh: str
    refresh_expires_at: datetime


def issue_tokens(user: User) -> Tokens:
    """The first tokens of a new log-in. Raises RefreshTokenNotValid when the password changed in the meantime."""
    now = timezone.now()
    with transaction.atomic():
        # Whoever logs in with the old password while it is being changed must not outlive the change.
        unchanged = User.objects.select_for_update().filter(pk=user.pk, password=user.password, is_active=True)
        if not unchanged.exists():
            raise RefreshTokenNotValid()
        family = RefreshTokenFamily.objects.create(
            user=user, current_jti=_new_jti(), rotated_at=now, expires_at=now + RefreshToken.lifetime
        )
    _delete_expired_families(now)
    return _tokens_of(family, user)


def rotate_tokens(raw: str | None) -> Tokens:
    """The next tokens for a refresh token; however many ask with the same one at once, one successor is made.

    Raises RefreshTokenNotValid (unknown, expired, revoked, or its user is gone) and RefreshTokenReused.
    """
    family_id, jti = _read(raw)
    with transaction.atomic():
        family = (
            RefreshTokenFamily.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk=family_id)
            .first()
        )
        now = timezone.now()
        if family is None or family.revoked_at or family.expires_at <= now:
            raise RefreshTokenNotValid()
        late = now - family.rotated_at > GRACE
        reused = jti != family.current_jti and (jti != family.previous_jti or late)
        if reused or not family.user.is_active:
            family.revoked_at = now
            family.save(update_fields=["revoked_at"])
        elif jti == family.current_jti:
            family.previous_jti, family.current_jti, family.rotated_at = jti, _new_jti(), now
            family.save(update_fields=["previous_jti", "current_jti", "rotated_at"])
    # Raised outside: the revocation must be committed.
    if reused:
        raise RefreshTokenReused()
    if family.revoked_at:
        raise RefreshTokenNotValid()
    return _tokens_of(family, family.user)


def revoke_tokens(raw: str | None) -> None:
    """End the log-in that a refresh token belongs to, whichever of its tokens this is. Silent when there is none."""
    try:
        family_id, _ = _read(raw)
    except RefreshTokenNotValid:
        return
    RefreshTokenFamily.objects.live().filter(pk=family_id).revoke()


def _new_jti() -> str:
    return uuid.uuid4().hex


def _tokens_of(family: RefreshTokenFamily, user: User) -> Tokens:
    """A fresh access token, and the family's current refresh token: signed from the row alone, so it is the same each
    time and no token is ever stored."""
    refresh = RefreshToken()
    refresh.payload.update(jti=family.current_jti, family=family.pk.hex)
    # PyJWT refuses an `iat` of the future: two servers whose clocks differ would log people out.
    del refresh.payload["iat"]
    refresh.set_exp(from_time=family.expires_at, lifetime=timedelta(0))
    return Tokens(user, str(AccessToken.for_user(user)), str(refresh), family.expires_at)


def _read(raw: str | None) -> tuple[uuid.UUID, str]:
    """(family, jti) of a refresh token that we signed and that has not expired."""
    if not raw:
        raise RefreshTokenNotValid()
    try:
        token = RefreshToken(raw)  # type: ignore[arg-type]
        return uuid.UUID(token["family"]), token["jti"]
    except (TokenError, KeyError, ValueError) as exc:
        raise RefreshTokenNotValid() from exc


def _delete_expired_families(now: datetime) -> None:
    with transaction.atomic():
        expired = RefreshTokenFamily.objects.filter(expires_at__lte=now).order_by("expires_at")
        # skip_locked: two log-ins that clean at once share the work instead of waiting for each other.
        ids = list(expired.select_for_update(skip_locked=True).values_list("pk", flat=True)[:EXPIRED_PER_LOG_IN])
        if ids:
            RefreshTokenFamily.objects.filter(pk__in=ids).delete()
