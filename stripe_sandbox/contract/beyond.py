"""Lists at Stripe of which contract.json tells nothing, and which an account without such things can answer truthfully.

Tools that copy an account (dj-stripe's djstripe_sync_models) ask for all of them. Only the lists are known: whatever
would make such an object stays an unrecognized URL.
"""

from __future__ import annotations

from typing import Any

# path -> the type of its objects
LISTS = {
    "/v1/application_fees": "application_fee",
    "/v1/country_specs": "country_spec",
    "/v1/file_links": "file_link",
    "/v1/files": "file",
    "/v1/identity/verification_reports": "identity.verification_report",
    "/v1/identity/verification_sessions": "identity.verification_session",
    "/v1/issuing/authorizations": "issuing.authorization",
    "/v1/issuing/cardholders": "issuing.cardholder",
    "/v1/issuing/cards": "issuing.card",
    "/v1/issuing/disputes": "issuing.dispute",
    "/v1/issuing/transactions": "issuing.transaction",
    "/v1/payouts": "payout",
    "/v1/radar/early_fraud_warnings": "radar.early_fraud_warning",
    "/v1/reviews": "review",
    "/v1/shipping_rates": "shipping_rate",
    "/v1/tax_codes": "tax_code",
    "/v1/transfers": "transfer",
}


def paths() -> dict[str, dict[str, Any]]:
    """The lists in the form of contract.json's `paths`."""
    return {path: {"get": _list_of(object_type)} for path, object_type in LISTS.items()}


def _list_of(object_type: str) -> dict[str, Any]:
    element = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "object": {"type": "string", "enum": [object_type]}},
        "required": ["id", "object"],
    }
    return {
        "op": "list",
        "params": {
            "type": "object",
            "properties": {
                "ending_before": {"type": "string"},
                "expand": {"type": "array", "items": {"type": "string"}},
                "limit": {"type": "integer"},
                "starting_after": {"type": "string"},
            },
            # Whatever else they filter by is not known here: it is "not emulated", rather than "unknown".
            "additionalProperties": True,
        },
        "returns": {
            "type": "object",
            "properties": {
                "object": {"type": "string", "enum": ["list"]},
                "data": {"type": "array", "items": element},
                "has_more": {"type": "boolean"},
                "url": {"type": "string"},
            },
            "required": ["data", "has_more", "object", "url"],
        },
    }
