"""The addresses of accounts: `pages` lie at the root, `api` under /api/. See datilio/urls.py."""

from django.urls import path

from accounts import api as api_views
from accounts import billing_views, change_views, usage_views, views

pages = [
    path("account", views.settings, name="settings"),
    path("account/change", change_views.change_plan, name="change_plan"),
    path("account/cancel", views.cancel_plan, name="cancel_plan"),
    path("account/resume", views.resume_plan, name="resume_plan"),
    path("account/billing", billing_views.billing, name="billing"),
    path("account/billing/portal", billing_views.portal, name="portal"),
    path("account/usage", usage_views.usage, name="usage"),
    path("account/usage/live", usage_views.usage_live, name="usage_live"),
    path("account/usage/warnings", usage_views.usage_warnings, name="usage_warnings"),
    path("account/close", views.close_account, name="close_account"),
]

api = [
    path("auth/register", api_views.RegisterView.as_view(), name="register"),
    path("auth/login", api_views.LogInView.as_view(), name="login"),
    path("auth/refresh", api_views.RefreshView.as_view(), name="refresh"),
    path("auth/logout", api_views.LogOutView.as_view(), name="logout"),
    path("purchase/preview", api_views.PurchasePreviewView.as_view(), name="purchase_preview"),
    path("user/plan", api_views.UserPlanView.as_view(), name="user_plan"),
]
