"""The last 30 UTC days of each feature as charts: geometry and numbers, drawn by templates/usage/_chart.html.

Made of the days' totals alone (UsageDay): no event is read, however many there are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from usage.features import FEATURES, Metered
from usage.limits import LimitOut
from usage.models import UsageCounter, UsageDay
from usage.windows import ALWAYS

DAYS = 30
# The drawing's own units; it is stretched to the width that there is.
WIDTH, HEIGHT = 600, 100
_SLOT = WIDTH // DAYS
_GAP = 4
# What is not nothing can be seen.
_LEAST = 2


@dataclass(frozen=True)
class Bar:
    day: date
    amount: int
    x: int
    y: int
    height: int
    is_today: bool


@dataclass(frozen=True)
class Chart:
    """shows_level: the amounts are what there was at the end of each day, not what came on it. largest: over all days;
    total: their sum, or for a level the last."""

    feature: str
    label: str
    unit: str
    shows_level: bool
    bars: list[Bar]
    largest: int
    total: int
    cost_nanocents: int

    @property
    def first_day(self) -> date:
        return self.bars[0].day

    @property
    def last_day(self) -> date:
        return self.bars[-1].day


def charts_of(user_id: int, now: datetime, limits: Iterable[LimitOut] = ()) -> list[Chart]:
    """A chart for every feature, in the table's order. One query of at most 30 rows a feature.

    limits: of `limits_of`, for what has a level (files): where it stands today, its past is reckoned back from. None:
    there is no plan, and one query more asks for it.
    """
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    rows: dict[str, dict[date, tuple[int, int]]] = {feature: {} for feature in FEATURES}
    for feature, day, amount, cost in UsageDay.objects.filter(
        user_id=user_id, feature__in=list(FEATURES), day__gte=days[0], day__lte=days[-1]
    ).values_list("feature", "day", "amount", "cost_nanocents"):
        rows[feature][day] = (amount, cost)
    levels = {limit["feature"]: limit["used"] for limit in limits} or _levels_without_a_plan(user_id)
    return [_chart(metered, days, rows[feature], levels.get(feature, 0)) for feature, metered in FEATURES.items()]


def _levels_without_a_plan(user_id: int) -> dict[str, int]:
    """What is stored stays counted when a plan has ended."""
    stored = [feature for feature, metered in FEATURES.items() if metered.can_be_given_back]
    counters = UsageCounter.objects.filter(user_id=user_id, feature__in=stored, window_start=ALWAYS)
    return dict(counters.values_list("feature", "used"))


def _chart(metered: Metered, days: list[date], rows: dict[date, tuple[int, int]], level: int) -> Chart:
    """rows: {day: (amount, cost in nanocents)}; level: how much there is now, where amounts can be given back."""
    changes = [rows.get(day, (0, 0))[0] for day in days]
    shows_level = metered.can_be_given_back
    amounts = _levels(changes, level) if shows_level else changes
    largest = max(amounts)
    return Chart(
        feature=metered.feature.value,
        label=metered.label,
        unit=metered.unit,
        shows_level=shows_level,
        bars=[
            _bar(n, day, amount, largest, n == DAYS - 1)
            for n, (day, amount) in enumerate(zip(days, amounts, strict=True))
        ],
        largest=largest,
        total=amounts[-1] if shows_level else sum(amounts),
        cost_nanocents=sum(cost for _, cost in rows.values()),
    )


def _levels(changes: list[int], now: int) -> list[int]:
    """What there was at the end of each day, reckoned back from what there is."""
    levels = []
    for change in reversed(changes):
        levels.append(max(0, now))
        now -= change
    return levels[::-1]


def _bar(n: int, day: date, amount: int, largest: int, is_today: bool) -> Bar:
    height = max(_LEAST, amount * HEIGHT // largest) if amount > 0 else 0
    return Bar(day, amount, n * _SLOT + _GAP // 2, HEIGHT - height, height, is_today)


def bar_width() -> int:
    return _SLOT - _GAP


def table_of(charts: list[Chart]) -> list[dict[str, Any]]:
    """The same numbers as rows, the newest day first: [{day, amounts: one for each chart}]."""
    return [
        {"day": bars[0].day, "amounts": [bar.amount for bar in bars]}
        for bars in reversed(list(zip(*(chart.bars for chart in charts), strict=True)))
    ]
