"""metadata, the same on every object. https://docs.stripe.com/api/metadata"""

from __future__ import annotations

from typing import Any

from .errors import invalid

MAX_KEYS, MAX_KEY_LENGTH, MAX_VALUE_LENGTH = 50, 40, 500


def merged(params: dict[str, Any], before: dict[str, str] | None = None, at: str = "metadata") -> dict[str, str]:
    """Return metadata after a request: keys are added or replaced, '' unsets one, metadata='' clears all."""
    given = params.get("metadata")
    if given is None:
        return before or {}
    if given == "":
        return {}
    result = dict(before or {})
    for key, value in given.items():
        if len(key) > MAX_KEY_LENGTH:
            raise invalid(
                f"Metadata keys can have up to {MAX_KEY_LENGTH} characters, but you passed in a key that is "
                f"{len(key)} characters. Invalid key: {key[:80]}",
                at,
            )
        if len(value) > MAX_VALUE_LENGTH:
            raise invalid(
                f"Metadata values can have up to {MAX_VALUE_LENGTH} characters, but you passed in a value "
                f"that is {len(value)} characters. Invalid value: {value[:80]}",
                f"{at}[{key}]",
            )
        if value == "":
            result.pop(key, None)
        else:
            result[key] = value
    if len(result) > MAX_KEYS:
        raise invalid(f"Metadata can have up to {MAX_KEYS} keys, but {len(result)} would be set.", at)
    return result
