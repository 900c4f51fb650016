"""What is metered: unit, window, and which Plan field limits it. The table is the whole declaration.

A new metered feature is one line in `Feature` and one in `FEATURES` (and, when plans limit it, a field of
billing.models.Plan). No migration: the models name `feature_choices`, not its values. See docs/usage.md.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from datilio.templatetags.writing import unit_for


class Window(StrEnum):
    """Over which time uses add up; boundaries are in usage/windows.py."""

    NONE = "none"  # what there is now: goes down again when it is given back
    DAY = "day"  # the UTC day
    MONTH = "month"  # a month that begins on the plan's start day, for yearly plans too


class Feature(StrEnum):
    FILE_UPLOAD = "file_upload"
    AI_PROMPT = "ai_prompt"
    AI_TOKEN = "ai_token"
    SYNTHETIC_ROWS = "synthetic_rows"


@dataclass(frozen=True)
class Metered:
    """limit_field: the Plan field with the most of it in one window (a plan's None: unlimited); None: no plan limits
    it. per_item_limit_field: the Plan field with the most MB that one item may have."""

    feature: Feature
    label: str
    unit: str
    window: Window
    limit_field: str | None
    per_item_limit_field: str | None = None

    @cached_property
    def name(self) -> str:
        """The feature as a plain text: an enum finds its value anew each time."""
        return self.feature.value

    def counted(self, count: int) -> str:
        """1 file, 2,000 files."""
        return f"{count:,} {unit_for(self.unit, count)}"

    @cached_property
    def window_name(self) -> str:
        """The same of its window."""
        return self.window.value

    @property
    def can_be_given_back(self) -> bool:
        """May an amount be negative? Only where there is no window: a day that is over cannot get emptier."""
        return self.window is Window.NONE

    def when_over(self, used: int, limit: int, plan_name: str) -> str:
        """What a change to a plan that allows less than is used means, for the customer."""
        if self.window is Window.NONE:
            return f"{self.counted(used)}, {plan_name} allows {limit:,}: they stay readable, no new uploads."
        return (
            f"{self.counted(used)} used, {plan_name} allows {limit:,} "
            f"{'a day' if self.window is Window.DAY else 'a month'}: no new use until the next reset."
        )

    def limit_of(self, plan: Any) -> int | None:
        """The plan's limit in one window; None: unlimited."""
        return getattr(plan, self.limit_field) if self.limit_field else None


FEATURES: dict[str, Metered] = {
    metered.feature.value: metered
    for metered in (
        Metered(Feature.FILE_UPLOAD, "Files", "files", Window.NONE, "file_limit", "file_size_limit_mb"),
        Metered(Feature.AI_PROMPT, "AI prompts", "prompts", Window.DAY, "ai_prompts_per_day"),
        # Priced per million and capped in dollars by the customer, never by the plan.
        Metered(Feature.AI_TOKEN, "AI tokens", "tokens", Window.MONTH, None),
        Metered(Feature.SYNTHETIC_ROWS, "Synthetic rows", "rows", Window.MONTH, "synthetic_rows_per_month"),
    )
}


def feature_choices() -> list[tuple[str, str]]:
    return [(feature, metered.label) for feature, metered in FEATURES.items()]
