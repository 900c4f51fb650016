"""What a user's AI tokens cost this month, the cap that they set for themselves, and what a prompt would cost."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from billing.pricing import NANOCENTS
from datilio.error_rendering import problem_document
from datilio.errors import DomainError, InvalidInput
from usage.costs import SPEND
from usage.errors import UserNotFound
from usage.features import FEATURES, Feature, Window
from usage.holds import give_back_expired_holds_of
from usage.limits import LimitOut, limit_out
from usage.models import MAX_CAP_CENTS, SpendCap, UsageCounter
from usage.money import dollars, exact_dollars
from usage.plan_facts import Facts, plan_facts_now
from usage.price_book import factor_of
from usage.statements import write_spend_alerts
from usage.uses import MAX_AMOUNT, Place, Use, place_of, use_of
from usage.windows import window_at


@dataclass(frozen=True)
class Spending:
    """Nanocents. held: the worst case of what has begun. cap, price_cents (a million tokens at factor 1.0; 0: they cost
    nothing), resets_at: None without a cap, without a plan that gives access."""

    used: int
    held: int
    cap_cents: int | None
    price_cents: int
    window_start: datetime | None
    resets_at: datetime | None

    @property
    def cap(self) -> int | None:
        return None if self.cap_cents is None else self.cap_cents * NANOCENTS

    @property
    def left(self) -> int | None:
        """None: no cap. 0 where a lowered cap is below what is spent."""
        return None if self.cap is None else max(0, self.cap - self.used - self.held)


def spending_of(user_id: int, now: datetime) -> Spending:
    """Two queries."""
    facts = plan_facts_now(user_id)
    if facts is None or not facts.is_active(now):
        cap = SpendCap.objects.filter(user_id=user_id).values_list("cents", flat=True).first()
        return Spending(0, 0, cap, 0, None, None)
    return _spending(facts, now)


def _spending(facts: Facts, now: datetime) -> Spending:
    user_plan = facts.user_plan
    start, resets_at = window_at(Window.MONTH, now, user_plan.usage_anchor)
    row = UsageCounter.objects.filter(user_id=user_plan.user_id, feature=SPEND, window_start=start)
    used, held = row.values_list("used", "held").first() or (0, 0)
    return Spending(used, held, facts.spend_cap_cents, user_plan.token_price_cents, start, resets_at)


@transaction.atomic
def set_spend_cap(user_id: int, cents: int, now: datetime) -> None:
    """From the next token on. A cap below what is spent already only stops further use, and warns at once.
    Raises InvalidInput."""
    if not 0 <= cents <= MAX_CAP_CENTS:
        raise InvalidInput({"amount": [f"From 0 to {MAX_CAP_CENTS // 100:,} dollars."]})
    window_start = None
    facts = plan_facts_now(user_id)
    if facts is not None and facts.is_active(now):
        window_start, _ = window_at(Window.MONTH, now, facts.user_plan.usage_anchor)
        # What is just being counted under the old cap comes first, so that the warnings see it.
        counters = UsageCounter.objects.select_for_update()
        list(counters.filter(user_id=user_id, feature=SPEND, window_start=window_start))
    SpendCap.objects.update_or_create(user_id=user_id, defaults={"cents": cents})
    if window_start is not None:
        write_spend_alerts(user_id, window_start)


def remove_spend_cap(user_id: int) -> None:
    """Twice is no error."""
    SpendCap.objects.filter(user_id=user_id).delete()


def spending_out(spending: Spending) -> dict[str, Any]:
    """SpendingOut: dollars as JSON numbers rounded as a bill is, and with all digits as text."""
    left = spending.left
    return {
        "spend_cap": None if spending.cap_cents is None else spending.cap_cents / 100,
        "spent": dollars(spending.used),
        "spent_exact": exact_dollars(spending.used),
        "held_exact": exact_dollars(spending.held),
        "remaining": None if left is None else dollars(left),
        "remaining_exact": None if left is None else exact_dollars(left),
        "price_per_million": spending.price_cents / 100,
        "window_start": spending.window_start,
        "resets_at": spending.resets_at,
    }


# --- before a prompt --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenQuote:
    """What one prompt of so many tokens would cost now, and whether it would be let in. Nothing is held by it."""

    tokens: int
    model: str
    factor: int
    cost: int
    refusal: DomainError | None
    prompts: LimitOut | None
    spending: Spending


def quote_prompt(user_id: int, tokens: int, *, model: str = "", now: datetime) -> TokenQuote:
    """What holds now; a hold makes sure of it. Four queries where it fits. Raises InvalidInput, UserNotFound."""
    if not 1 <= tokens <= MAX_AMOUNT:
        raise InvalidInput({"tokens": [f"A whole number from 1 to {MAX_AMOUNT:,}."]})
    facts = plan_facts_now(user_id)
    if facts is None and not get_user_model()._default_manager.filter(pk=user_id).exists():
        raise UserNotFound()
    prompt = use_of(user_id, Feature.AI_PROMPT.value, 1, source="quote", key="quote", model=model)
    its_tokens = use_of(user_id, Feature.AI_TOKEN.value, tokens, source="quote", key="quote", model=model)
    try:
        places = [place_of(use, facts, now) for use in (prompt, its_tokens)]
    except InvalidInput:
        raise
    except DomainError as refusal:
        spending = spending_of(user_id, now)
        return TokenQuote(tokens, model, factor_of(model, now), 0, refusal, None, spending)
    assert facts is not None
    counters = _counters(user_id, places)
    refusals = _refusals((prompt, its_tokens), places, counters)
    if refusals and give_back_expired_holds_of([user_id], now):
        counters = _counters(user_id, places)
        refusals = _refusals((prompt, its_tokens), places, counters)
    own = places[0].own
    used, _ = counters.get((own.feature, own.window_start), (0, 0))
    return TokenQuote(
        tokens,
        model,
        factor_of(model, now),
        places[1].slot.cost_nanocents,
        refusals[0] if refusals else None,
        limit_out(FEATURES[own.feature], used, own.limit, own.resets_at),
        _spending(facts, now),
    )


def _refusals(
    uses: tuple[Use, Use], places: list[Place], counters: dict[tuple[str, datetime], tuple[int, int]]
) -> list[DomainError]:
    """Of every counter that has no room."""
    refusals = []
    for use, place in zip(uses, places, strict=True):
        for bump in place.bumps:
            used, held = counters.get((bump.feature, bump.window_start), (0, 0))
            if not bump.fits(used, held):
                refusals.append(bump.refusal(use, used, held))
    return refusals


def _counters(user_id: int, places: list[Place]) -> dict[tuple[str, datetime], tuple[int, int]]:
    bumps = [bump for place in places for bump in place.bumps]
    rows = UsageCounter.objects.filter(
        user_id=user_id,
        feature__in={bump.feature for bump in bumps},
        window_start__in={bump.window_start for bump in bumps},
    )
    return {(row.feature, row.window_start): (row.used, row.held) for row in rows}


def quote_out(quote: TokenQuote) -> dict[str, Any]:
    """TokenQuoteOut. `factor` is a multiple of the plan's price; `error` the problem that a prompt of this size would
    be refused with, None where it fits."""
    return {
        "tokens": quote.tokens,
        "model": quote.model,
        "factor": quote.factor / 1000,
        "cost": dollars(quote.cost),
        "cost_exact": exact_dollars(quote.cost),
        "fits": quote.refusal is None,
        "error": None if quote.refusal is None else problem_document(quote.refusal),
        "prompts": quote.prompts,
        "spending": spending_out(quote.spending),
    }
