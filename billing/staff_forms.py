"""What staff fill in to give a plan by hand. The services judge; these only say what is well formed."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser

from billing.grants import MAX_REASON
from billing.models import Plan


class _LastDayField(forms.DateField):
    """A day (UTC) that is still served: becomes the midnight after it, aware."""

    widget = forms.DateInput(attrs={"type": "date"})

    def clean(self, value: Any) -> datetime | None:
        day = super().clean(value)
        try:
            return day and datetime.combine(day + timedelta(days=1), time.min, UTC)
        except OverflowError as exc:
            raise forms.ValidationError("Enter a valid date.") from exc


def _last_day_field() -> _LastDayField:
    return _LastDayField(label="Last day", help_text="The plan ends at midnight UTC after it. Two years at most.")


class GrantForm(forms.Form):
    email = forms.EmailField(label="User", help_text="Their e-mail address.", max_length=254)
    plan = forms.ModelChoiceField(Plan.objects.none())
    until = _last_day_field()
    reason = forms.CharField(
        max_length=MAX_REASON,
        help_text=f"Why they get it, at most {MAX_REASON} characters. The customer reads it too.",
        widget=forms.TextInput(attrs={"size": 60}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = Plan.objects.exclude(state=Plan.State.DRAFT).order_by("display_order", "price_monthly")
        self.fields["plan"].queryset = plans

    def clean_email(self) -> AbstractBaseUser:
        user = get_user_model().objects.filter(email=self.cleaned_data["email"].lower()).first()
        if user is None:
            raise forms.ValidationError("There is no user with this address.")
        return user


class MoveGrantForm(forms.Form):
    MOVE, END = "move", "end"
    act = forms.ChoiceField(
        label="What",
        choices=[(MOVE, "Move its last day"), (END, "End it now")],
        widget=forms.RadioSelect,
        initial=MOVE,
    )
    until = _last_day_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].required = False

    @property
    def ends(self) -> bool:
        return self.cleaned_data["act"] == self.END

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("act") == self.MOVE and not cleaned.get("until") and "until" not in self.errors:
            self.add_error("until", "Choose the new last day.")
        return cleaned
