"""API keys of Datilio's own backends: made, found and revoked here, kept only as a hash."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q

from datilio.errors import DomainError, InvalidInput
from usage.models import ApiKey

# What a key may be allowed to do, and how the admin says it.
SCOPES = {"usage:write": "Record usage"}

# Tells secret scanners, and people, what a found key is.
KEY_START = "datilio_"
# Writing it for every event would cost more than counting the event.
LAST_USED_EVERY = timedelta(minutes=1)


class ApiKeyNameTaken(DomainError):
    code = "api_key_name_taken"
    message = "There is an API key with this name. Choose another."
    status = 409


def make_api_key(name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """A new key: (its row, the key itself, which is nowhere to be had again). Raises InvalidInput, ApiKeyNameTaken."""
    name, scopes = name.strip(), sorted(set(scopes))
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise InvalidInput({"name": ["1 to 80 printable characters."]})
    if not scopes or not set(scopes) <= SCOPES.keys():
        raise InvalidInput({"scopes": [f"One or more of {', '.join(SCOPES)}."]})
    key = KEY_START + secrets.token_urlsafe(32)
    row, made = ApiKey.objects.get_or_create(
        name=name, defaults={"prefix": key[:16], "sha256": _sha256(key), "scopes": scopes}
    )
    if not made:
        raise ApiKeyNameTaken()
    return row, key


def find_api_key(key: str) -> ApiKey | None:
    """The row of a key, revoked or not; None: not one of ours. A fast hash will do: a key is 256 random bits."""
    digest = _sha256(key)
    row = ApiKey.objects.filter(sha256=digest).first()
    return row if row is not None and secrets.compare_digest(row.sha256, digest) else None


def revoke_api_key(api_key: ApiKey, now: datetime) -> None:
    """From now on it is refused. Revoking twice keeps the first moment."""
    ApiKey.objects.filter(pk=api_key.pk, revoked_at__isnull=True).update(revoked_at=now)
    api_key.refresh_from_db(fields=["revoked_at"])


def touch(api_key: ApiKey, now: datetime) -> None:
    """Note that it was used, at most once a minute whichever process sees it."""
    due = now - LAST_USED_EVERY
    if api_key.last_used_at is None or api_key.last_used_at <= due:
        ApiKey.objects.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lte=due), pk=api_key.pk).update(
            last_used_at=now
        )


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
