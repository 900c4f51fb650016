"""The customer's usage in detail: meters, 30 days, the history, and from when on they want to be warned."""

import hashlib
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings as project_settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing import subscriptions
from billing.models import UserPlan
from billing.standing import standing_of
from datilio.times import iso
from datilio.zone import zone_groups, zone_of
from usage.days import bar_width, charts_of, table_of
from usage.features import FEATURES
from usage.forms import HistoryForm, WarningsForm
from usage.history import rows_of
from usage.limits import limits_of, meters_of, warnings_of
from usage.pace import at_the_end, runs_out_at
from usage.spending import spending_of
from usage.warning_choices import choices_of, set_warning_choices

EVENTS_A_PAGE = 20
_SHOWN_OF_AN_EVENT = ("id", "feature", "amount", "timestamp", "model")


@never_cache
@login_required
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    return _page(request, WarningsForm(choices_of(request.user.pk)))


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def usage_warnings(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        # Who had to log in first, or reloads a refusal.
        return HttpResponseRedirect(reverse("accounts:usage"))
    form = WarningsForm(choices_of(request.user.pk), request.POST)
    if not form.is_valid():
        return _page(request, form, status=400)
    set_warning_choices(request.user.pk, form.choices())
    messages.success(request, "Saved. From now on you are warned as you have chosen.")
    return HttpResponseRedirect(reverse("accounts:usage") + "#warnings", status=303)


@never_cache
@require_safe
def usage_live(request: HttpRequest) -> HttpResponse:
    """What changes while the page is open, for htmx. `seen`: the version that the page shows; if it is still the same,
    only the time of asking is new, and nothing that somebody reads or has marked is touched. `rows`: the same of the
    history, where its newest page is shown, with the filter beside it."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    now = timezone.now()
    plan = subscriptions.live_plan(request.user.pk)
    context = _present(request.user.pk, plan, now) | {"out_of_band": True}
    live = _live(request, context)
    as_of = render_to_string("usage/_as_of.html", context, request) + _fresh_history(request)
    if request.GET.get("seen") == live["version"]:
        return HttpResponse(as_of, headers={"HX-Reswap": "none"})
    table = render_to_string("usage/_days_table.html", context, request)
    banner = render_to_string("_warnings_banner.html", context, request)
    # With the first use "Nothing is counted yet" goes.
    empty = '<div class="until-used" id="usage-empty" hx-swap-oob="true"></div>' if context["is_used"] else ""
    return HttpResponse(render_to_string("accounts/_usage_live.html", live, request) + as_of + table + banner + empty)


def _page(request: HttpRequest, warnings_form: WarningsForm, status: int = 200) -> HttpResponse:
    """A fixed number of queries, however much there is: no read grows with the events."""
    now = timezone.now()
    plan = subscriptions.live_plan(request.user.pk)
    context = _present(request.user.pk, plan, now)
    context |= _history(request)
    is_empty = not (context["is_filtered"] or context["rows"] or context["is_used"])
    # What usage_live is asked with; an older page stays as it is.
    if context["is_first"] and context["csv_url"]:
        context["followed"] = context["chosen"] | {"rows": context["history_version"]}
    return render(
        request,
        "accounts/usage.html",
        context
        | {
            "live": _live(request, context),
            "warnings_form": warnings_form,
            "zone_groups": zone_groups(),
            "is_empty": is_empty,
            "first_call": _first_call(request.user.pk),
            "shows_try_it": project_settings.EMBEDDED and bool(context["limits"]),
        },
        status=status,
    )


def _present(user_id: int, plan: UserPlan | None, now: datetime) -> dict[str, Any]:
    """Meters, costs, charts and banner as they stand at `now`. Four queries."""
    limits = limits_of(user_id, now, user_plan=plan) if plan else []
    charts = charts_of(user_id, now, limits)
    return {
        **_costs(user_id, plan, now),
        # These three stand in for the context processor's, which would ask the same again.
        "current_plan": plan,
        "usage_warnings": warnings_of(limits),
        "plan_standing": standing_of(plan, now) if plan else "",
        "limits": meters_of(limits),
        "charts": charts,
        "days": table_of(charts),
        "bar_width": bar_width(),
        "is_used": any(limit["used"] or limit["held"] for limit in limits) or any(chart.largest for chart in charts),
        "now": now,
    }


def _costs(user_id: int, plan: UserPlan | None, now: datetime) -> dict[str, Any]:
    """What AI tokens cost this month and will at the present pace; no `spending` where they cost nothing."""
    spending = spending_of(user_id, now)
    if plan is None or spending.window_start is None or not (spending.price_cents or spending.used):
        return {"spending": None}
    window = {"start": spending.window_start, "end": spending.resets_at, "since": plan.start_date, "now": now}
    return {
        "spending": spending,
        "spent_at_the_end": at_the_end(spending.used, **window),
        "cap_reached_at": runs_out_at(spending.used, spending.cap, **window),
    }


def _live(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The part that is replaced when it has changed: `html`, its `version`, and `said` for those who hear the page."""
    html = render_to_string("accounts/_usage_now.html", context, request)
    said = " ".join(warning["message"] for warning in context["usage_warnings"])
    return {"html": html, "version": _version(html), "said": said}


def _fresh_history(request: HttpRequest) -> str:
    """The newest page of the history, if it is another than `rows`."""
    if "rows" not in request.GET:
        return ""
    history = _history(request)
    if not (history["csv_url"] and history["is_first"]) or history["history_version"] == request.GET["rows"]:
        return ""
    return render_to_string("usage/_history_fresh.html", history, request)


def _history(request: HttpRequest) -> dict[str, Any]:
    """`rows` of one page with the form that chose them, the addresses of the next page and of the CSV ("": the form is
    wrong), and `history_body`, the page's HTML, with its version."""
    context = _page_of_history(request)
    body = render_to_string("usage/_history_body.html", context, request)
    return context | {"history_body": body, "history_version": _version(body)}


def _version(html: str) -> str:
    return hashlib.sha256(html.encode()).hexdigest()[:16]


def _page_of_history(request: HttpRequest) -> dict[str, Any]:
    zone = zone_of(request)
    form = HistoryForm(request.GET if request.method != "POST" else {})
    if not form.is_valid():
        return {"history_form": form, "rows": [], "is_filtered": True, "csv_url": "", "older": "", "is_first": True}
    filters, cursor = form.filters(zone), form.cleaned_data["cursor"]
    rows, next_cursor = rows_of(
        request.user.pk, limit=EVENTS_A_PAGE, fields=_SHOWN_OF_AN_EVENT, cursor=cursor or None, **filters
    )
    for row in rows:
        metered = FEATURES.get(row["feature"])
        row["label"] = metered.label if metered else row["feature"]
    chosen = {name: request.GET[name] for name in ("feature", "from", "to") if request.GET.get(name)}
    csv = {name: value if isinstance(value, str) else iso(value) for name, value in filters.items() if value}
    return {
        "history_form": form,
        "rows": rows,
        "chosen": chosen,
        "is_filtered": bool(chosen),
        "is_first": not cursor,
        "newest": f"?{urlencode(chosen)}#history",
        "older": f"?{urlencode(chosen | {'cursor': next_cursor})}#history" if next_cursor else "",
        "csv_url": f"{reverse('api:user_usage_csv')}?{urlencode(csv)}".rstrip("?"),
    }


def _first_call(user_id: int) -> str:
    """What Datilio's backend sends to count the first use."""
    return (
        f"curl {project_settings.BASE_URL}{reverse('api:usage_events')} \\\n"
        '  -H "Authorization: Api-Key $DATILIO_API_KEY" -H "Content-Type: application/json" \\\n'
        f'  -d \'{{"user_id": {user_id}, "feature": "ai_prompt", "amount": 1, "key": "first-use"}}\''
    )
