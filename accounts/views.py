"""The customer's own pages: their plan with its usage, and the ways out of plan and account, and back."""

import uuid

from django.conf import settings as project_settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.forms import CloseAccountForm
from billing import subscriptions
from billing.errors import NothingToCancel, NothingToResume
from billing.forms import CancelPlanForm
from billing.models import UserPlan
from billing.standing import can_be_kept, standing_of
from datilio.errors import DomainError
from datilio.templatetags.writing import moment
from usage.limits import limits_of, meters_of, warnings_of


@never_cache
@login_required
@require_safe
def settings(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    plan = subscriptions.live_plan(request.user.pk)
    limits = limits_of(request.user.pk, now, user_plan=plan) if plan else []
    ended = None
    if plan is None:
        ended = UserPlan.objects.filter(user=request.user, ended_at__isnull=False).select_related("plan")
        ended = ended.order_by("-ended_at").first()
    return render(
        request,
        "accounts/settings.html",
        {
            # These three stand in for the context processor's, which would ask the same again.
            "current_plan": plan,
            "usage_warnings": warnings_of(limits),
            "plan_standing": standing_of(plan, now) if plan else "",
            "ended_plan": ended,
            "can_be_kept": plan is not None and can_be_kept(plan),
            "limits": meters_of(limits),
            "shows_try_it": project_settings.EMBEDDED and bool(limits),
            "try_it_key": uuid.uuid4().hex,
        },
    )


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def cancel_plan(request: HttpRequest) -> HttpResponse:
    """Ends the plan with what is paid; one that is not paid ends now. The API can end any at once."""
    if request.method == "POST":
        form = CancelPlanForm(request.POST)
        if form.is_valid():
            return _cancel(request, form.cleaned_data["reason"])
    else:
        form = CancelPlanForm()
    plan = subscriptions.live_plan(request.user.pk)
    # subscriptions.cancel_plan: what was never paid is not served to its end.
    ends_now = plan is not None and plan.status not in ("active", "trialing")
    return render(request, "accounts/cancel_plan.html", {"plan": plan, "form": form, "ends_now": ends_now})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def close_account(request: HttpRequest) -> HttpResponse:
    """Says what is going to happen, asks for the password, then ends plan and account at once."""
    form = CloseAccountForm(request.user, request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            services.close_account(request.user)
        except DomainError as error:
            form.add_error(None, f"Your account is not closed. {error.message}")
            status = error.status
        else:
            logout(request)
            messages.success(request, "Your account is closed. Thank you for having been with us.")
            return HttpResponseRedirect(reverse("home"), status=303)
    plan = subscriptions.live_plan(request.user.pk)
    context = {"form": form, "plan": plan, "is_staff": request.user.is_staff or request.user.is_superuser}
    return render(request, "accounts/close_account.html", context, status=status)


def _cancel(request: HttpRequest, reason: str) -> HttpResponse:
    try:
        _, plan = subscriptions.cancel_plan(request.user, reason=reason)
    except NothingToCancel:
        # Pressed twice, or ended meanwhile: what they wanted is so. The page says it.
        return HttpResponseRedirect(reverse("accounts:cancel_plan"), status=303)
    if plan.cancel_at:
        said = format_html("{} is cancelled. You keep access until {}.", plan.plan.name, moment(plan.cancel_at))
    else:
        said = f"{plan.plan.name} has ended."
    messages.success(request, said)
    return HttpResponseRedirect(reverse("accounts:settings"), status=303)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def resume_plan(request: HttpRequest) -> HttpResponse:
    """Keep the plan: takes back what is scheduled, and goes on to `next`."""
    if request.method != "POST":
        # Who had to log in first, or reloads a refusal.
        return HttpResponseRedirect(reverse("accounts:settings"))
    try:
        plan = subscriptions.resume_plan(request.user)
    except NothingToResume as error:
        messages.info(request, error.page_message)
    else:
        messages.success(request, f"You keep {plan.plan.name}. Nothing is scheduled any more.")
    return HttpResponseRedirect(way_back(request) or reverse("accounts:settings"), status=303)


def way_back(request: HttpRequest) -> str:
    """The path on this site that a form names as `next`; empty for anything else."""
    wanted = request.POST.get("next", "")
    # Control characters: Stripe takes no way back with them.
    is_ours = (
        wanted.startswith("/") and wanted.isprintable() and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    )
    return wanted if is_ours else ""
