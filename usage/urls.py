"""Addresses of `usage`; datilio/urls.py puts `pages` into the namespace "usage" and `api` under /api/ as "api"."""

from django.conf import settings
from django.urls import path

from usage import api as usage_api
from usage import views

api = [
    path("usage/events", usage_api.UsageEventsView.as_view(), name="usage_events"),
    path("usage/holds", usage_api.UsageHoldsView.as_view(), name="usage_holds"),
    path("usage/holds/<int:hold_id>/settle", usage_api.SettleHoldView.as_view(), name="settle_hold"),
    path("usage/holds/<int:hold_id>/release", usage_api.ReleaseHoldView.as_view(), name="release_hold"),
    path("user/usage", usage_api.UserUsageView.as_view(), name="user_usage"),
    path("user/usage.csv", usage_api.UserUsageCsvView.as_view(), name="user_usage_csv"),
]

pages = []
# The "try it" panel plays the part of Datilio's product; a production server has the product itself.
if settings.EMBEDDED:
    pages = [
        path("try/upload", views.try_upload, name="try_upload"),
        path("try/prompt", views.try_prompt, name="try_prompt"),
        path("try/rows", views.try_rows, name="try_rows"),
    ]
