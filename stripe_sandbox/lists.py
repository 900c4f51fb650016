"""Lists with cursors, newest first. https://docs.stripe.com/api/pagination"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import invalid, no_such
from .store import Document

if TYPE_CHECKING:
    from .sandbox import Sandbox

# What every list takes; resources name only their own filters.
PAGING = "limit starting_after ending_before"

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass
class Page:
    """One page of a list, to be rendered by app.py."""

    data: list[Document]
    has_more: bool
    url: str


@dataclass
class SearchPage(Page):
    """One page of what a search found; `next_page` is the cursor of the next."""

    next_page: str | None


def page(
    sandbox: Sandbox,
    object_type: str,
    params: dict[str, Any],
    url: str,
    equal: dict[str, Any] | None = None,
    where: list[tuple[str, Any]] | None = None,
) -> Page:
    """Return one page of the objects with these values (dotted path -> value).

    Reads limit, starting_after, ending_before and created from `params`. Raises 400 for a limit outside 1-100
    and for an unknown cursor.
    """
    limit = checked_limit(params)
    conditions = list(where or []) + created_conditions(params.get("created"))
    backwards = "ending_before" in params
    for name, comparison in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            seq = sandbox.store.seq_of(params[name], object_type)
            if seq is None:
                raise no_such(object_type, params[name], name)
            conditions.append((f"seq {comparison} ?", seq))
    found = sandbox.store.find(object_type, equal, where=conditions, oldest_first=backwards, limit=limit + 1)
    has_more, found = len(found) > limit, found[:limit]
    return Page(found[::-1] if backwards else found, has_more, url)


def filters(params: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those of the named parameters that were given, for a list that filters by properties of these names."""
    return {name: params[name] for name in names if name in params}


def slice_of(documents: list[Document], params: dict[str, Any], url: str, object_type: str) -> Page:
    """A page of a short list that keeps the order as given (line items); same parameters."""
    limit = checked_limit(params)
    positions = {document["id"]: index for index, document in enumerate(documents)}
    start, end = 0, len(documents)
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in positions:
            raise no_such(object_type, params[name], name)
    if "starting_after" in params:
        start = positions[params["starting_after"]] + 1
    if "ending_before" in params:
        end = positions[params["ending_before"]]
        return Page(documents[max(start, end - limit) : end], end - limit > start, url)
    return Page(documents[start : start + limit], end > start + limit, url)


def checked_limit(params: dict[str, Any]) -> int:
    limit = params.get("limit", 10)
    if limit > 100:
        raise invalid(
            f"Invalid integer: {limit}. This value must be less than or equal to 100.",
            "limit",
            "parameter_invalid_integer",
        )
    if limit < 1:
        raise invalid("This value must be greater than or equal to 1.", "limit", "parameter_invalid_integer")
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You can only use one of `starting_after` and `ending_before`.", "ending_before")
    return limit


def created_conditions(created: Any) -> list[tuple[str, Any]]:
    """created=5, or created[gte]=5 and its siblings."""
    if created is None:
        return []
    if not isinstance(created, dict):
        return [("created = ?", created)]
    return [(f"created {_COMPARISONS[name]} ?", value) for name, value in created.items()]


def embedded(data: Sequence[dict[str, Any]], url: str, has_more: bool = False) -> dict[str, Any]:
    """A list inside another object."""
    return {"object": "list", "data": list(data), "has_more": has_more, "url": url}
