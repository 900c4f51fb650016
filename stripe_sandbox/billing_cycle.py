"""Billing periods: the anchor's arithmetic, and how Stripe writes an interval.

https://docs.stripe.com/billing/subscriptions/billing-cycle: every period begins at the anchor plus n
intervals; in a month that is too short it begins on the month's last day (anchor 31 January: 28 February, 31
March, 30 April).
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any


def boundary(anchor: int, recurring: dict[str, Any], n: int) -> int:
    """The start of the nth period after the anchor (n = 0 is the anchor itself), a Unix timestamp."""
    count = recurring["interval_count"] * n
    start = datetime.fromtimestamp(anchor, UTC)
    if recurring["interval"] == "day":
        return int((start + timedelta(days=count)).timestamp())
    if recurring["interval"] == "week":
        return int((start + timedelta(weeks=count)).timestamp())
    months = count * (12 if recurring["interval"] == "year" else 1)
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def interval_text(recurring: dict[str, Any]) -> str:
    """'month', 'every 3 months': as Stripe words it after a price."""
    interval, count = recurring["interval"], recurring["interval_count"]
    return interval if count == 1 else f"every {count} {interval}s"


_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "cad": "CA$", "aud": "A$"}
# https://docs.stripe.com/currencies#zero-decimal
_ZERO_DECIMAL = {
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
}
_ZERO_DECIMAL |= {"xof", "xpf"}


def money(amount: int, currency: str) -> str:
    """An amount in the currency's smallest unit, as a person reads it: $29.00, ¥500."""
    symbol = _SYMBOLS.get(currency, currency.upper() + " ")
    sign = "-" if amount < 0 else ""
    if currency in _ZERO_DECIMAL:
        return f"{sign}{symbol}{abs(amount):,}"
    return f"{sign}{symbol}{abs(amount) // 100:,}.{abs(amount) % 100:02d}"
