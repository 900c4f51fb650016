"""The "try it" panel: stands in for Datilio's product in the embedded default, so that a newcomer sees meters move.

Nothing that is sent is kept: a file is measured and dropped, a prompt is only counted.
"""

import uuid
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from billing.subscriptions import live_plan
from billing.tasks import report_token_usage
from datilio.celery import ring
from datilio.errors import DomainError, InvalidInput
from datilio.templatetags.writing import plural
from usage.features import FEATURES, Feature
from usage.forms import PromptForm, RowsForm, TryItForm, UploadForm
from usage.limits import limits_of, meters_of
from usage.metering import record, record_prompt
from usage.uploads import MB, MeasuringUploadHandler

View = Callable[[HttpRequest], HttpResponse]


def try_it_context(user_id: int, now: datetime) -> dict[str, Any]:
    """What templates/usage/_try_it.html and _meters.html need: `limits` (LimitOut with label and period) and
    `try_it_key` (the hidden field `key` of each form). After a press also `try_it_message` or `try_it_error`
    (a DomainError; its details may hold next_url and next_label)."""
    return {"limits": meters_of(limits_of(user_id, now)), "try_it_key": uuid.uuid4().hex}


def _part_of_the_panel(view: View) -> View:
    """POST, in the embedded default, by somebody who is logged in. Asked before the body is read."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if not settings.EMBEDDED:
            raise Http404
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("accounts:settings"))
        return view(request)

    return require_POST(checked)


# Reading the CSRF token reads the body, so the handler must be there first: exempt outside, protected inside.
@csrf_exempt
@_part_of_the_panel
def try_upload(request: HttpRequest) -> HttpResponse:
    user_plan = live_plan(request.user.pk)
    # Without a plan the first byte is too much; `record` says why.
    limit_mb = user_plan.plan.file_size_limit_mb if user_plan and user_plan.is_active(timezone.now()) else 0
    measured = MeasuringUploadHandler(request, None if limit_mb is None else limit_mb * MB)
    request.upload_handlers = [measured]
    return _count_upload(request, measured)


@csrf_protect
def _count_upload(request: HttpRequest, measured: MeasuringUploadHandler) -> HttpResponse:
    form = UploadForm(request.POST)

    def count() -> str:
        files = len(measured.sizes) + (measured.too_large is not None)
        if not files:
            raise InvalidInput({"file": ["Missing."]}, "Choose a file first.")
        largest = max([*measured.sizes, measured.too_large or 0])
        recorded = record(
            request.user.pk,
            Feature.FILE_UPLOAD.value,
            files,
            size_mb=largest / MB,
            source=_source(request),
            key=f"upload:{form.cleaned_data['key']}",
            now=timezone.now(),
        )
        counted = "1 file was counted" if files == 1 else f"{files} files were counted"
        return f"{counted}, and thrown away. {_left(recorded.limit)}"

    return _answer(request, form, count)


@_part_of_the_panel
def try_prompt(request: HttpRequest) -> HttpResponse:
    form = PromptForm(request.POST)

    def count() -> str:
        # About four characters of English are a token; the answer that nobody gives is taken as long as the question.
        tokens = 2 * max(1, len(form.cleaned_data["prompt"]) // 4)
        prompt, _ = record_prompt(
            request.user.pk,
            tokens,
            source=_source(request),
            key=f"prompt:{form.cleaned_data['key']}",
            model="demo",
            now=timezone.now(),
        )
        # Nothing runs by the clock in the embedded default.
        ring(report_token_usage, request.user.pk)
        return f"1 prompt and {tokens:,} tokens were counted. {_left(prompt.limit)}"

    return _answer(request, form, count)


@_part_of_the_panel
def try_rows(request: HttpRequest) -> HttpResponse:
    form = RowsForm(request.POST)

    def count() -> str:
        rows = form.cleaned_data["rows"]
        recorded = record(
            request.user.pk,
            Feature.SYNTHETIC_ROWS.value,
            rows,
            source=_source(request),
            key=f"rows:{form.cleaned_data['key']}",
            now=timezone.now(),
        )
        return f"{rows:,} synthetic rows were counted. {_left(recorded.limit)}"

    return _answer(request, form, count)


def _source(request: HttpRequest) -> str:
    """Keys come from the browser: they are kept apart by user, or one could be refused for another's key."""
    return f"try-it:{request.user.pk}"


def _left(limit: dict[str, Any]) -> str:
    metered = FEATURES[limit["feature"]]
    used, left = limit["used"], limit["remaining"]
    if left is None:
        return f"{metered.counted(used)} {plural(used, 'is,are')} used; your plan sets no limit."
    return f"{left:,} of {metered.counted(limit['limit'])} {plural(left, 'is,are')} left."


def _answer(request: HttpRequest, form: TryItForm, count: Callable[[], str]) -> HttpResponse:
    """Count, and say how it went: with htmx as a new panel and new meters, else on the account page."""
    said, error = "", None
    try:
        if not form.is_valid():
            raise InvalidInput(dict(form.errors), form.first_error())
        said = count()
    except DomainError as exc:
        error = exc

    if request.htmx:
        context = try_it_context(request.user.pk, timezone.now())
        context |= {"try_it_message": said, "try_it_error": error}
        # 200 for a refusal as well: htmx swaps nothing else in.
        return HttpResponse(
            render_to_string("usage/_try_it.html", context, request)
            + render_to_string("usage/_meters.html", {**context, "out_of_band": True}, request)
        )
    if error is None:
        messages.success(request, said)
    elif "next_url" in error.details:
        way_out = (error.details["next_url"], error.details["next_label"])
        messages.error(request, format_html('{} <a href="{}">{}</a>', error.message, *way_out))
    else:
        messages.error(request, error.message)
    return redirect("accounts:settings")
