"""Users and their log-ins for staff."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone

from accounts.models import RefreshTokenFamily, User
from accounts.services import close_account
from billing.admin_reconcile import compare_with_stripe
from billing.subscriptions import live_plan
from datilio.errors import DomainError
from datilio.staff_pages import Question, ask, is_confirmed

# Staff log in on the site's own page: Django's admin form would skip allauth's count of failures and its verification.
admin.site.login = secure_admin_login(admin.site.login)


RANKS = ("is_staff", "is_superuser", "groups", "user_permissions")


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """Is it a customer (or nobody in particular), or a superuser who asks?"""
    return request.user.is_superuser or user is None or not (user.is_staff or user.is_superuser)


class UserCreationForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)


class SearchByAddress:
    """Search by how an address begins: the one kind of search that an index serves."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return super().get_search_results(request, queryset, search_term.lower())  # type: ignore[misc]


@admin.register(User)
class UserAdmin(SearchByAddress, DjangoUserAdmin):
    list_display = ("email", "is_staff", "is_active", "date_joined", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email__startswith",)
    search_help_text = "How the address begins"
    ordering = ("-id",)
    show_full_result_count = False
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Record", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)
    add_form = UserCreationForm
    actions = ("compare",)

    # Django lets whoever may change users make themselves a superuser, or set a superuser's password. Ranks are given
    # by superusers; who else may change users changes customers.

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Sequence[str]:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *RANKS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.close)
        return [path("<int:user_id>/close/", view, name="accounts_user_close"), *super().get_urls()]

    @admin.action(description="Compare with Stripe, and say what changed", permissions=["change"])
    def compare(self, request: HttpRequest, users: QuerySet[User]) -> None:
        compare_with_stripe(request, set(users.values_list("pk", flat=True)))

    def close(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """The same as on the customer's own page, for somebody who writes to us."""
        user = get_object_or_404(User, pk=user_id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        plan = live_plan(user.pk)
        question = Question(
            title=f"Close the account of {user}?",
            button="Yes, close it",
            facts=[("User", user), ("Plan", plan.plan if plan else "none")],
            effects=[
                "The plan ends now at Stripe; nothing more is charged, open bills are void, nothing is refunded.",
                "They are logged out everywhere and told by mail; their address is free for a new registration.",
                "Invoices stay with Stripe. This cannot be undone.",
            ],
            is_dangerous=True,
            back_url=reverse("admin:accounts_user_change", args=[user.pk]),
        )
        if request.method != "POST" or not is_confirmed(request):
            return ask(request, self, question)
        try:
            close_account(user, by=request.user)
        except DomainError as error:
            return ask(request, self, replace(question, error=error.message), status=error.status)
        messages.success(request, f"The account {user_id} is closed.")
        return HttpResponseRedirect(reverse("admin:accounts_user_changelist"))

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """A new address replaces allauth's record of the old one, which could log in and be mailed to otherwise."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if change and "email" in form.changed_data:
                EmailAddress.objects.filter(user=obj).delete()
                EmailAddress.objects.create(user=obj, email=obj.email, primary=True, verified=False)


@admin.register(RefreshTokenFamily)
class RefreshTokenFamilyAdmin(SearchByAddress, admin.ModelAdmin):
    """One row per log-in of the API. Nothing to edit; `revoke` ends one."""

    list_display = ("user", "created_at", "rotated_at", "expires_at", "is_live")
    list_select_related = ("user",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("user__email__startswith",)
    search_help_text = "How the user's address begins"
    # By the primary key's index would be by chance (UUIDs); by expiry is by age, and has an index.
    ordering = ("-expires_at",)
    show_full_result_count = False
    fields = ("user", "created_at", "rotated_at", "expires_at", "revoked_at")
    readonly_fields = fields
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_refreshtokenfamily")

    @admin.display(boolean=True, description="live")
    def is_live(self, family: RefreshTokenFamily) -> bool:
        return family.revoked_at is None and family.expires_at > timezone.now()

    @admin.action(description="Revoke (ends the log-in)", permissions=["revoke"])
    def revoke(self, request: HttpRequest, families: QuerySet[RefreshTokenFamily]) -> None:
        # By key: the list's own queryset may be sliced or joined, which UPDATE is not.
        count = RefreshTokenFamily.objects.filter(pk__in=families.values_list("pk", flat=True)).live().revoke()
        self.message_user(request, f"{count} log-in(s) ended.", messages.SUCCESS)
