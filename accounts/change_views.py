"""The page before a change of plan: what it costs and does, and the button that does exactly this."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.overview import conflicts_of, feature_changes, limit_changes
from billing import catalog, subscriptions
from billing.errors import (
    AlreadySubscribed,
    AuthenticationRequired,
    ChangeScheduled,
    PaymentDisputed,
    PaymentFailed,
    PaymentMethodRequired,
    PaymentOverdue,
    PlanIsEnding,
    QuoteChanged,
    QuoteExpired,
    QuoteInvalid,
)
from billing.forms import ChangeForm
from billing.models import Plan, UserPlan
from billing.pricing import price_cents, yearly_saving_cents
from billing.standing import can_be_kept
from datilio.errors import DomainError, InvalidInput
from datilio.templatetags.writing import day

# Shown beside the quote that was made anew; the customer looks and confirms again.
_LOOK_AGAIN = (QuoteExpired, QuoteChanged, QuoteInvalid)
# Stands in the way of the choice; the page says what to do about it first.
_IN_THE_WAY = (AlreadySubscribed, ChangeScheduled, PaymentDisputed, PaymentOverdue, PlanIsEnding)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_plan(request: HttpRequest) -> HttpResponse:
    form = ChangeForm(request.POST if request.method == "POST" else request.GET)
    if not form.is_valid():
        error = InvalidInput(form.errors, "There is no such choice. Choose a plan on the pricing page.")
        error.details |= {"next_url": reverse("pricing"), "next_label": "See the plans"}
        raise error
    plan, months = catalog.plan_on_sale(form.cleaned_data["plan"]), form.cleaned_data["months"]
    if request.method == "POST":
        return _change(request, plan, months, form.cleaned_data["quote"])
    return _ask(request, plan, months)


def _ask(request: HttpRequest, plan: Plan, months: int, *, error: DomainError | None = None) -> HttpResponse:
    """What it costs and does. error: why the button did not do it a moment ago."""
    if _is_the_present_one(subscriptions.live_plan(request.user.pk), plan, months):
        return _page(request, plan, months, in_the_way="keep")
    try:
        quote = subscriptions.preview_purchase(request.user, plan.pk, months)
    except _IN_THE_WAY as hindrance:
        return _explain(request, plan, months, hindrance)
    if quote.kind == "resume":
        # Our row was behind: Stripe says that this is what they have.
        return _page(request, plan, months, in_the_way="keep")
    status = error.status if error else 200
    details = {
        "quote": quote,
        # Another time of paying for what they have.
        "same_plan": quote.live is not None and quote.kind != "start" and quote.live.plan_id == plan.pk,
        "limits": limit_changes(quote),
        "features": [one for one in feature_changes(quote) if one["before"] != one["after"]],
        "conflicts": conflicts_of(request.user, plan),
        "error": error,
        "card_failed": isinstance(error, PaymentFailed),
    }
    return _page(request, plan, months, status=status, **details)


def _change(request: HttpRequest, plan: Plan, months: int, token: str) -> HttpResponse:
    try:
        if not token:
            raise QuoteInvalid()
        before = subscriptions.live_plan(request.user.pk)
        user_plan = subscriptions.purchase_plan(request.user, plan.pk, months, quote=token)
    except AuthenticationRequired as error:
        return HttpResponseRedirect(error.details["authentication_url"], status=303)
    except PaymentMethodRequired as error:
        return HttpResponseRedirect(error.details["checkout_url"], status=303)
    except (PaymentFailed, *_LOOK_AGAIN) as error:
        return _ask(request, plan, months, error=error)
    except AlreadySubscribed:
        # Pressed twice: what they wanted is so.
        messages.info(request, f"You are on {plan.name}.")
        return HttpResponseRedirect(reverse("accounts:settings"), status=303)
    except _IN_THE_WAY as hindrance:
        return _explain(request, plan, months, hindrance)
    messages.success(request, _what_happened(user_plan, before))
    return HttpResponseRedirect(reverse("accounts:settings"), status=303)


def _explain(request: HttpRequest, plan: Plan, months: int, hindrance: DomainError) -> HttpResponse:
    # A look at Stripe came before the refusal: the row is as true as can be.
    is_present = _is_the_present_one(subscriptions.live_plan(request.user.pk), plan, months)
    in_the_way = "keep" if is_present else hindrance.code
    # A page that was only asked for explains itself; htmx would not show it with an error's status.
    status = hindrance.status if request.method == "POST" else 200
    return _page(request, plan, months, status=status, in_the_way=in_the_way, hindrance=hindrance)


def _page(request: HttpRequest, plan: Plan, months: int, *, status: int = 200, **more: Any) -> HttpResponse:
    path = reverse("accounts:change_plan")
    context = {
        "plan": plan,
        "months": months,
        "price_cents": price_cents(plan, months),
        "interval": _interval(months),
        "saving_cents": yearly_saving_cents(plan),
        "here": f"{path}?{urlencode({'plan': plan.pk, 'months': months})}",
        "here_path": path,
        "live": subscriptions.live_plan(request.user.pk),
    }
    return render(request, "accounts/change_plan.html", context | more, status=status)


def _is_the_present_one(live: UserPlan | None, plan: Plan, months: int) -> bool:
    """Do they choose what they have, while something else is scheduled? Then there is nothing to pay, only to keep."""
    if live is None or not can_be_kept(live):
        return False
    chosen = (plan.pk, months, price_cents(plan, months))
    return chosen == (live.plan_id, live.duration_months, live.amount_cents)


def _what_happened(user_plan: UserPlan, before: UserPlan | None) -> str | SafeString:
    """`before`: what they had when they pressed the button."""
    pending, name = user_plan.pending_price, user_plan.plan.name
    if pending and user_plan.pending_at:
        if pending.plan_id == user_plan.plan_id:
            what = format_html("You pay for {} by the {}", name, _interval(pending.months))
            return format_html("{} from {} on. Until then all stays as it is.", what, day(user_plan.pending_at))
        return format_html(
            "Your plan changes to {} on {}. Until then all stays as it is.",
            pending.plan.name,
            day(user_plan.pending_at),
        )
    if user_plan.trial_end:
        return format_html("Your trial of {} has begun. It is free until {}.", name, day(user_plan.trial_end))
    if before and before.plan_id == user_plan.plan_id and before.duration_months != user_plan.duration_months:
        return f"You pay for {name} by the {_interval(user_plan.duration_months)} now. Your limits stay as they are."
    return f"You are on {name} now. Every limit of the plan is open to you."


def _interval(months: int) -> str:
    return "year" if months == 12 else "month"
