"""The table of emulated operations: (method, path) -> function, and which parameters it really honours.

A resource file registers its functions:

    @operation("post", "/v1/customers", "email name metadata invoice_settings.default_payment_method")
    def create(sandbox, params): ...

The words are the parameters that are emulated, dotted into sub-objects (array indexes left out). `name=value`
admits a parameter with that one value only, for options whose other values would change the result. What the
contract knows and the words do not is answered with 400 "not emulated" rather than swallowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import not_emulated


@dataclass
class Operation:
    function: Callable[..., Any]
    emulated: dict[str, set[str] | None]  # dotted parameter -> admitted values, None for any

    def check_emulated(self, params: dict[str, Any]) -> None:
        """Raise 400 for a parameter that Stripe would honour and the sandbox would not."""
        for path, shown, value in _leaves(params, "", ""):
            admitted = self._admitted(path)
            if admitted is None:
                continue
            if not admitted:
                raise not_emulated(f"The parameter {shown}", shown)
            if _as_text(value) not in admitted:
                raise not_emulated(f"{shown}={_as_text(value)[:100]}", shown)

    def _admitted(self, path: str) -> set[str] | None:
        while path:
            if path in self.emulated:
                return self.emulated[path]
            path = path.rpartition(".")[0]
        return set()


OPERATIONS: dict[tuple[str, str], Operation] = {}


def operation(method: str, path: str, emulated: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function (sandbox, params, *ids in the path) that carries out this operation.

    It returns a document, a lists.Page or a dict to send as it is, and raises errors.StripeError.
    """
    table: dict[str, set[str] | None] = {"expand": None}
    for word in emulated.split():
        name, _, value = word.partition("=")
        if value:
            table.setdefault(name, set()).add(value)  # type: ignore[union-attr]
        else:
            table[name] = None

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        assert (method, path) not in OPERATIONS, f"{method} {path} is registered twice"
        OPERATIONS[method, path] = Operation(function, table)
        return function

    return register


def _leaves(value: Any, path: str, shown: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}" if path else key, f"{shown}[{key}]" if shown else key)
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _leaves(child, path, f"{shown}[{index}]")
    elif path:
        yield path, shown, value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
