"""API keys of Datilio's own backends: made, found and revoked here, kept only as a hash.

What begins after a key was revoked, or lost a scope, is refused, whichever process it comes to. A process remembers
keys only for single events: the statement that counts one checks the key itself (KEY_HOLDS). All else asks.
"""

import hashlib
import secrets
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from datilio.errors import DomainError, InvalidInput
from usage.errors import ApiKeyRevoked, ScopeMissing
from usage.models import ApiKey
from usage.prepared import connection_of_thread

WRITE = "usage:write"
# What a key may be allowed to do, and how the admin says it.
SCOPES = {WRITE: "Record usage"}

# Tells secret scanners, and people, what a found key is.
KEY_START = "datilio_"
# Writing it for every event would cost more than counting the event.
LAST_USED_EVERY = timedelta(minutes=1)
# Asking for every event would cost a third of what counting it does; proving it in the statement a twentieth.
REMEMBERED_FOR = timedelta(seconds=10)
_MOST_REMEMBERED = 1000
_remembered: dict[bytes, tuple[ApiKey, float]] = {}


# What an API key has counted has this and its id as `source`.
_SOURCE = "key:"
# A condition for SQL, with the parameter `source` of a use by an API key: it still may write.
KEY_HOLDS = f"""EXISTS (SELECT 1 FROM usage_apikey ak
    WHERE ak.id = CAST(substr(CAST(%(source)s AS varchar), {len(_SOURCE) + 1}) AS bigint) AND ak.revoked_at IS NULL
      AND CAST(ak.scopes AS text) LIKE '%%"{WRITE}"%%')"""


def source_of(api_key: ApiKey) -> str:
    """`source` of what it counts."""
    return f"{_SOURCE}{api_key.pk}"


def is_of_a_key(source: str) -> bool:
    return source.startswith(_SOURCE)


def make_sure_of(source: str) -> None:
    """Where `source` is an API key: ask whether it still may write. Raises ApiKeyRevoked, ScopeMissing."""
    if not is_of_a_key(source):
        return
    row = ApiKey.objects.filter(pk=int(source.removeprefix(_SOURCE))).first()
    if row is not None and row.revoked_at is None and WRITE in row.scopes:
        return
    if row is not None:
        _forget(row)
        if row.revoked_at is None:
            raise ScopeMissing(scope=WRITE)
    raise ApiKeyRevoked()


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


def find_api_key(key: str, *, may_remember: bool = False) -> ApiKey | None:
    """The row of a key, revoked or not; None: not one of ours. A fast hash will do: a key is 256 random bits.

    may_remember: it may be as it was REMEMBERED_FOR ago, since what the caller does with it proves it. One that was not
    found is looked for each time.
    """
    if may_remember and (remembered := remembered_api_key(key)) is not None:
        return remembered
    digest = _sha256(key)
    row = ApiKey.objects.filter(sha256=digest).first()
    if row is None or not secrets.compare_digest(row.sha256, digest):
        return None
    if not connection.in_atomic_block:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[_name_in_memory(key)] = row, time.monotonic() + REMEMBERED_FOR.total_seconds()
    return row


def remembered_api_key(key: str) -> ApiKey | None:
    """The row as it was REMEMBERED_FOR ago at most, without asking the database; None: ask it."""
    remembered = _remembered.get(_name_in_memory(key))
    # Inside a transaction as it is: there the caller sees rows that may never be committed.
    if remembered is None or time.monotonic() >= remembered[1] or connection_of_thread().in_atomic_block:
        return None
    return remembered[0]


def revoke_api_key(api_key: ApiKey, now: datetime) -> None:
    """What begins from now on is refused, in every process. Revoking twice keeps the first moment."""
    ApiKey.objects.filter(pk=api_key.pk, revoked_at__isnull=True).update(revoked_at=now)
    _forget(api_key)
    api_key.refresh_from_db(fields=["revoked_at"])


def touch(api_key: ApiKey, now: datetime) -> None:
    """Note that it was used, at most once a minute whichever process sees it."""
    due = now - LAST_USED_EVERY
    if api_key.last_used_at is None or api_key.last_used_at <= due:
        ApiKey.objects.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lte=due), pk=api_key.pk).update(
            last_used_at=now
        )
        api_key.last_used_at = now


def _forget(api_key: ApiKey) -> None:
    for name, (row, _) in list(_remembered.items()):
        if row.pk == api_key.pk:
            _remembered.pop(name, None)


def _sha256(key: str) -> str:
    return hashlib.sha256(_bytes(key)).hexdigest()


def _name_in_memory(key: str) -> bytes:
    """Not the key itself: memory ends up in dumps. Not SHA-256, which is what is stored: with every event it would take
    as long as five lines of Python, for OpenSSL looks for it anew each time."""
    return hashlib.blake2b(_bytes(key), digest_size=32).digest()


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
