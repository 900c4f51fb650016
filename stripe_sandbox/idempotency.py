"""Idempotency-Key on POST. https://docs.stripe.com/api/idempotent_requests

An answer is saved once the operation began to execute: in the same transaction as its changes, so that a
crash leaves both or neither. Answers to requests that failed validation, 401 and 409 are not saved.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import StripeError, invalid

if TYPE_CHECKING:
    from .sandbox import Sandbox

KEPT_SECONDS = 24 * 3600
LONGEST_KEY = 255


@dataclass
class Saved:
    """The answer to the first request with a key."""

    request_id: str
    status: int
    body: bytes


def check(key: str) -> None:
    """Raises 400 for a key that is empty or too long."""
    if not key or len(key) > LONGEST_KEY:
        raise invalid(f"Idempotency keys must be between 1 and {LONGEST_KEY} characters long.", status=400)


def in_use(key: str) -> StripeError:
    """409: the first request with this key has not been answered yet."""
    return StripeError(
        409,
        f"There is currently another in-progress request using this Idempotent Key: {key}. Please try again later.",
        type="idempotency_error",
        code="idempotency_key_in_use",
        executed=False,
    )


def fingerprint(path: str, pairs: list[tuple[str, str]]) -> str:
    """What makes two requests the same: where they go and what they say, in any order."""
    return hashlib.sha256(json.dumps([path, sorted(pairs)]).encode()).hexdigest()


def saved_answer(sandbox: Sandbox, key: str, mark: str) -> Saved | None:
    """The answer to replay, None when the key is new. Raises 400 when it was used for another request."""
    row = sandbox.store.execute("SELECT * FROM idempotency WHERE key = ?", (key,)).fetchone()
    if row is None or row["created"] < sandbox.clock.wall() - KEPT_SECONDS:
        return None
    if row["fingerprint"] != mark:
        raise StripeError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{key}' if you meant to execute a different request.",
            type="idempotency_error",
            executed=False,
        )
    return Saved(row["request_id"], row["status"], row["body"].encode())


def save(sandbox: Sandbox, key: str, mark: str, answer: Saved) -> None:
    """Remember the answer; forget those whose day is over."""
    now = sandbox.clock.wall()
    sandbox.store.execute("DELETE FROM idempotency WHERE created < ?", (now - KEPT_SECONDS,))
    sandbox.store.execute(
        "INSERT OR REPLACE INTO idempotency (key, fingerprint, request_id, status, body, created) VALUES "
        "(?, ?, ?, ?, ?, ?)",
        (key, mark, answer.request_id, answer.status, answer.body.decode(), now),
    )
