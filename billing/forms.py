"""What the pages of billing take in. The services judge; these only say what is well formed."""

import time
from typing import Any

from django import forms

from billing.pricing import MAX_MONTHS

# The largest id that sqlite and PostgreSQL can look for.
MAX_ID = 2**63 - 1


class PricingForm(forms.Form):
    """The pricing page's address. It is typed, linked and shared: what it does not understand it leaves out."""

    interval = forms.ChoiceField(choices=[("month", "Monthly"), ("year", "Yearly")])
    plan = forms.IntegerField(min_value=1, max_value=MAX_ID)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_valid()

    @property
    def chosen_interval(self) -> str:
        return self.cleaned_data.get("interval") or "month"

    @property
    def wanted_plan_id(self) -> int | None:
        return self.cleaned_data.get("plan")


class ChooseForm(forms.Form):
    plan_id = forms.IntegerField(min_value=1, max_value=MAX_ID)
    months = forms.IntegerField(min_value=1, max_value=MAX_MONTHS)


class ChangeForm(forms.Form):
    """The address of the page before a change, and what its button sends: with the quote that the customer saw."""

    plan = forms.IntegerField(min_value=1, max_value=MAX_ID)
    months = forms.IntegerField(min_value=1, max_value=MAX_MONTHS)
    quote = forms.CharField(max_length=2000, required=False)


class InvoicesForm(forms.Form):
    """Which page of invoices: those older than one, or those newer."""

    after = forms.RegexField(r"^in_\w{1,200}$", required=False)
    before = forms.RegexField(r"^in_\w{1,200}$", required=False)


class CheckoutReturnForm(forms.Form):
    """`started`: when the customer came back first, in seconds since 1970; our own links carry it on. What is not a
    moment of the last day is as good as none: the wait begins now."""

    session_id = forms.CharField(max_length=255)
    started = forms.IntegerField()
    # The page that asks again already says that it takes long.
    long = forms.BooleanField(required=False)

    A_DAY = 24 * 60 * 60

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_valid()
        now, started = int(time.time()), self.cleaned_data.get("started")
        self.waiting_since = started if started is not None and now - self.A_DAY <= started <= now else now
        self.waited_seconds = now - self.waiting_since

    @property
    def says_long(self) -> bool:
        return bool(self.cleaned_data.get("long"))

    @property
    def session(self) -> str | None:
        return self.cleaned_data.get("session_id")


class CheckoutCancelledForm(forms.Form):
    plan = forms.IntegerField(min_value=1, max_value=MAX_ID)
    months = forms.IntegerField(min_value=1, max_value=MAX_MONTHS)


class CancelPlanForm(forms.Form):
    reason = forms.CharField(
        label="Why are you leaving?",
        help_text="If you tell us, we read it. At most 500 characters.",
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "maxlength": 500}),
    )
