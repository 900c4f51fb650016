"""What drf-spectacular cannot see in the views: what all operations share, and what each is called in a list."""

from typing import Any

# At the top of /api/docs.
INTRODUCTION = """\
What Datilio's single-page app and backends ask about plans, purchases and usage.

- **Who asks.** A person: `Authorization: Bearer <access token>` of `POST /api/auth/login`; `POST /api/auth/refresh`
  gives the next one for its cookie. A backend that meters: `Authorization: Api-Key <key>`, made with
  `manage.py create_api_key`.
- **Money** is in US dollars, **times** are in UTC.
- **Errors** are `application/problem+json` (RFC 9457): switch on `code`, show `detail`, tell us `request_id`.
- **Repeating a write.** Send an `Idempotency-Key` where it is listed: the same key and body get the first answer again.
- **429** says in `Retry-After` when to come back.
"""

# RFC 9457 as datilio/error_rendering.py writes it. Errors with more to say add members (`checkout_url`, `used`, ...).
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An error of this API (RFC 9457). Switch on `code`; show `detail`.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for the person in front of the screen."},
        "code": {"type": "string", "description": "Stable, snake_case."},
        "request_id": {"type": "string", "description": "Tell us this when you ask for help."},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "For `invalid_input`: what is wrong with which field.",
        },
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "additionalProperties": True,
}


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A POSTPROCESSING_HOOKS entry: the component Problem, as the default response of every operation."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    answer = {
        "description": "Any error.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"].setdefault("default", answer)
    return result


def name_operations(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A POSTPROCESSING_HOOKS entry: the first sentence of what describes an operation is its line in the list."""
    for methods in result["paths"].values():
        for operation in methods.values():
            first = operation.get("description", "").split("\n\n")[0].split(". ")[0]
            operation.setdefault("summary", " ".join(first.split()).rstrip("."))
    return result
