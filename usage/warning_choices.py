"""From which percentage on a user wants to be warned, feature by feature."""

from dataclasses import dataclass

from django.db import transaction

from datilio.errors import InvalidInput
from usage.costs import SPEND
from usage.features import FEATURES
from usage.models import UsageWarningChoice


@dataclass(frozen=True, slots=True)
class Choice:
    """own_threshold: percent, 1 to 99, or None. mails: at 80, 95 and 100 %; a threshold of one's own always mails."""

    own_threshold: int | None = None
    mails: bool = True


DEFAULT = Choice()


# {feature: its label} of what can warn: a percentage needs a limit, the plan's or the customer's own cap in dollars.
WARNS = {feature: metered.label for feature, metered in FEATURES.items() if metered.limit_field} | {SPEND: "AI costs"}


def choices_of(user_id: int) -> dict[str, Choice]:
    """{feature: Choice} for everything that can warn. One query."""
    chosen = {
        row.feature: Choice(row.own_threshold, row.mails) for row in UsageWarningChoice.objects.filter(user_id=user_id)
    }
    return {feature: chosen.get(feature, DEFAULT) for feature in WARNS}


@transaction.atomic
def set_warning_choices(user_id: int, choices: dict[str, Choice]) -> None:
    """Choose for these features; the others stay as they are. Raises InvalidInput."""
    for feature, choice in choices.items():
        if feature not in WARNS:
            raise InvalidInput({"feature": [f"One of {', '.join(sorted(WARNS))}."]})
        if choice.own_threshold is not None and not 1 <= choice.own_threshold <= 99:
            raise InvalidInput({"own_threshold": ["A whole number from 1 to 99, or nothing."]})
        UsageWarningChoice.objects.update_or_create(
            user_id=user_id,
            feature=feature,
            defaults={"own_threshold": choice.own_threshold, "mails": choice.mails},
        )
