"""What the tokens of one use cost, and on which bill and day of it that stands."""

from datetime import datetime, timedelta
from typing import NamedTuple

from billing.models import UserPlan
from datilio.errors import InvalidInput
from usage.money import cost_nanocents, dollars
from usage.price_book import Book, factor_of

# The counter of what tokens cost, beside theirs. In nanocents; its limit is the customer's own cap.
SPEND = "ai_spend"
# Ten million dollars: the counters of a month still hold several of these.
MAX_COST = 10**18
_DAY = timedelta(days=1)


class Charge(NamedTuple):
    """factor in thousandths, price_cents a million tokens at 1.0. period_start: of the bill; day_start: of the day in
    that bill, which begins at the second at which the period does."""

    factor: int
    price_cents: int
    period_start: datetime
    day_start: datetime

    def cost(self, tokens: int) -> int:
        """In nanocents."""
        return cost_nanocents(tokens, self.factor, self.price_cents)


def charge_of(user_plan: UserPlan, model: str, at: datetime, tokens: int, book: Book | None = None) -> Charge | None:
    """How tokens used at `at` are charged; None: they cost nothing. Raises InvalidInput for more than anybody pays.

    The plan's price is today's, the model's factor that of the moment. What comes late stands on today's bill: that of
    its own time may be paid already.
    """
    price = user_plan.token_price_cents
    if not price:
        return None
    start = user_plan.current_period_start
    if at >= user_plan.current_period_end > start:
        # The renewal has not been seen yet.
        start = user_plan.current_period_end
    day = start + (max(at, start) - start) // _DAY * _DAY
    charge = Charge(factor_of(model, at, book), price, start, day)
    if charge.cost(tokens) > MAX_COST:
        raise InvalidInput({"amount": [f"These tokens would cost more than ${dollars(MAX_COST):,.0f}."]})
    return charge
