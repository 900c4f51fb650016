"""What the pages of usage take in. On the "try it" panel `key` is made with the page, so that a double click counts
once."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from usage.features import feature_choices
from usage.models import MAX_CAP_CENTS
from usage.warning_choices import WARNS, Choice

MAX_PROMPT_LENGTH = 4000
MAX_ROWS = 1_000_000


class SpendCapForm(forms.Form):
    amount = forms.DecimalField(
        label="Monthly cap in US dollars",
        min_value=Decimal(0),
        max_value=Decimal(MAX_CAP_CENTS) / 100,
        decimal_places=2,
        max_digits=8,
        help_text="AI prompts are refused once their tokens would cost more than this in a month of your plan. "
        "0 stops them at once.",
        error_messages={"required": "Say how many dollars, or take the cap away."},
    )


class TryItForm(forms.Form):
    key = forms.RegexField(r"^[0-9a-f]{32}$", error_messages={"required": "Reload the page, then try again."})

    def first_error(self) -> str:
        return next(iter(self.errors.values()))[0]


class UploadForm(TryItForm):
    """The files themselves are measured by usage.uploads while they arrive."""


class PromptForm(TryItForm):
    prompt = forms.CharField(max_length=MAX_PROMPT_LENGTH, error_messages={"required": "Write a prompt first."})


class RowsForm(TryItForm):
    rows = forms.IntegerField(
        min_value=1, max_value=MAX_ROWS, error_messages={"required": "Say how many rows.", "invalid": "A whole number."}
    )


class HistoryForm(forms.Form):
    """Which part of the history is shown: days of the visitor's zone, both of them included."""

    feature = forms.ChoiceField(required=False, choices=lambda: [("", "Everything"), *feature_choices()])
    cursor = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (("from", "From"), ("to", "To")):
            self.fields[name] = forms.DateField(
                required=False,
                label=label,
                input_formats=["%Y-%m-%d"],
                widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
                error_messages={"invalid": "A day, like 2026-11-25."},
            )
        self.order_fields(["feature", "from", "to"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name in ("from", "to"):
            # The first and last days that there are cannot be told in every zone.
            if values.get(name) and not 1970 <= values[name].year <= 9000:
                self.add_error(name, "From 1970 to 9000.")
        if not self.errors and values.get("from") and values.get("to") and values["from"] > values["to"]:
            self.add_error("to", "This is before the first day.")
        return values

    def filters(self, zone: ZoneInfo) -> dict[str, Any]:
        """As usage.history takes them: feature, since, until (aware, exclusive). Only of a valid form."""
        chosen = {"feature": self.cleaned_data["feature"] or None}
        first, last = self.cleaned_data["from"], self.cleaned_data["to"]
        return chosen | {
            "since": _midnight(first, zone) if first else None,
            "until": _midnight(last + timedelta(days=1), zone) if last else None,
        }


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone)


class WarningsForm(forms.Form):
    """For each feature that can warn: whether to mail at 80, 95 and 100 %, and a percentage of one's own."""

    def __init__(self, choices: dict[str, Choice], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for feature in WARNS:
            chosen = choices[feature]
            self.fields[f"{feature}-mails"] = forms.BooleanField(
                required=False, initial=chosen.mails, label="Mails at 80, 95 and 100 %"
            )
            self.fields[f"{feature}-own"] = forms.IntegerField(
                required=False,
                initial=chosen.own_threshold,
                min_value=1,
                max_value=99,
                label="Also warn me at (percent)",
                widget=forms.NumberInput(attrs={"inputmode": "numeric", "step": "1"}),
                error_messages=dict.fromkeys(
                    ("invalid", "min_value", "max_value"), "A whole number from 1 to 99, or nothing."
                ),
            )

    def rows(self) -> Iterator[tuple[str, forms.BoundField, forms.BoundField]]:
        """(label of the feature, its two fields)."""
        for feature, label in WARNS.items():
            yield label, self[f"{feature}-mails"], self[f"{feature}-own"]

    def choices(self) -> dict[str, Choice]:
        """What was chosen. Only of a valid form."""
        values = self.cleaned_data
        return {feature: Choice(values[f"{feature}-own"], values[f"{feature}-mails"]) for feature in WARNS}
