"""What reported usage costs: the lines of an invoice for metered prices.

Invoicing (lifecycle/invoicing.py) calls `metered_lines` for every subscription item whose price `is_metered`,
with the period that has ended: usage is billed afterwards, while licensed items are billed ahead. As at
Stripe the draft of a renewal takes in usage that is reported late until it is finalized (an hour later), so
invoicing asks once more then. In flexible billing mode a subscription that is only metered begins without an
invoice and without a line of zero: ask for lines at renewals, not at the start.
https://docs.stripe.com/billing/subscriptions/usage-based/pricing-models
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from ..billing_cycle import interval_text, money
from ..store import Document
from . import meters

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@dataclass(frozen=True)
class UsageLine:
    """One line for an invoice: what invoicing needs to make a `line_item` of it."""

    description: str
    quantity: int
    quantity_decimal: str
    amount: int
    unit_amount_decimal: str | None


def is_metered(price: Document) -> bool:
    return (price["recurring"] or {}).get("usage_type") == "metered"


def metered_lines(sandbox: Sandbox, subscription_item: Document, period_start: int, period_end: int) -> list[UsageLine]:
    """The lines for what the item's customer used in period_start <= timestamp < period_end.

    One line for a price per unit or by volume (one of zero when nothing was used), one for each tier that was
    reached and one for each flat fee of a graduated price. [] for an item that is not metered.
    """
    price = sandbox.get("price", subscription_item["price"])
    if not is_metered(price):
        return []
    subscription = sandbox.get("subscription", subscription_item["subscription"])
    meter = sandbox.get("billing.meter", price["recurring"]["meter"])
    used = meters.usage(sandbox, meter, subscription["customer"], period_start, period_end)
    product = sandbox.store.get(price["product"]) or {}
    return lines_for(price, used, product.get("name", "Deleted product"))


def lines_for(price: Document, used: Decimal, name: str) -> list[UsageLine]:
    """The lines that this much usage of a price gives."""
    if price["billing_scheme"] == "per_unit":
        unit = Decimal(price["unit_amount_decimal"])
        transform = price["transform_quantity"]
        billed, per = used, ""
        if transform:
            rounding = ROUND_CEILING if transform["round"] == "up" else ROUND_FLOOR
            billed = (used / transform["divide_by"]).to_integral_value(rounding)
            per = f" per {transform['divide_by']}"
        text = f"{_plain(used)} × {name} (at {_each(price, unit)}{per} / {interval_text(price['recurring'])})"
        return [_line(text, used, billed * unit, unit)]
    return _graduated(price, used, name) if price["tiers_mode"] == "graduated" else _volume(price, used, name)


def _graduated(price: Document, used: Decimal, name: str) -> list[UsageLine]:
    """Each tier prices the units that fall into it; a flat fee is due once its tier is reached."""
    lines, below = [], Decimal(0)
    interval = interval_text(price["recurring"])
    for number, tier in enumerate(price["_tiers"], 1):
        if number > 1 and used <= below:
            break
        top = used if tier["up_to"] is None else min(used, Decimal(tier["up_to"]))
        unit, flat = _amounts(tier)
        if unit is not None or flat is None:
            unit = unit or Decimal(0)
            text = f"{_plain(top - below)} × {name} (Tier {number} at {_each(price, unit)} / {interval})"
            lines.append(_line(text, top - below, (top - below) * unit, unit))
        if flat:
            text = f"{name} (Tier {number} flat fee at {_each(price, flat)} / {interval})"
            lines.append(_line(text, Decimal(1), flat, flat))
        below = top
        if tier["up_to"] is None or used <= tier["up_to"]:
            break
    return lines


def _volume(price: Document, used: Decimal, name: str) -> list[UsageLine]:
    """The tier that the whole usage reaches prices all of it."""
    tiers = enumerate(price["_tiers"], 1)
    number, tier = next((n, tier) for n, tier in tiers if tier["up_to"] is None or used <= tier["up_to"])
    interval = interval_text(price["recurring"])
    unit, flat = _amounts(tier)
    unit = unit or Decimal(0)
    text = f"{_plain(used)} × {name} (Tier {number} at {_each(price, unit)} / {interval})"
    lines = [_line(text, used, used * unit, unit)]
    if flat:
        text = f"{name} (Tier {number} flat fee at {_each(price, flat)} / {interval})"
        lines.append(_line(text, Decimal(1), flat, flat))
    return lines


def _amounts(tier: dict[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    """(unit amount, flat amount) of a tier, None for what it does not have."""
    unit, flat = tier["unit_amount_decimal"], tier["flat_amount_decimal"]
    return (None if unit is None else Decimal(unit)), (None if flat is None else Decimal(flat))


def _line(description: str, quantity: Decimal, amount: Decimal, unit: Decimal) -> UsageLine:
    return UsageLine(
        description,
        int(quantity.to_integral_value(ROUND_HALF_UP)),
        _plain(quantity),
        int(amount.to_integral_value(ROUND_HALF_UP)),
        _plain(unit),
    )


def _plain(value: Decimal) -> str:
    """Without exponent and trailing zeros: 100, 0.05."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _each(price: Document, amount: Decimal) -> str:
    """$0.05; fractions of a cent with all their digits: $0.00025."""
    currency = price["currency"]
    if amount == amount.to_integral_value():
        return money(int(amount), currency)
    zero = money(0, currency)  # tells the symbol and how many digits the currency has
    symbol, digits = zero.partition("0")[0], 2 if zero.endswith("0.00") else 0
    return symbol + _plain(amount.scaleb(-digits))
