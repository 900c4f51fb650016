"""Stripe's API contract: which paths there are, what they accept, what they return.

contract.json and check_contract.py are verbatim copies (see contract.json's `source`); this module adds what
a server needs on top: a fast route look-up, parsing that survives hostile input, and cached response
validators.
"""

from __future__ import annotations

import functools
import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from . import beyond, check_contract
from .check_contract import _leaves, _to_jsonschema, err, unflatten
from .quick import QuickChecks

CONTRACT_JSON = Path(__file__).with_name("contract.json")
MAX_NESTING = 12  # Stripe's deepest parameter has 7 levels; more is an attack on a recursive parser
MAX_STRING = 5000  # https://docs.stripe.com/api: characters in a parameter that has no limit of its own
MAX_INTEGER = 2**53 - 1  # what survives JSON in every client

_SCHEMAS = "urn:stripe-contract"


class Contract(check_contract.Contract):
    """The checker of check_contract.py, made fast enough to sit in front of every request."""

    def __init__(self, path: Path | str = CONTRACT_JSON) -> None:
        with warnings.catch_warnings():
            # The verbatim copy leaves the file to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            super().__init__(path)
        self.doc["paths"] |= beyond.paths()
        self._tree: dict[str, Any] = {}
        for template in self.doc["paths"]:
            node = self._tree
            for segment in template.split("/")[1:]:
                node = node.setdefault("{}" if segment.startswith("{") else segment, {})
            node[""] = template
        # What each operation returns, beside the objects' schemas.
        self.root["answers"] = {
            _answer_key(method, template): _to_jsonschema(operation["returns"], False)
            for template, operations in self.doc["paths"].items()
            for method, operation in operations.items()
        }
        self._validators: dict[str, Draft202012Validator] = {}
        self._quick = QuickChecks(self.root)

    def route(self, method: str, path: str) -> tuple[str, list[str]] | None:
        """Return (path template, ids in the path) of the operation, None when Stripe has no such URL."""
        return self._walk(self._tree, path.split("/")[1:], [], method.lower())

    def _walk(self, node: dict, segments: list[str], ids: list[str], method: str):
        if not segments:
            template = node.get("")
            return (template, ids) if template and method in self.doc["paths"][template] else None
        head, rest = segments[0], segments[1:]
        if not head:
            return None
        # A literal segment wins over {id}: /v1/customers/search is not the customer called "search".
        found = self._walk(node[head], rest, ids, method) if head in node else None
        return found or (self._walk(node["{}"], rest, [*ids, head], method) if "{}" in node else None)

    def operation_at(self, method: str, template: str) -> dict[str, Any]:
        return self.doc["paths"][template][method.lower()]

    def parse(self, operation: dict, pairs: Iterable[tuple[str, str]]) -> tuple[dict, list[dict]]:
        """Return (typed parameters, Stripe-shaped errors) of form pairs. Never raises, whatever the input."""
        pairs = list(pairs)
        keys = {key for key, _ in pairs}
        for key, value in pairs:
            if not key or key.startswith("["):
                return {}, [err("parameter_unknown", f"Received unknown parameter: {key[:80]}", key[:80] or None)]
            if key.count("[") > MAX_NESTING:
                return {}, [err(None, f"Invalid parameter: nested too deeply: {key[:40]}...", key.split("[")[0])]
            if len(value) > MAX_STRING:
                return {}, [
                    err(
                        None,
                        f"Invalid string: {value[:8]}...{value[-8:]}; must be at most {MAX_STRING} characters",
                        key,
                    )
                ]
            if any(key[: bracket.start()] in keys for bracket in re.finditer(r"\[", key)):
                return {}, [err(None, "Invalid object: both a value and a hash", key.split("[")[0])]
            if "\x00" in key or "\x00" in value:
                return {}, [err(None, "Invalid string: contains a NUL byte", key.replace("\x00", ""))]
        errors: list[dict] = []
        try:
            schema = operation.get("params") or {"type": "object", "properties": {}}
            typed = self._check(schema, unflatten(pairs), "", errors)
        except (ValueError, IndexError, RecursionError):  # such as int() of 5,000 digits
            return {}, [err(None, "Invalid request: the parameters could not be read", None)]
        if not errors:
            _refuse_what_json_cannot_carry(typed, "", errors)
        return typed, errors

    def response_errors(self, obj: dict, name: str | None = None) -> list[str]:
        """As in check_contract.py, and a hundred times as fast for what is right; see quick.py."""
        name = name or (("deleted_" if obj.get("deleted") is True else "") + obj["object"])
        if name in ("list", "search_result"):
            return [e for o in obj["data"] for e in self.response_errors(o)]
        if name not in self.root["schemas"] and f"v2:{name}" in self.root["schemas"]:
            name = "v2:" + name
        if name not in self.root["schemas"]:
            return [f"{name}: the contract has no such object"]
        if self._quick.at("#/schemas/" + name)(obj):
            return []
        leaves = [leaf for e in self._cached_validator("#/schemas/" + name).iter_errors(obj) for leaf in _leaves(e)]
        return [f"{name}.{'.'.join(map(str, e.absolute_path))}: {e.message[:160]}" for e in leaves]

    def answer_errors(self, method: str, template: str, body: dict) -> list[str]:
        """What is wrong with a 200 of this operation: the right kind of object or list, and all in it. [] when fine."""
        pointer = "#/answers/" + _answer_key(method, template)
        if self._quick.at(pointer)(body):
            return []
        if body.get("deleted") is True and method.upper() == "GET":
            # Stripe answers with what is left of a deleted object; its description leaves that out.
            promised = self._quick.schema_at(pointer).get("$ref")
            return self.response_errors(body) if promised == f"#/schemas/{body.get('object')}" else ["deleted"]
        leaves = [leaf for e in self._cached_validator(pointer).iter_errors(body) for leaf in _leaves(e)]
        return [f"{'.'.join(map(str, e.absolute_path))}: {e.message[:160]}" for e in leaves]

    def error_errors(self, error: dict) -> list[str]:
        """What is wrong with the `error` member of an error answer; [] when fine."""
        return [e.message[:160] for e in self._cached_validator("#/error").iter_errors(error)]

    def previous_errors(self, object_type: str, previous: dict[str, Any]) -> list[str]:
        """What is wrong with an event's previous_attributes: some properties of such an object, with values that they
        could have had; in a hash only what changed. One that was not there before is told as null. [] when fine.
        """
        if object_type not in self.root["schemas"]:
            return [f"{object_type}: the contract has no such object"]
        return self._previous_errors({"$ref": "#/schemas/" + object_type}, previous, object_type)

    def _previous_errors(self, schema: dict[str, Any], previous: dict[str, Any], at: str) -> list[str]:
        holders = list(self._holders(schema))
        errors = []
        for key, value in previous.items():
            choices = [properties[key] for properties, _ in holders if key in properties]
            if value is None and any(key in properties and key not in required for properties, required in holders):
                continue
            if not choices:
                errors.append(f"{at}: there is no {key} to have changed")
            elif not any(self._quick.of(choice)(value) for choice in choices):
                inner = [self._previous_errors(c, value, f"{at}.{key}") for c in choices if isinstance(value, dict)]
                inner.sort(key=len)
                errors += inner[0] if inner else [f"{at}.{key}: it can never have been {value!r:.100}"]
        return errors

    def _holders(self, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """(properties, names of those that are always there) of each object that a value of this schema can be."""
        if "$ref" in schema:
            yield from self._holders(self._quick.schema_at(schema["$ref"]))
        for alternative in schema.get("anyOf", []):
            yield from self._holders(alternative)
        if "properties" in schema:
            yield schema["properties"], schema.get("required", [])
        elif isinstance(schema.get("additionalProperties"), dict):
            yield _AnyKey(schema["additionalProperties"]), []

    def _cached_validator(self, pointer: str) -> Draft202012Validator:
        if pointer not in self._validators:
            if not self._validators:
                # The schemas refer to each other as "#/schemas/x": let all resolve against one document.
                root = json.loads(json.dumps(self.root).replace('"#/', f'"{_SCHEMAS}#/'))
                self._registry = Registry().with_resource(
                    _SCHEMAS, Resource.from_contents(root, default_specification=DRAFT202012)
                )
            self._validators[pointer] = Draft202012Validator({"$ref": _SCHEMAS + pointer}, registry=self._registry)
        return self._validators[pointer]

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - one contract lives as long as the process
    def is_expandable(self, object_type: str, path: tuple[str, ...]) -> bool:
        """Whether the property at path of an object may be an id that `expand` turns into the object."""
        schema = self._property(object_type, path) or {}
        return "$ref" in schema or any("$ref" in alternative for alternative in schema.get("anyOf", []))

    def has_property(self, object_type: str, path: tuple[str, ...]) -> bool:
        return self._property(object_type, path) is not None

    def is_nullable(self, object_type: str, path: tuple[str, ...]) -> bool:
        return bool((self._property(object_type, path) or {}).get("nullable"))

    def _property(self, object_type: str, path: tuple[str, ...]) -> dict | None:
        schema = self.doc["schemas"].get(object_type, {})
        for key in path:
            schema = schema.get("properties", {}).get(key)
            if schema is None:
                return None
            schema = schema.get("items", schema) if schema.get("type") == "array" else schema
        return schema


def _answer_key(method: str, template: str) -> str:
    return f"{method.lower()} {template.replace('/', ':')}"


class _AnyKey(dict[str, Any]):
    """The properties of a hash of any keys (metadata)."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return self._schema


def _refuse_what_json_cannot_carry(value: Any, at: str, errors: list[dict]) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_what_json_cannot_carry(child, f"{at}[{key}]" if at else key, errors)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _refuse_what_json_cannot_carry(child, f"{at}[{index}]", errors)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        errors.append(err("parameter_invalid_integer", f"Invalid integer: {value}", at))
    elif isinstance(value, float) and not math.isfinite(value):
        errors.append(err(None, f"Invalid decimal: {value}", at))


@functools.cache
def load() -> Contract:
    """The contract, read once per process (it never changes)."""
    return Contract()
