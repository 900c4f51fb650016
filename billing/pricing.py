"""What a plan costs and what it says on the card. Pure functions; money in integer cents (USD)."""

from decimal import ROUND_HALF_UP, Decimal

from billing.models import Plan

MAX_MONTHS = 36
NANOCENTS = 10**9  # in a cent


def to_cents(amount: Decimal) -> int:
    """Dollars to cents, exactly. (`int(price * 100)` on floats is wrong for 4.6 % of prices.)"""
    return int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def nanocents_to_cents(nanocents: int) -> int:
    """Half a cent and more is a cent: as Stripe rounds a metered line, once for the whole bill."""
    return (nanocents + NANOCENTS // 2) // NANOCENTS


def price_cents(plan: Plan, months: int) -> int:
    """The price of `months` (1-36): the yearly price where the plan has one and 12 divides the months, else monthly."""
    if plan.price_yearly is not None and months % 12 == 0:
        return to_cents(plan.price_yearly) * (months // 12)
    return to_cents(plan.price_monthly) * months


def token_price_cents(plan: Plan) -> int:
    """What a million AI tokens cost under a plan; 0: nothing."""
    return to_cents(plan.ai_token_price_per_million or Decimal(0))


def interval_of(months: int) -> tuple[str, int]:
    """Stripe's recurring interval and count: (year, n/12) when 12 divides the months, else (month, n)."""
    return ("year", months // 12) if months % 12 == 0 else ("month", months)


def compare_per_month(cents: int, months: int, other_cents: int, other_months: int) -> int:
    """> 0: the first is dearer per month, < 0: cheaper, 0: the same. Without division, so exact."""
    return cents * other_months - other_cents * months


def trial_days(plan: Plan, amount_cents: int, *, had_one: bool) -> int:
    """The free days before the first charge: once per person, and none with what costs nothing."""
    return plan.trial_days if amount_cents and not had_one else 0


def yearly_saving_cents(plan: Plan) -> int:
    """What a year costs less than twelve months; 0 when nothing."""
    return max(0, to_cents(plan.price_monthly) * 12 - price_cents(plan, 12))


def feature_sentences(plan: Plan) -> list[str]:
    """What a customer reads: the limits, then the extra features. ["100 files", "25 MB per file", ...]"""
    sentences = [
        _limit(plan.file_limit, "{} file", "{} files", "Unlimited files"),
        _limit(plan.file_size_limit_mb, "{} MB per file", "{} MB per file", "Files of any size"),
        _limit(plan.ai_prompts_per_day, "{} AI prompt a day", "{} AI prompts a day", "Unlimited AI prompts"),
        _limit(
            plan.synthetic_rows_per_month,
            "{} synthetic row a month",
            "{} synthetic rows a month",
            "Unlimited synthetic rows",
        ),
    ]
    if plan.ai_token_price_per_million is not None:
        sentences.append(f"${plan.ai_token_price_per_million:,.2f} per million AI tokens")
    return sentences + [sentence for key, value in plan.features.items() if (sentence := _extra(key, value))]


def _limit(limit: int | None, one: str, many: str, unlimited: str) -> str:
    if limit is None:
        return unlimited
    return (one if limit == 1 else many).format(f"{limit:,}")


def _extra(key: str, value: object) -> str:
    """One entry of Plan.features as a sentence: {"support": "Email support"} reads "Email support", {"sso": true}
    reads "Sso", {"seats": 5} reads "Seats: 5"; false and null say nothing, nested values are not for customers."""
    name = key.replace("_", " ").strip()
    name = name[:1].upper() + name[1:]
    if isinstance(value, str):
        return value.strip()
    if value is True:
        return name
    if isinstance(value, (int, float)) and value is not False:
        return f"{name}: {value:,}"
    return ""
