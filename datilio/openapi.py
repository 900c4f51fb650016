"""What drf-spectacular cannot see in the views: that every operation answers its errors alike."""

from typing import Any

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
