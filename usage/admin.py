"""Staff look at usage here and change none of it; API keys are made and revoked here."""

from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from datilio.read_only_admin import ReadOnlyAdmin
from usage.api_keys import SCOPES, make_api_key, revoke_api_key
from usage.models import ApiKey, ModelFactor, SpendCap, UsageAlert, UsageCounter, UsageEvent, UsageWarningChoice
from usage.price_book import AHEAD


class ShortPaginator(Paginator):
    """Counts no further than anybody would turn pages: COUNT over millions of rows takes seconds."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        return self.object_list[: self.MOST].count()


class UsageAdmin(ReadOnlyAdmin):
    paginator = ShortPaginator
    show_full_result_count = False
    list_select_related = ("user",)
    ordering = ("-id",)
    # The whole address: one place in an index.
    search_fields = ("user__email__exact",)
    search_help_text = "The customer's whole e-mail address, in lower case."


@admin.register(UsageEvent)
class UsageEventAdmin(UsageAdmin):
    list_display = ("timestamp", "user", "feature", "amount", "used_after", "limit_then", "model", "source", "key")
    list_filter = ("feature", "timestamp")


@admin.register(UsageCounter)
class UsageCounterAdmin(UsageAdmin):
    list_display = ("user", "feature", "window_start", "used")
    list_filter = ("feature", "window_start")


@admin.register(UsageAlert)
class UsageAlertAdmin(UsageAdmin):
    list_display = ("created_at", "user", "feature", "threshold", "window_start", "told_at")
    list_filter = ("feature", "threshold", "created_at")


@admin.register(UsageWarningChoice)
class UsageWarningChoiceAdmin(UsageAdmin):
    list_display = ("user", "feature", "own_threshold", "mails")
    list_filter = ("feature", "mails")


class ModelFactorForm(forms.ModelForm):
    class Meta:
        model = ModelFactor
        fields = ("model", "factor", "valid_from")

    def clean_valid_from(self) -> Any:
        valid_from = self.cleaned_data["valid_from"]
        # Every process has looked at the book again by then: all agree from the first event on.
        if valid_from < timezone.now() + AHEAD:
            raise forms.ValidationError(
                f"At least {AHEAD.seconds // 60} minutes ahead: what is used is not priced anew."
            )
        return valid_from


@admin.register(ModelFactor)
class ModelFactorAdmin(admin.ModelAdmin):
    """The price book: versions are added. Until one is in force it may be changed or taken back."""

    form = ModelFactorForm
    list_display = ("model", "factor", "valid_from", "is_in_force")
    list_filter = ("model",)
    search_fields = ("model",)

    @admin.display(boolean=True, description="in force or past")
    def is_in_force(self, row: ModelFactor) -> bool:
        return row.valid_from <= timezone.now() + AHEAD

    def has_change_permission(self, request: HttpRequest, obj: ModelFactor | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or not self.is_in_force(obj))

    def has_delete_permission(self, request: HttpRequest, obj: ModelFactor | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or not self.is_in_force(obj))

    def get_actions(self, request: HttpRequest) -> Any:
        # Deleting many at once would not ask for each.
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


@admin.register(SpendCap)
class SpendCapAdmin(ReadOnlyAdmin):
    list_display = ("user", "cents", "updated_at")
    list_select_related = ("user",)
    search_fields = ("user__email__exact",)


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = ApiKey
        fields = ("name", "scopes")


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    form = ApiKeyForm
    list_display = ("name", "prefix", "scopes", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ApiKeyForm, change: bool) -> None:
        row, key = make_api_key(form.cleaned_data["name"], form.cleaned_data["scopes"])
        obj.pk = row.pk
        obj.refresh_from_db()
        # For response_add of this request; it is written nowhere.
        request.new_api_key = key

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key on this very page: a message would carry it through a cookie or the session."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Copy the API key now",
            "opts": self.opts,
            "api_key": obj,
            "key": request.new_api_key,
        }
        return TemplateResponse(request, "admin/usage/apikey/made.html", context)

    @admin.action(description="Revoke the selected API keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for api_key in queryset:
            revoke_api_key(api_key, timezone.now())
        messages.success(request, "Revoked. They are refused from now on.")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        # The list with its action, yes; but a key is never edited. What it may do was settled when it was made.
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        # Its events name it. Revoke it instead.
        return False
