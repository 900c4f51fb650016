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


def next_boundary(anchor: int, recurring: dict[str, Any], after: int) -> int:
    """The first boundary later than `after`, counted from the anchor."""
    n = _periods_until(anchor, recurring, after)
    while (moment := boundary(anchor, recurring, n)) <= after:
        n += 1
    return moment


def last_boundary(anchor: int, recurring: dict[str, Any], before: int) -> int:
    """The last boundary earlier than `before`, counted from the anchor; the one before the anchor where `before` is
    not later than the anchor.
    """
    if before <= anchor:
        return boundary(anchor, recurring, -1)
    n = max(0, _periods_until(anchor, recurring, before) - 1)
    while boundary(anchor, recurring, n + 1) < before:
        n += 1
    return boundary(anchor, recurring, n)


def _periods_until(anchor: int, recurring: dict[str, Any], moment: int) -> int:
    """About how many periods there are: never too many, and a few steps too few after years."""
    days = {"day": 1, "week": 7, "month": 31, "year": 366}[recurring["interval"]]
    return max(0, (moment - anchor) // (days * 86400 * recurring["interval_count"]))


def prorated(amount: int, seconds: int, whole: int) -> int:
    """The share of an amount for so many of the whole period's seconds, to the nearest cent.

    Halves away from zero, so that a credit is the exact opposite of its debit.
    """
    sign = -1 if amount < 0 else 1
    return sign * ((2 * abs(amount) * seconds + whole) // (2 * whole))


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
