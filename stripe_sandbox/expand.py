"""expand[]: turn ids into the objects they name. https://docs.stripe.com/api/expanding_objects"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import invalid

if TYPE_CHECKING:
    from .sandbox import Sandbox

MAX_LEVELS = 4


def expand(sandbox: Sandbox, shown: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """Expand a rendered object (or list) in place and return it. Raises 400 for what cannot be expanded."""
    for index, path in enumerate(paths):
        keys = path.split(".")
        if len(keys) > MAX_LEVELS:
            raise invalid(
                f"You cannot expand more than 4 levels of a property. You attempted to expand {path[:200]}.",
                f"expand[{index}]",
            )
        _expand(sandbox, shown, keys, (), shown.get("object", ""), path, f"expand[{index}]")
    return shown


def _expand(
    sandbox: Sandbox,
    holder: dict[str, Any],
    keys: list[str],
    within: tuple[str, ...],
    object_type: str,
    path: str,
    param: str,
) -> None:
    """Expand keys[0] of `holder`, the object of this type or a hash `within` it, then go on with the rest."""
    from .resources import INCLUDABLE  # resources import errors and lists, not this module

    key, rest = keys[0], keys[1:]
    if key == "data" and object_type in ("list", "search_result"):
        if not rest:
            return
        holder["data"] = [_copy(element) for element in holder["data"]]
        for element in holder["data"]:
            _expand(sandbox, element, rest, (), element["object"], path, param)
        return
    here = (*within, key)
    include = INCLUDABLE.get((object_type, ".".join(here)))
    value = holder.get(key)
    if include is not None:
        if value is None or isinstance(value, str):
            value = include(sandbox, holder)
            if value is None and not sandbox.contract.is_nullable(object_type, here):
                holder.pop(key, None)  # Stripe leaves out what it cannot show as null (coupon.applies_to)
                return
            holder[key] = value
    elif sandbox.contract.is_expandable(object_type, here):
        value = holder[key] = _resolved(sandbox, value)
    elif not (isinstance(value, dict) and rest):
        if isinstance(value, dict) and "object" in value:
            return  # already there, like a price inside a subscription item
        if value is None and rest and sandbox.contract.has_property(object_type, here):
            return  # nothing there to go into
        raise invalid(f"This property cannot be expanded ({path[:200]}).", param)
    if not rest:
        return
    # What is expanded is a copy: the documents themselves keep their ids.
    value = holder[key] = [_copy(element) for element in value] if isinstance(value, list) else _copy(value)
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, dict):
            inner = "object" in child
            _expand(
                sandbox,
                child,
                rest,
                () if inner else here,
                child["object"] if inner else object_type,
                path,
                param,
            )


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _resolved(sandbox: Sandbox, value: Any) -> Any:
    if isinstance(value, list):
        return [_resolved(sandbox, element) for element in value]
    if isinstance(value, str):
        document = sandbox.store.get(value)
        return sandbox.render(document) if document else value
    return value
