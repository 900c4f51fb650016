"""The pages of buying. Each parses its form, calls one service and answers."""

from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.checkout import confirm_checkout, start_checkout
from billing.errors import AlreadySubscribed, CheckoutNotFound, PaymentOverdue, PlanChangeRequired
from billing.forms import CheckoutCancelledForm, CheckoutReturnForm, ChooseForm, PricingForm
from billing.offers import Visitor, comparison, offers, plans_on_sale
from billing.subscriptions import live_plan
from billing.trials import had_trial
from datilio.errors import InvalidInput

# After this long nobody should sit and watch.
LONG_WAIT_SECONDS = 60


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    form = PricingForm(request.GET)
    plans = plans_on_sale()
    trials = any(plan.trial_days for plan in plans)
    shown = offers(plans, form.chosen_interval, _visitor(request, trials), wanted_plan_id=form.wanted_plan_id)
    return render(
        request,
        "billing/pricing.html",
        {
            "interval": form.chosen_interval,
            "wanted_plan_id": form.wanted_plan_id,
            "offers": shown,
            "rows": comparison(plans),
            "largest_saving_cents": max((offer.saving_cents for offer in shown), default=0),
            "token_prices": any(plan.ai_token_price_per_million is not None for plan in plans),
            "trials": trials,
            "grace_days": settings.GRACE_DAYS,
        },
    )


def _visitor(request: HttpRequest, trials: bool) -> Visitor:
    """trials: is there any that they could have had?"""
    if not request.user.is_authenticated:
        return Visitor(is_known=False, live=None, had_trial=False)
    return Visitor(is_known=True, live=live_plan(request.user.pk), had_trial=trials and had_trial(request.user))


@require_http_methods(["GET", "HEAD", "POST"])
def choose(request: HttpRequest) -> HttpResponse:
    """Buy: on to Stripe's page; for a change of plan on to the page that says what it costs and when it happens.

    Someone who is not logged in comes back to the plan that they chose.
    """
    if request.method != "POST":
        # The address of a refusal that somebody reloads.
        return HttpResponseRedirect(reverse("pricing"))
    form = ChooseForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(form.errors, "That plan cannot be bought like this. Choose one on the pricing page.")
    plan_id, months = form.cleaned_data["plan_id"], form.cleaned_data["months"]
    if not request.user.is_authenticated:
        query = urlencode({"next": _pricing_of(plan_id, months)})
        return HttpResponseRedirect(f"{reverse('account_login')}?{query}", status=303)
    change_url = f"{reverse('accounts:change_plan')}?{urlencode({'plan': plan_id, 'months': months})}"
    live = live_plan(request.user.pk)
    if live is not None and live.card_last4 and not live.is_grant:
        # What can be charged to the card on file needs no Checkout, from a free plan neither.
        return HttpResponseRedirect(change_url, status=303)
    try:
        url = start_checkout(request.user, plan_id, months)
    except (AlreadySubscribed, PaymentOverdue, PlanChangeRequired):
        url = change_url
    return HttpResponseRedirect(url, status=303)


@never_cache
@login_required
@require_safe
def checkout_return(request: HttpRequest) -> HttpResponse:
    """The way back from Stripe. The redirect proves nothing: the service asks Stripe how the purchase stands."""
    form = CheckoutReturnForm(request.GET)
    if form.session is None:
        raise CheckoutNotFound()
    outcome = confirm_checkout(request.user, form.session)
    waits_long = form.waited_seconds >= LONG_WAIT_SECONDS
    if request.htmx and outcome.state == "processing" and waits_long == form.says_long:
        # Nothing new: the page stays as it is, and a screen reader is not told the same every few seconds.
        return HttpResponse(status=204)
    query = {"session_id": form.session, "started": form.waiting_since}
    context = {
        "outcome": outcome,
        "again_url": f"{request.path}?{urlencode(query | ({'long': 1} if waits_long else {}))}",
        "waits_long": waits_long,
        "pricing_url": _pricing_of(outcome.plan.pk, outcome.months) if outcome.plan else reverse("pricing"),
    }
    template = "billing/_checkout_state.html" if request.htmx else "billing/checkout_return.html"
    return render(request, template, context)


@require_safe
def checkout_cancelled(request: HttpRequest) -> HttpResponse:
    """They left Stripe's page without paying: back to the same plan."""
    messages.info(request, "You left the checkout. Nothing was charged; the plan you looked at is marked below.")
    form = CheckoutCancelledForm(request.GET)
    if not form.is_valid():
        return HttpResponseRedirect(reverse("pricing"))
    return HttpResponseRedirect(_pricing_of(form.cleaned_data["plan"], form.cleaned_data["months"]))


def _pricing_of(plan_id: int, months: int | None) -> str:
    """The pricing page with this plan marked, at its interval."""
    query = urlencode({"interval": "year" if months == 12 else "month", "plan": plan_id})
    return f"{reverse('pricing')}?{query}#plan-{plan_id}"
