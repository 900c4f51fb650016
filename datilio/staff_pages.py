"""Pages of the admin that ask staff before something happens: a form, then what is going to happen, then it does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse

CONFIRMED = "_confirmed"


@dataclass(frozen=True)
class Change:
    """A line of a diff: what it is, as it was, as it is going to be."""

    label: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Question:
    """title names the act, text says it; facts: (label, value); effects: sentences; button: the words of "yes"."""

    title: str
    button: str
    facts: Sequence[tuple[str, Any]] = ()
    changes: Sequence[Change] = ()
    effects: Sequence[str] = ()
    is_dangerous: bool = False
    error: str = ""
    back_url: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def ask_form(
    request: HttpRequest, model_admin: admin.ModelAdmin, title: str, form: forms.Form, *, text: str, status: int = 200
) -> TemplateResponse:
    """The form, whose button leads to the question."""
    context = {"form": form, "text": text, **_frame(request, model_admin, title)}
    return TemplateResponse(request, "admin/staff_form.html", context, status=status)


def ask(
    request: HttpRequest, model_admin: admin.ModelAdmin, question: Question, *, status: int = 200
) -> TemplateResponse:
    """ "Is this what you want?" Yes sends what was sent once more, with CONFIRMED (is_confirmed(request))."""
    sent = [(name, value) for name, values in request.POST.lists() for value in values]
    hidden = [(n, v) for n, v in sent if n not in ("csrfmiddlewaretoken", CONFIRMED)]
    context = {"question": question, "hidden": hidden, "confirmed": CONFIRMED}
    return TemplateResponse(
        request, "admin/staff_question.html", context | _frame(request, model_admin, question.title), status=status
    )


def is_confirmed(request: HttpRequest) -> bool:
    return CONFIRMED in request.POST


def _frame(request: HttpRequest, model_admin: admin.ModelAdmin, title: str) -> dict[str, Any]:
    model: type[Model] = model_admin.model
    return {**model_admin.admin_site.each_context(request), "title": title, "opts": model._meta}
