"""The words of the mails about usage, for the outbox of billing (see billing/emails.py), with samples of them.

Facts: plan, label, unit, window ("none", "day", "month"), threshold (percent), used, limit, resets_at and runs_out_at
(ISO, UTC, or None). Of the customer's own cap: plan, threshold, spent and cap (cents), resets_at, runs_out_at.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.urls import reverse

from billing.emails import Facts, Letter
from datilio.templatetags.writing import cents as dollars
from datilio.templatetags.writing import moment_text, unit_for
from usage.features import Window

_LIMITS = {Window.NONE: "limit", Window.DAY: "daily limit", Window.MONTH: "monthly limit"}


def _usage_warning(facts: Facts) -> Letter:
    limit, window, reached = _LIMITS[facts["window"]], facts["window"], facts["threshold"]
    what = _within_a_sentence(facts["label"])
    subject = f"Your {what} have reached the {limit}" if reached == 100 else f"Your {what}: {reached} % of the {limit}"
    allowed = f"{facts['limit']:,} {unit_for(facts['unit'], facts['limit'])} that {facts['plan']} allows."
    said = [f"You have used {facts['used']:,} of the {allowed}"]
    if window == Window.NONE:
        said = [f"You keep {facts['used']:,} of the {allowed}"]
        if reached == 100:
            said.append("They stay readable. To add another, remove some or change to a larger plan.")
    elif reached == 100:
        said.append("Until the count starts again, more is refused. A larger plan makes room at once.")
    rows = [("Used", f"{facts['used']:,}"), ("Limit", f"{facts['limit']:,}")]
    if facts["resets_at"]:
        rows.append(("Starts again", moment_text(facts["resets_at"])))
    if facts["runs_out_at"]:
        rows.append(("At this pace used up", moment_text(facts["runs_out_at"])))
    return Letter(
        subject,
        subject,
        said,
        "See your usage",
        settings.BASE_URL + reverse("accounts:usage"),
        rows=rows,
        small=_CHOOSE.format("On that page"),
    )


def _spend_warning(facts: Facts) -> Letter:
    spent, cap, reached = dollars(facts["spent"]), dollars(facts["cap"]), facts["threshold"]
    subject = (
        f"Your AI costs have reached your cap of {cap}"
        if reached == 100
        else (f"Your AI costs: {reached} % of your cap of {cap}")
    )
    said = [f"You have spent {spent} of the {cap} that you let AI tokens cost in a month of {facts['plan']}."]
    if reached == 100:
        said.append("Prompts are refused until it starts again. Raise or remove the cap, and they work again at once.")
    else:
        said.append("A prompt that would pass the cap is refused. You can raise or remove the cap at any time.")
    rows = [("Spent", spent), ("Your cap", cap), ("Starts again", moment_text(facts["resets_at"]))]
    if facts["runs_out_at"]:
        rows.append(("At this pace reached", moment_text(facts["runs_out_at"])))
    return Letter(
        subject,
        subject,
        said,
        "Raise or remove the cap",
        settings.BASE_URL + reverse("usage:ai_costs"),
        rows=rows,
        small=_CHOOSE.format("On your usage page"),
    )


_CHOOSE = "{} you choose at which percentage we write to you, or that we do not."


def _within_a_sentence(label: str) -> str:
    """Synthetic rows: synthetic rows. AI prompts stay what they are."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


LETTERS: dict[str, Callable[[Facts], Letter]] = {"usage_warning": _usage_warning, "spend_warning": _spend_warning}

_PROMPTS: dict[str, Any] = {
    "plan": "DataPilot Pro",
    "label": "AI prompts",
    "unit": "prompts",
    "window": "day",
    "threshold": 80,
    "used": 161,
    "limit": 200,
    "resets_at": "2026-11-24T00:00:00Z",
    "runs_out_at": "2026-11-23T16:12:40Z",
}
_COSTS: dict[str, Any] = {
    "plan": "DataPilot Pro",
    "threshold": 80,
    "spent": 2_012,
    "cap": 2_500,
    "resets_at": "2026-12-12T00:00:00Z",
    "runs_out_at": "2026-12-03T09:30:00Z",
}
SAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "usage-80": ("usage_warning", "Usage at 80 %", _PROMPTS),
    "usage-95": (
        "usage_warning",
        "Usage at 95 %",
        {
            **_PROMPTS,
            "label": "Synthetic rows",
            "unit": "rows",
            "window": "month",
            "threshold": 95,
            "used": 47_600,
            "limit": 50_000,
            "resets_at": "2026-12-12T00:00:00Z",
            "runs_out_at": "2026-11-25T03:20:00Z",
        },
    ),
    "usage-100": ("usage_warning", "Usage at 100 %", {**_PROMPTS, "threshold": 100, "used": 200, "runs_out_at": None}),
    "usage-own": ("usage_warning", "Usage at a threshold of one's own", {**_PROMPTS, "threshold": 50, "used": 100}),
    "usage-files-100": (
        "usage_warning",
        "Files at 100 %",
        {
            **_PROMPTS,
            "label": "Files",
            "unit": "files",
            "window": "none",
            "threshold": 100,
            "used": 100,
            "limit": 100,
            "resets_at": None,
            "runs_out_at": None,
        },
    ),
    "spending-80": ("spend_warning", "AI costs at 80 % of the cap", _COSTS),
    "spending-95": ("spend_warning", "AI costs at 95 % of the cap", {**_COSTS, "threshold": 95, "spent": 2_391}),
    "spending-100": (
        "spend_warning",
        "AI costs at the cap",
        {**_COSTS, "threshold": 100, "spent": 2_500, "runs_out_at": None},
    ),
}
