"""A customer's beginning. https://docs.stripe.com/api/customers"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from .. import ids
from ..errors import invalid
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def new(sandbox: Sandbox, **values: Any) -> Document:
    """Insert a customer; makes no event (Checkout tells it later than it makes it)."""
    return sandbox.new(
        "customer",
        {
            "address": None,
            "balance": 0,
            "currency": None,
            "customer_account": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": _new_prefix(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
            **values,
        },
    )


def _new_prefix() -> str:
    return "".join(c for c in ids.token(40).upper() if c in string.ascii_uppercase + string.digits)[:8]


def check_details(params: dict[str, Any]) -> None:
    """Raises 400 for an email, name, phone or description that Stripe does not take."""
    email = params.get("email")
    if email and ("@" not in email or email.startswith("@") or email.endswith("@") or " " in email):
        raise invalid(f"Invalid email address: {email[:200]}", "email", "email_invalid")
    for key, longest in (("email", 512), ("name", 256), ("phone", 20), ("description", 5000)):
        if len(params.get(key) or "") > longest:
            raise invalid(f"Invalid string: {params[key][:40]}...; must be at most {longest} characters", key)


def address(given: Any) -> dict[str, Any] | None:
    """An address with all of its parts, None for none."""
    if not given:
        return None
    return {key: given.get(key) or None for key in ("city", "country", "line1", "line2", "postal_code", "state")}


def no_details() -> dict[str, Any]:
    """checkout.session.customer_details before anything is known."""
    return {
        "address": None,
        "business_name": None,
        "email": None,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
