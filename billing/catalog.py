"""Plans and their Products and Prices at Stripe."""

from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from billing import metered, stripe_gateway
from billing.errors import PlanNameTaken, PlanNotFound
from billing.models import Plan, PlanPrice
from billing.pricing import MAX_MONTHS, interval_of, price_cents, token_price_cents

# In a Price's metadata: what a million AI tokens cost for who has it, in cents.
TOKEN_PRICE = "token_price_cents"

# The three plans of Datilio, as they are sold first. Staff change them in the admin; this list is only the beginning.
FIRST_PLANS: list[dict[str, Any]] = [
    {
        "name": "Explorer",
        "description": "Try Datilio on your own data, for as long as you like.",
        "display_order": 10,
        "price_monthly": Decimal("0.00"),
        "price_yearly": None,
        "ai_token_price_per_million": None,
        "file_limit": 3,
        "file_size_limit_mb": 5,
        "ai_prompts_per_day": 10,
        "synthetic_rows_per_month": 1_000,
        "features": {"support": "Community support"},
    },
    {
        "name": "DataPilot Pro",
        "description": "For analysts who work with data every day.",
        "display_order": 20,
        "price_monthly": Decimal("29.00"),
        "price_yearly": Decimal("290.00"),
        "ai_token_price_per_million": Decimal("4.00"),
        "file_limit": 100,
        "file_size_limit_mb": 25,
        "ai_prompts_per_day": 200,
        "synthetic_rows_per_month": 50_000,
        "features": {"support": "E-mail support within one working day", "export": "Export to CSV and Parquet"},
    },
    {
        "name": "Datilio Team",
        "description": "For teams that share data, limits and one bill.",
        "display_order": 30,
        "price_monthly": Decimal("99.00"),
        "price_yearly": Decimal("990.00"),
        "ai_token_price_per_million": Decimal("3.00"),
        "file_limit": 1_000,
        "file_size_limit_mb": 100,
        "ai_prompts_per_day": 1_000,
        "synthetic_rows_per_month": 500_000,
        "features": {
            "support": "Priority support within four hours",
            "export": "Export to CSV, Parquet and your warehouse",
            "seats": "10 seats",
        },
    },
]


def seed_plans() -> list[Plan]:
    """The first plans as drafts, on a database that has no plan at all. Returns those that it made."""
    with transaction.atomic():
        if Plan.objects.exists():
            return []
        return [Plan.objects.create(**fields) for fields in FIRST_PLANS]


def create_plan(*, publish: bool = True, **fields: Any) -> Plan:
    """A new plan, on sale at once unless `publish` is False. Raises PlanNameTaken, StripeUnavailable (nothing kept)."""
    try:
        with transaction.atomic():
            plan = Plan.objects.create(**fields)
    except IntegrityError as exc:
        raise PlanNameTaken() from exc
    if publish:
        try:
            publish_plan(plan)
        except Exception:
            # Nobody has seen it yet: free its name, so that the same request can simply be sent again.
            with transaction.atomic():
                PlanPrice.objects.filter(plan=plan).delete()
                Plan.objects.filter(pk=plan.pk).delete()
            raise
    return plan


def publish_plan(plan: Plan) -> None:
    """Put a plan on sale, or bring what Stripe shows of it up to date: its Product, its month's and year's Price."""
    if plan.stripe_product_id:
        stripe_gateway.update_product(plan.stripe_product_id, name=plan.name, description=plan.description, active=True)
    else:
        product = stripe_gateway.create_product(
            name=plan.name,
            description=plan.description,
            metadata={"plan_uid": str(plan.uid)},
            idempotency_key=f"product-{plan.uid}",
        )
        plan.stripe_product_id = product.id
        plan.save(update_fields=["stripe_product_id", "updated_at"])
    for months in (1, 12):
        metered.metered_price_beside(ensure_price(plan, months))
    plan.state = Plan.State.PUBLISHED
    plan.save(update_fields=["state", "updated_at"])


def plan_on_sale(plan_id: int) -> Plan:
    """The published plan. Raises PlanNotFound."""
    plan = Plan.objects.published().filter(pk=plan_id).first()
    if plan is None:
        raise PlanNotFound()
    return plan


def ensure_price(plan: Plan, months: int) -> PlanPrice:
    """The Price of (plan, months) at today's amount and token price: ours if known, found at Stripe by its lookup key,
    or made now.

    Not under a lock: two at once ask Stripe with one idempotency key and store one row. The token price is a part of
    it, although Stripe bills it beside: who has this Price keeps the token price with which they bought it.
    """
    amount, token_price = price_cents(plan, months), token_price_cents(plan)
    known = plan.prices.filter(months=months, amount_cents=amount, token_price_cents=token_price).first()
    if known:
        return known
    lookup_key = f"datilio-{plan.uid}-{months}m-{amount}" + (f"-t{token_price}" if token_price else "")
    interval, count = interval_of(months)
    price = stripe_gateway.find_price(lookup_key) or stripe_gateway.create_price(
        product_id=plan.stripe_product_id,
        amount_cents=amount,
        interval=interval,
        interval_count=count,
        lookup_key=lookup_key,
        metadata={TOKEN_PRICE: str(token_price)} if token_price else None,
    )
    row, _ = PlanPrice.objects.get_or_create(
        plan=plan,
        months=months,
        amount_cents=amount,
        token_price_cents=token_price,
        defaults={"stripe_price_id": price.id},
    )
    return row


def adopt_price(plan: Plan, price: Any) -> PlanPrice | None:
    """Our row of a Stripe Price of the plan's own product that we had forgotten; None for one that is none of ours in
    kind: another currency, a week, metered, more than MAX_MONTHS, or the twin of one that we have."""
    recurring = price["recurring"]
    months = {"month": 1, "year": 12}.get(recurring["interval"], 0) * recurring["interval_count"]
    amount = price["unit_amount"]
    is_ours = price["currency"] == "usd" and recurring["usage_type"] == "licensed" and amount is not None
    if not is_ours or not 1 <= months <= MAX_MONTHS:
        return None
    metadata = price["metadata"]
    said = metadata[TOKEN_PRICE] if metadata and TOKEN_PRICE in metadata else "0"
    row, _ = PlanPrice.objects.get_or_create(
        plan=plan,
        months=months,
        amount_cents=amount,
        token_price_cents=int(said) if said.isdecimal() and len(said) < 9 else 0,
        defaults={"stripe_price_id": price["id"]},
    )
    return row if row.stripe_price_id == price["id"] else None
