"""The only way JSON comes in: strict, shallow, storable."""

import json
import math
from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.serializers import Serializer

# Deeper than any of our bodies (CreatePlanIn.features: depth 3), far below Python's and PostgreSQL's limits.
MAX_DEPTH = 20


class StrictJSONParser(JSONParser):
    """application/json into Python values, or a ParseError (400)."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        # Read outside of the try: Django raises RequestDataTooBig while reading, which must stay a 413.
        body = stream.read()
        try:
            return strict_loads(body)
        except ValueError as exc:
            raise ParseError from exc


def valid(serializer_class: type[Serializer], request: Request) -> dict[str, Any]:
    """The checked input of a request. Raises DRF's ValidationError (400 invalid_input)."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def strict_loads(body: bytes) -> Any:
    """A JSON text in UTF-8 as Python values. Raises ValueError for what is not JSON or cannot be stored.

    Refused: NaN, Infinity and numbers that overflow to it, nesting deeper than MAX_DEPTH, integers of thousands of
    digits, and text that no database stores: NUL and lone surrogates (500 on PostgreSQL; on sqlite a stored surrogate
    breaks every later list).
    """
    try:
        value = _decode(body.decode("utf-8"))
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    # Most bodies show at once that they hold neither: no escapes, and too few brackets to be deep.
    if b"\\u" not in body and body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return value
    for item in _leaves(value):
        if isinstance(item, str):
            # A lone surrogate raises UnicodeEncodeError, a ValueError.
            item.encode("utf-8")
            if "\x00" in item:
                raise ValueError("NUL in a text")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number too large")
    return number


# Made once: json.loads makes one for every text, unless it is asked for nothing.
_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def _leaves(value: Any) -> Iterator[Any]:
    """Every key and scalar of a JSON value, without recursion. Raises ValueError below MAX_DEPTH."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if not isinstance(item, (dict, list)):
            yield item
            continue
        if depth >= MAX_DEPTH:
            raise ValueError("nested too deep")
        if isinstance(item, dict):
            yield from item.keys()
            item = list(item.values())
        pending.extend((child, depth + 1) for child in item)
