"""https://docs.stripe.com/api/country_specs: of the account's own country, as far as anything here depends on it."""

from __future__ import annotations

from typing import Any

_EVERYBODY = ["business_profile.mcc", "business_profile.url", "business_type", "external_account"]
_EVERYBODY += ["tos_acceptance.date", "tos_acceptance.ip"]

COUNTRY_SPECS: list[dict[str, Any]] = [
    {
        "id": "US",
        "object": "country_spec",
        "default_currency": "usd",
        "supported_bank_account_currencies": {"usd": ["US"]},
        "supported_payment_currencies": ["usd"],
        "supported_payment_methods": ["ach", "card", "stripe"],
        "supported_transfer_countries": ["US"],
        "verification_fields": {
            "company": {"additional": [], "minimum": _EVERYBODY},
            "individual": {"additional": [], "minimum": _EVERYBODY},
        },
    }
]
