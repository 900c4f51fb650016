"""python -m stripe_sandbox.coverage [part of a path]: what is emulated of the contract, and what is refused.

Operation by operation and parameter by parameter, read from the tables that decide it when a request comes:

    POST /v1/refunds
        honours  amount charge metadata payment_intent reason
        refuses  currency customer instructions_email origin refund_application_fee reverse_transfer

A name with = takes that value only. Refused are 400 "not emulated"; whole operations 404.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import contract, resources  # noqa: F401  (importing the resources fills OPERATIONS)
from .operations import OPERATIONS, Operation

# Every operation takes these.
_EVERYWHERE = ("expand",)


@dataclass
class Coverage:
    """One operation of the contract."""

    method: str
    path: str
    emulated: bool
    honours: list[str]
    refuses: list[str]


def of_contract() -> Iterator[Coverage]:
    """All operations of the contract, in the order of their paths."""
    paths = contract.load().doc["paths"]
    for path in sorted(paths):
        for method, described in paths[path].items():
            operation = OPERATIONS.get((method, path))
            if operation is None:
                yield Coverage(method.upper(), path, False, [], [])
                continue
            honours = sorted(_shown(name, values) for name, values in operation.emulated.items())
            honours = [name for name in honours if name not in _EVERYWHERE]
            refuses = sorted(set(_refused(described.get("params") or {}, "", operation)))
            yield Coverage(method.upper(), path, True, honours, refuses)


def _shown(name: str, values: set[str] | None) -> str:
    return name if values is None else f"{name}={'|'.join(sorted(values))}"


def _refused(schema: dict[str, Any], at: str, operation: Operation) -> Iterator[str]:
    """The shortest names of what an operation's parameters have and the operation does not honour."""
    for alternative in schema.get("anyOf", []):
        yield from _refused(alternative, at, operation)
    if schema.get("type") == "array":
        yield from _refused(schema.get("items", {}), at, operation)
    for name, inner in (schema.get("properties") or {}).items():
        path = f"{at}.{name}" if at else name
        if path in operation.emulated:
            continue
        if any(known.startswith(path + ".") for known in operation.emulated):
            yield from _refused(inner, path, operation)
        else:
            yield path


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    for one in of_contract():
        if wanted not in one.path:
            continue
        print(f"{one.method} {one.path}" + ("" if one.emulated else "    not emulated"))
        for word, names in (("honours", one.honours), ("refuses", one.refuses)):
            if names:
                print(f"    {word}  {' '.join(names)}")


if __name__ == "__main__":
    main()
