"""What bills AI tokens at Stripe: one meter that adds up money, and a price of it for each length of a period.

The meter counts nanocents (10^-9 cents), what the tokens cost by our own rates, and its price is one nanocent a unit:
so a change of plan or of a model's factor never touches what was used before.
docs/decisions/0015-ai-tokens-cost-money.md says why.
"""

from billing import stripe_gateway
from billing.models import MeteredPrice, PlanPrice, UserPlan
from billing.pricing import interval_of

EVENT_NAME = "datilio_ai_nanocents"
# In cents; Stripe takes twelve decimals.
UNIT_PRICE = "0.000000001"
# What customers read at Checkout and on Stripe's invoices. The quantity beside it is in nanocents, which no name can
# make plain: our own pages show model, rate and tokens.
_PRODUCT = "AI use"


def ensure_metered_price(months: int) -> MeteredPrice:
    """The metered Price of a period of so many months: ours if known, found at Stripe by its lookup key, or made now.

    Not under a lock: two at once ask Stripe with one idempotency key and store one row. Raises StripeUnavailable.
    """
    known = MeteredPrice.objects.filter(months=months).first()
    if known:
        return known
    lookup_key = f"{EVENT_NAME}-{months}m"
    price = stripe_gateway.find_price(lookup_key)
    if price is None:
        meter = stripe_gateway.find_meter(EVENT_NAME) or stripe_gateway.create_meter(
            event_name=EVENT_NAME, display_name="AI tokens (10^-9 cents)"
        )
        interval, count = interval_of(months)
        price = stripe_gateway.create_metered_price(
            meter_id=meter.id,
            product_name=_PRODUCT,
            unit_amount_decimal=UNIT_PRICE,
            interval=interval,
            interval_count=count,
            lookup_key=lookup_key,
        )
    row, _ = MeteredPrice.objects.get_or_create(
        months=months,
        defaults={"stripe_price_id": price["id"], "stripe_meter_id": price["recurring"]["meter"]},
    )
    return row


def metered_price_beside(price: PlanPrice, live: UserPlan | None = None) -> str:
    """The id of the metered Price that belongs on a subscription with `price`; "" where tokens cost nothing.

    live: what becomes that subscription. What bills tokens there stays even beside a plan without a token price: were
    it removed, Stripe would not bill what was used before.
    """
    if not price.token_price_cents and not (live and live.stripe_metered_item_id):
        return ""
    return ensure_metered_price(price.months).stripe_price_id


def is_for_usage(line: object) -> bool:
    """Does a line of an invoice bill usage?"""
    details = line["pricing"] and line["pricing"]["price_details"]  # type: ignore[index]
    return bool(details) and MeteredPrice.objects.filter(stripe_price_id=details["price"]).exists()


def words_of(line: object) -> str:
    """What a line of an invoice is for. Stripe's words for usage count nanocents."""
    return "AI tokens" if is_for_usage(line) else line["description"] or ""  # type: ignore[index]


def usage_cents(invoice: object) -> int:
    """What an invoice asks for usage, after its discounts."""
    return sum(
        line["amount"] - sum(one["amount"] for one in line["discount_amounts"] or [])
        for line in invoice["lines"]["data"]  # type: ignore[index]
        if line["amount"] and is_for_usage(line)
    )
