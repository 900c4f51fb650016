"""https://docs.stripe.com/search: the query language, and the searchable resources of the contract.

A clause is field, operator, value: `email:"ada@example.com"`, `metadata["plan"]:"pro"`, `total>1000`,
`name~"ada"`, each with a `-` before it to turn it round. Clauses are joined by AND (or a space) or by OR,
never by both. What was changed can be found at once; at Stripe it takes up to a minute.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import StripeError, invalid
from ..lists import SearchPage, checked_limit
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_MOST_CLAUSES = 10
_SHORTEST_SUBSTRING = 3

# resource -> field -> kind: what https://docs.stripe.com/search#query-fields-for-... lists
_FIELDS: dict[str, dict[str, str]] = {
    "customers": {"created": "number", "email": "text", "name": "text", "phone": "text"},
    "invoices": {
        "created": "number",
        "currency": "text",
        "customer": "text",
        "last_finalization_error_code": "text",
        "last_finalization_error_type": "text",
        "number": "text",
        "receipt_number": "text",
        "status": "text",
        "subscription": "text",
        "total": "number",
    },
    "prices": {
        "active": "boolean",
        "currency": "text",
        "lookup_key": "text",
        "product": "text",
        "type": "text",
    },
    "products": {
        "active": "boolean",
        "description": "text",
        "name": "text",
        "shippable": "boolean",
        "url": "text",
    },
    "subscriptions": {"canceled_at": "number", "created": "number", "status": "text"},
}
_PATHS = {
    "last_finalization_error_code": "last_finalization_error.code",
    "last_finalization_error_type": "last_finalization_error.type",
    "subscription": "parent.subscription_details.subscription",
}
_OBJECTS = {name: name[:-1] for name in _FIELDS}

_CLAUSE = re.compile(
    r"""\s*(?P<minus>-)?(?P<field>[a-z_]+)
        (?:\[\s*(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\])?
        \s*(?P<operator>>=|<=|>|<|:|~)\s*
        (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"']+)(?=\s|$)""",
    re.VERBOSE | re.IGNORECASE,
)
_JOIN = re.compile(r"\s+(AND|OR)(?=\s)", re.IGNORECASE)


@dataclass
class _Clause:
    field: str
    key: str | None
    operator: str
    value: str | None  # None: null
    negated: bool


def _unparsable() -> StripeError:
    return invalid(
        'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` to query '
        'for metadata or key:"value" to query for other fields.',
        "query",
    )


def _parsed(query: str) -> tuple[list[_Clause], str]:
    """Return (clauses, "AND" or "OR"). Raises 400."""
    clauses: list[_Clause] = []
    joins: set[str] = set()
    rest = query.strip()
    while rest:
        match = _CLAUSE.match(rest)
        if match is None:
            raise _unparsable()
        raw = match["value"]
        value = _unquoted(raw) if raw[0] in "\"'" else (None if raw.lower() == "null" else raw)
        key = _unquoted(match["key"]) if match["key"] else None
        clauses.append(_Clause(match["field"].lower(), key, match["operator"], value, bool(match["minus"])))
        rest = rest[match.end() :]
        join = _JOIN.match(rest)
        if join:
            joins.add(join[1].upper())
            rest = rest[join.end() :]
            if not rest.strip():
                raise _unparsable()
        elif rest.strip():
            joins.add("AND")
        else:
            rest = ""
    if not clauses:
        raise _unparsable()
    if len(joins) > 1:
        raise invalid("You cannot combine AND and OR in one search query.", "query")
    if len(clauses) > _MOST_CLAUSES:
        raise invalid(f"A search query can have up to {_MOST_CLAUSES} clauses.", "query")
    return clauses, joins.pop() if joins else "AND"


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _test(resource: str, clause: _Clause) -> Callable[[Document], bool]:
    """What a document must pass for this clause. Raises 400 for a field or operator that it cannot be."""
    if clause.field == "metadata":
        if clause.key is None or clause.operator not in ":~":
            raise _unparsable()
        key, kind = clause.key, "text"

        def read(document: Document) -> Any:
            return document["metadata"].get(key)

    elif clause.field in _FIELDS[resource] and clause.key is None:
        kind = _FIELDS[resource][clause.field]
        path = _PATHS.get(clause.field, clause.field).split(".")

        def read(document: Document) -> Any:
            value: Any = document
            for part in path:
                value = (value or {}).get(part)
            return value

    else:
        raise invalid(
            f"Field `{clause.field[:80]}` is an unsupported search field for resource `{resource}`. See "
            f"http://stripe.com/docs/search#query-fields-for-{resource} for a list of supported fields.",
            "query",
        )
    matches = _comparison(kind, clause)
    return lambda document: matches(read(document)) != clause.negated


def _comparison(kind: str, clause: _Clause) -> Callable[[Any], bool]:
    operator, wanted = clause.operator, clause.value
    if wanted is None:
        if operator != ":":
            raise _unparsable()
        return lambda value: value is None
    if kind == "number":
        if not re.fullmatch(r"-?\d{1,15}", wanted, re.ASCII) or operator == "~":
            raise invalid(f"The field `{clause.field}` is compared with whole numbers.", "query")
        number = int(wanted)
        compare: dict[str, Callable[[int], bool]] = {
            ":": lambda value: value == number,
            ">": lambda value: value > number,
            "<": lambda value: value < number,
            ">=": lambda value: value >= number,
            "<=": lambda value: value <= number,
        }
        return lambda value: value is not None and compare[operator](value)
    if operator not in ":~" or (kind == "boolean" and operator == "~"):
        raise invalid(f"The operator `{operator}` is not supported for the field `{clause.field}`.", "query")
    text = wanted.lower()
    if kind == "boolean":
        if text not in ("true", "false"):
            raise invalid(f"The field `{clause.field}` is 'true' or 'false'.", "query")
        return lambda value: value is (text == "true")
    if operator == "~":
        if len(text) < _SHORTEST_SUBSTRING:
            raise invalid(f"Substring matching needs at least {_SHORTEST_SUBSTRING} characters.", "query")
        return lambda value: value is not None and text in value.lower()
    return lambda value: value is not None and value.lower() == text


def _search(sandbox: Sandbox, resource: str, params: dict[str, Any]) -> SearchPage:
    """One page of what matches, the newest first."""
    clauses, join = _parsed(params["query"])
    tests = [_test(resource, clause) for clause in clauses]
    together = all if join == "AND" else any
    limit, object_type = checked_limit(params), _OBJECTS[resource]
    where = []
    if params.get("page"):
        where.append(("seq < ?", _seq(sandbox, params["page"], object_type)))
    found: list[Document] = []
    for document in sandbox.store.find(object_type, where=where, oldest_first=False):
        if together(test(document) for test in tests):
            found.append(document)
            if len(found) > limit:
                break
    more, found = len(found) > limit, found[:limit]
    next_page = base64.urlsafe_b64encode(found[-1]["id"].encode()).decode() if more else None
    return SearchPage(found, more, f"/v1/{resource}/search", next_page)


def _seq(sandbox: Sandbox, token: str, object_type: str) -> int:
    try:
        seq = sandbox.store.seq_of(base64.urlsafe_b64decode(token.encode("ascii")).decode(), object_type)
    except (binascii.Error, ValueError):
        seq = None
    if seq is None:
        raise invalid("Invalid `page`: pass the `next_page` of an earlier search.", "page")
    return seq


@operation("get", "/v1/customers/search", "limit page query")
def search_customers(sandbox: Sandbox, params: dict[str, Any]) -> SearchPage:
    return _search(sandbox, "customers", params)


@operation("get", "/v1/invoices/search", "limit page query")
def search_invoices(sandbox: Sandbox, params: dict[str, Any]) -> SearchPage:
    return _search(sandbox, "invoices", params)


@operation("get", "/v1/prices/search", "limit page query")
def search_prices(sandbox: Sandbox, params: dict[str, Any]) -> SearchPage:
    return _search(sandbox, "prices", params)


@operation("get", "/v1/products/search", "limit page query")
def search_products(sandbox: Sandbox, params: dict[str, Any]) -> SearchPage:
    return _search(sandbox, "products", params)


@operation("get", "/v1/subscriptions/search", "limit page query")
def search_subscriptions(sandbox: Sandbox, params: dict[str, Any]) -> SearchPage:
    return _search(sandbox, "subscriptions", params)
