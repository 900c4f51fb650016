"""What backends send: bodies into uses, strictly and fast.

A value that is plainly right is taken as it is; everything else goes to the serializers, which know every rule and
every message. So the fast way may refuse nothing and may accept only what the serializers accept, as the same values.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError
from rest_framework.serializers import Serializer

from datilio.error_rendering import as_domain_error
from datilio.errors import DomainError, InvalidInput
from datilio.json_input import strict_loads
from usage.batches import MOST, Invalid
from usage.features import FEATURES
from usage.serializers import MAX_SIZE_MB, HoldIn, LevelIn, SettleIn, TokenQuoteIn, UsageEventIn
from usage.uses import MAX_AMOUNT, Use, use_of

_REQUIRED = frozenset({"user_id", "feature", "amount", "key"})
_KNOWN = _REQUIRED | {"timestamp", "model", "size_mb"}


def json_body(request: HttpRequest) -> Any:
    """The body as strict JSON. Raises DRF's UnsupportedMediaType and ParseError, RequestDataTooBig."""
    if request.content_type != "application/json":
        raise UnsupportedMediaType(request.content_type or "")
    try:
        return strict_loads(request.body)
    except ValueError as error:
        raise ParseError from error


def event_of(body: Any, source: str, header_key: str | None) -> Use:
    """One event; its key may be in the Idempotency-Key header. Raises InvalidInput."""
    return plain_event_of(body, source, header_key) or use_of(source=source, **_checked(UsageEventIn, body))


def plain_event_of(body: Any, source: str, header_key: str | None) -> Use | None:
    """The same of a body that is plainly right; None: ask event_of. Raises InvalidInput."""
    _take_header_key(body, header_key)
    values = _plainly_right(body)
    return None if values is None else use_of(source=source, **values)


def level_of(body: dict[str, Any], header_key: str | None) -> dict[str, Any]:
    """The arguments of usage.levels.set_level. Raises InvalidInput."""
    _take_header_key(body, header_key)
    return dict(_checked(LevelIn, body))


def batch_of(body: dict[str, Any], source: str) -> list[Use | Invalid]:
    """The events of {events: [...]}; one that is wrong is told so in its own answer. Raises InvalidInput."""
    events = body["events"]
    if len(body) > 1:
        raise InvalidInput({"events": ["Send one event, or `events` alone."]})
    if not isinstance(events, list) or not 1 <= len(events) <= MOST:
        raise InvalidInput({"events": [f"A list of 1 to {MOST:,} events."]})
    return [_event_or_why_not(event, source) for event in events]


def _take_header_key(body: Any, header_key: str | None) -> None:
    if header_key is not None and isinstance(body, dict) and body.setdefault("key", header_key) != header_key:
        raise InvalidInput({"key": ["The Idempotency-Key header says something else. Send one of the two."]})


def _event_or_why_not(body: Any, source: str) -> Use | Invalid:
    try:
        return event_of(body, source, None)
    except DomainError as error:
        if not isinstance(body, dict):
            return Invalid(None, error)
        why = InvalidInput({"level": ["Not among events: send a level by itself."]}) if "level" in body else error
        key = body.get("key")
        # Echoed so that the sender finds its event; what is no key at all is not.
        return Invalid(key if isinstance(key, str) and len(key) <= 255 else None, why)


def hold_of(body: Any, header_key: str | None) -> dict[str, Any]:
    """The arguments of usage.holds.hold; its key may be in the header, too. Raises InvalidInput."""
    _take_header_key(body, header_key)
    values = dict(_checked(HoldIn, body))
    if "expires_in" in values:
        values["expires_in"] = timedelta(seconds=values["expires_in"])
    return values


def settlement_of(body: Any) -> dict[str, Any]:
    """The arguments of usage.holds.settle. Raises InvalidInput."""
    return dict(_checked(SettleIn, body))


def quote_of(body: Any) -> dict[str, Any]:
    """The arguments of usage.spending.quote_prompt. Raises InvalidInput."""
    return dict(_checked(TokenQuoteIn, body))


def _checked(serializer_class: type[Serializer], body: Any) -> Mapping[str, Any]:
    serializer = serializer_class(data=body)
    try:
        serializer.is_valid(raise_exception=True)
    except ValidationError as error:
        known = as_domain_error(error)
        assert known is not None
        raise known from error
    return serializer.validated_data


def _plainly_right(body: Any) -> dict[str, Any] | None:
    """The values of an event of which every field is plainly right; None: ask the serializer."""
    if type(body) is not dict or not body.keys() <= _KNOWN or not body.keys() >= _REQUIRED:
        return None
    user_id, amount, key, model = body["user_id"], body["amount"], body["key"], body.get("model")
    feature = body["feature"]
    # `type is`: True is an int too.
    if type(user_id) is not int or not 1 <= user_id < 2**63:
        return None
    if type(amount) is not int or not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        return None
    if type(feature) is not str or feature not in FEATURES or not _is_text(key, 255):
        return None
    if "model" in body and not _is_text(model, 80):
        return None
    if "size_mb" in body and (type(body["size_mb"]) not in (int, float) or not 0 <= body["size_mb"] <= MAX_SIZE_MB):
        return None
    if "timestamp" not in body:
        return body
    moment = _moment(body["timestamp"])
    return None if moment is None else {**body, "timestamp": moment}


def _is_text(value: Any, longest: int) -> bool:
    return type(value) is str and 1 <= len(value) <= longest and value.isprintable()


def _moment(value: Any) -> datetime | None:
    """The form that clocks write, 2026-03-15T12:00:00[.000000]Z; any other is the serializer's."""
    if type(value) is not str or not 20 <= len(value) <= 27 or value[-1] != "Z" or not value.isascii():
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        return None
