"""https://docs.stripe.com/api/accounts (the one account this sandbox plays) and https://docs.stripe.com/api/balance"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lists import PAGING, Page, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def ensure(sandbox: Sandbox) -> None:
    """Make the account of a fresh database; its name follows the settings."""
    name = sandbox.settings.business_name
    for account in sandbox.store.find("account"):
        sandbox.change(account, changes={"business_profile": {**account["business_profile"], "name": name}})
        return
    sandbox.new(
        "account",
        {
            "business_profile": {
                "annual_revenue": None,
                "mcc": None,
                "minority_owned_business_designation": None,
                "name": name,
                "support_address": None,
                "support_email": None,
                "support_phone": None,
                "support_url": None,
                "url": None,
            },
            "business_type": None,
            "capabilities": {"card_payments": "active", "transfers": "active"},
            "charges_enabled": True,
            "country": "US",
            "default_currency": "usd",
            "details_submitted": True,
            "email": None,
            "metadata": {},
            "payouts_enabled": True,
            "settings": {
                "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
                "card_payments": {
                    "statement_descriptor_prefix": None,
                    "statement_descriptor_prefix_kana": None,
                    "statement_descriptor_prefix_kanji": None,
                },
                "dashboard": {"display_name": name, "timezone": "Etc/UTC"},
                "payments": {
                    "statement_descriptor": "LOCAL STRIPE",
                    "statement_descriptor_kana": None,
                    "statement_descriptor_kanji": None,
                    "statement_descriptor_prefix_kana": None,
                    "statement_descriptor_prefix_kanji": None,
                },
            },
            "type": "standard",
        },
    )


@operation("get", "/v1/account")
def retrieve_current(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    return sandbox.store.find("account")[0]


@operation("get", "/v1/accounts/{account}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], account: str) -> Document:
    return sandbox.get("account", account, in_path=True)


@operation("get", "/v1/accounts", PAGING)
def list_connected(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    """Connected accounts; this account has none."""
    return page(sandbox, "account", params, "/v1/accounts", {"id": ""})


@operation("get", "/v1/balance")
def retrieve_balance(sandbox: Sandbox, params: dict[str, Any]) -> dict[str, Any]:
    """Sums of the balance transactions: pending until they become available."""
    now, available, pending = sandbox.clock.now(), {"usd": 0}, {"usd": 0}
    for transaction in sandbox.store.find("balance_transaction"):
        sums = available if transaction["available_on"] <= now else pending
        sums[transaction["currency"]] = sums.get(transaction["currency"], 0) + transaction["net"]
    return {
        "object": "balance",
        "available": _amounts(available),
        "livemode": False,
        "pending": _amounts(pending),
    }


def _amounts(sums: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}} for currency, amount in sums.items()
    ]
