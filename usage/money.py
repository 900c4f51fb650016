"""Exact money: nanocents (10^-9 cents) inside, dollars at the edge.

A million tokens cost P cents at factor 1.0, factors F are thousandths: so n tokens cost n * F * P nanocents, always a
whole number. Pure functions.
"""

from decimal import ROUND_HALF_UP, Decimal

from billing.pricing import NANOCENTS, nanocents_to_cents

_IN_A_DOLLAR = 100 * NANOCENTS


def cost_nanocents(tokens: int, factor: int, price_cents: int) -> int:
    return tokens * factor * price_cents


def dollars(nanocents: int) -> float:
    """A JSON number of dollars with at most two decimals, rounded as a bill would be."""
    return nanocents_to_cents(nanocents) / 100


def exact_dollars(nanocents: int) -> str:
    """All digits, at least two decimals: "0.0042", "3.00"."""
    text = f"{Decimal(nanocents) / _IN_A_DOLLAR:.11f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def shown_dollars(nanocents: int) -> str:
    """For people: two decimals from a cent on; less than that with two digits that say something: $3.21, $0.0042."""
    amount = Decimal(nanocents) / _IN_A_DOLLAR
    if not amount or amount >= Decimal("0.01"):
        return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    places = Decimal(1).scaleb(max(amount.adjusted() - 1, -11))
    return f"${amount.quantize(places, ROUND_HALF_UP):f}"
