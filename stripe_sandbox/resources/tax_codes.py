"""https://docs.stripe.com/tax/tax-codes: the few of several hundred that what is sold here could carry."""

from __future__ import annotations

from typing import Any


def _code(code: str, name: str, description: str) -> dict[str, Any]:
    return {"id": code, "object": "tax_code", "description": description, "name": name}


TAX_CODES = [
    _code("txcd_00000000", "Nontaxable", "Any nontaxable good or service."),
    _code(
        "txcd_10000000",
        "General - Electronically Supplied Services",
        "A digital service provided mainly through the internet with minimal human involvement.",
    ),
    _code("txcd_10103000", "Software as a service (SaaS) - personal use", "Software used online, for personal use."),
    _code("txcd_10103001", "Software as a service (SaaS) - business use", "Software used online, for business use."),
    _code("txcd_20030000", "General - Services", "A service that no other code describes."),
    _code("txcd_99999999", "General - Tangible Goods", "A physical good that no other code describes."),
]
