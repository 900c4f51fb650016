"""What stands on a bill for AI tokens: its lines with rate and formula, and the events behind each cent.

Lines are TokenCharge rows added up; no event is summed. The sum is rounded once, as Stripe rounds a metered line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, Sum
from django.urls import reverse

from billing.models import TokenCharge
from billing.pricing import nanocents_to_cents
from billing.subscriptions import live_plan
from datilio.times import iso
from usage.features import Feature
from usage.history import read_cursor, write_cursor
from usage.models import UsageEvent
from usage.money import dollars, exact_dollars
from usage.uses import LATEST

# A period that began within this time before another one ended where that began; of a longer gap nobody knows.
_LONGEST_MONTH = timedelta(days=31)
# Bills shown, newest first: three years of months.
MOST = 36


@dataclass(frozen=True)
class Line:
    """factor in thousandths, price_cents a million tokens at factor 1.0."""

    model: str
    factor: int
    price_cents: int
    tokens: int
    cost: int
    reported: int

    @property
    def formula(self) -> str:
        """ "1,500,000 tokens × 2.5 × $4.00 per million = $15.00"."""
        return (
            f"{self.tokens:,} tokens × {self.factor / 1000:g} × ${self.price_cents / 100:,.2f} per million"
            f" = ${exact_dollars(self.cost)}"
        )


@dataclass(frozen=True)
class Receipt:
    """Nanocents. period_end None: not known (of a year, of a plan that is over)."""

    period_start: datetime
    period_end: datetime | None
    is_open: bool
    lines: list[Line]

    @property
    def cost(self) -> int:
        return sum(line.cost for line in self.lines)

    @property
    def reported(self) -> int:
        return sum(line.reported for line in self.lines)

    @property
    def events_page(self) -> str:
        return _address("usage:receipt", self.period_start)

    @property
    def cents(self) -> int:
        """What Stripe's invoice says, once all is reported."""
        return nanocents_to_cents(self.cost)


def receipts_of(user_id: int, now: datetime) -> list[Receipt]:
    """One for each bill with tokens on it, newest first. Two queries."""
    rows = (
        TokenCharge.objects.filter(user_id=user_id)
        .values("period_start", "model", "factor", "price_cents")
        .annotate(tokens=Sum("tokens"), cost=Sum("cost_nanocents"), reported=Sum("metered_nanocents"))
        .order_by("-period_start", "model", "factor", "price_cents")
    )
    lines: dict[datetime, list[Line]] = {}
    for row in rows:
        lines.setdefault(row.pop("period_start"), []).append(Line(**row))
    live = live_plan(user_id)
    present = live.current_period_start if live else None
    receipts: list[Receipt] = []
    after = present
    for start in lines:
        is_open = present is not None and start >= present
        if is_open:
            end = live.current_period_end if live and start == present else None
        else:
            end = after if after is not None and after - start <= _LONGEST_MONTH else None
        receipts.append(Receipt(start, end, is_open, lines[start]))
        after = start
    return receipts[:MOST]


def receipt_out(receipt: Receipt) -> dict[str, Any]:
    """ReceiptOut."""
    return {
        "period_start": receipt.period_start,
        "period_end": receipt.period_end,
        "is_open": receipt.is_open,
        "amount": dollars(receipt.cost),
        "amount_exact": exact_dollars(receipt.cost),
        "reported_exact": exact_dollars(receipt.reported),
        "lines": [
            {
                "model": line.model,
                "factor": line.factor / 1000,
                "price_per_million": line.price_cents / 100,
                "tokens": line.tokens,
                "formula": line.formula,
                "cost_exact": exact_dollars(line.cost),
            }
            for line in receipt.lines
        ],
        "events": events_path(receipt.period_start),
    }


def receipts_out(receipts: Iterable[Receipt]) -> dict[str, Any]:
    return {"receipts": [receipt_out(receipt) for receipt in receipts]}


def events_path(period_start: datetime) -> str:
    return _address("api:receipt_events", period_start)


def _address(name: str, period_start: datetime, **query: str) -> str:
    return reverse(name) + "?" + urlencode({"period_start": iso(period_start) or "", **query})


def next_page_of(period_start: datetime, cursor: str) -> str:
    return _address("usage:receipt", period_start, cursor=cursor)


def events_of_receipt(
    user_id: int, period_start: datetime, *, limit: int, cursor: str | None = None, model: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """(events newest first, the cursor of the next page or None): those whose costs are the receipt of the bill that
    began at `period_start`. {id, model, tokens, timestamp, counted_at, rate_exact, cost_exact}; the rate is dollars per
    million. One query. Raises InvalidInput."""
    events = UsageEvent.objects.filter(
        user_id=user_id,
        feature=Feature.AI_TOKEN.value,
        billed_from=period_start,
        # Those that came late stand on it as well. The lower bound leaves out the partitions before.
        timestamp__gte=period_start - LATEST,
    )
    if model is not None:
        events = events.filter(model=model)
    if cursor:
        timestamp, event_id = read_cursor(cursor)
        events = events.filter(Q(timestamp__lte=timestamp), Q(timestamp__lt=timestamp) | Q(id__lt=event_id))
    rows = list(events.order_by("-timestamp", "-id")[: limit + 1])
    shown = [_event(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return shown, None
    return shown, write_cursor({"id": rows[limit - 1].pk, "timestamp": rows[limit - 1].timestamp})


def _event(row: UsageEvent) -> dict[str, Any]:
    return {
        "id": row.pk,
        "model": row.model,
        "tokens": row.amount,
        "timestamp": row.timestamp,
        "counted_at": row.created_at,
        # Exact: the cost is the tokens times this.
        "rate_exact": exact_dollars(row.cost_nanocents // row.amount * 10**6),
        "cost_exact": exact_dollars(row.cost_nanocents),
    }
