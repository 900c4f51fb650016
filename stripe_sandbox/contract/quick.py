"""Whether a value is what a schema of the contract promises: a plain yes or no, fast.

jsonschema tells what is wrong, and takes a millisecond an object to find that nothing is; a test run checks tens of
thousands. The contract's schemas need eight keywords only, so that each becomes a small function. A "no" from here is
a question to jsonschema, whose word counts; a "yes" must never be wrong (tests/test_contract.py compares the two).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]

_KNOWN = {"type", "anyOf", "properties", "required", "enum", "$ref", "items", "additionalProperties"}


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


_TYPES: dict[str, Check] = {
    "null": lambda value: value is None,
    "string": lambda value: type(value) is str,
    "boolean": lambda value: value is True or value is False,
    "integer": _is_integer,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: type(value) is list,
}


class QuickChecks:
    """The checks of one set of schemas ({"schemas": {name: JSON schema}, ...}), made when they are first asked for."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._made: dict[str, Check] = {}

    def at(self, pointer: str) -> Check:
        """The check of the schema at a pointer such as "#/schemas/customer"."""
        if pointer not in self._made:
            self._made[pointer] = lambda value: self._made[pointer](value)  # what refers to itself meets this meanwhile
            self._made[pointer] = self.of(self.schema_at(pointer))
        return self._made[pointer]

    def schema_at(self, pointer: str) -> dict[str, Any]:
        schema = self._root
        for key in pointer.removeprefix("#/").split("/"):
            schema = schema[key]
        return schema

    def of(self, schema: dict[str, Any]) -> Check:
        """The check of a schema. Raises ValueError for a keyword that it does not know."""
        if unknown := set(schema) - _KNOWN:
            raise ValueError(f"schema keywords that the quick check does not know: {unknown}")
        checks = [made for keyword in schema if (made := self._keyword(keyword, schema)) is not None]
        if len(checks) == 1:
            return checks[0]
        return lambda value: all(check(value) for check in checks)

    def _keyword(self, keyword: str, schema: dict[str, Any]) -> Check | None:
        if keyword == "$ref":
            return self._reference(schema["$ref"])
        if keyword == "anyOf":
            return _any_of([self.of(one) for one in schema["anyOf"]])
        if keyword == "enum":
            allowed = schema["enum"]
            if not all(type(one) is str for one in allowed):
                return lambda value: any(type(one) is type(value) and one == value for one in allowed)
            names = frozenset(allowed)
            return lambda value: type(value) is str and value in names
        if keyword == "type":
            return self._type(schema)
        return None  # part of what _type makes

    def _reference(self, pointer: str) -> Check:
        made = self._made
        self.at(pointer)
        return lambda value: made[pointer](value)

    def _type(self, schema: dict[str, Any]) -> Check:
        kind = schema["type"]
        if kind == "object":
            return self._object(schema)
        if kind == "array" and "items" in schema:
            element = self.of(schema["items"])
            return lambda value: type(value) is list and all(map(element, value))
        return _TYPES[kind]

    def _object(self, schema: dict[str, Any]) -> Check:
        required = tuple(schema.get("required", ()))
        properties = {name: self.of(one) for name, one in schema.get("properties", {}).items()}
        extra = schema.get("additionalProperties", True)
        more = self.of(extra) if isinstance(extra, dict) else None

        def check(value: Any) -> bool:
            if not isinstance(value, dict):
                return False
            for name in required:
                if name not in value:
                    return False
            for name, child in value.items():
                known = properties.get(name)
                if known is not None:
                    if not known(child):
                        return False
                elif more is not None:
                    if not more(child):
                        return False
                elif extra is False:
                    return False
            return True

        return check


def _any_of(checks: list[Check]) -> Check:
    if len(checks) == 2 and checks[1] is _TYPES["null"]:
        first = checks[0]
        return lambda value: value is None or first(value)
    return lambda value: any(check(value) for check in checks)
