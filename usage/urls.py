"""Addresses of `usage`; datilio/urls.py puts `pages` into the namespace "usage" and `api` under /api/ as "api"."""

from django.conf import settings
from django.urls import path

from usage import api as usage_api
from usage import spending_api, spending_views, views

api = [
    path("usage/events", usage_api.UsageEventsView.as_view(), name="usage_events"),
    path("usage/holds", usage_api.UsageHoldsView.as_view(), name="usage_holds"),
    path("usage/holds/<int:hold_id>/settle", usage_api.SettleHoldView.as_view(), name="settle_hold"),
    path("usage/holds/<int:hold_id>/release", usage_api.ReleaseHoldView.as_view(), name="release_hold"),
    path("usage/quote", spending_api.QuoteView.as_view(), name="usage_quote"),
    path("user/usage/quote", spending_api.UserQuoteView.as_view(), name="user_usage_quote"),
    path("user/spend_cap", spending_api.SpendCapView.as_view(), name="spend_cap"),
    path("user/receipts", spending_api.ReceiptsView.as_view(), name="receipts"),
    path("user/receipts/events", spending_api.ReceiptEventsView.as_view(), name="receipt_events"),
    path("user/usage", usage_api.UserUsageView.as_view(), name="user_usage"),
    path("user/usage.csv", usage_api.UserUsageCsvView.as_view(), name="user_usage_csv"),
]

pages = [
    path("account/ai-costs", spending_views.ai_costs, name="ai_costs"),
    path("account/ai-costs/receipt", spending_views.receipt, name="receipt"),
    path("account/ai-costs/cap", spending_views.change_cap, name="change_cap"),
]
# The "try it" panel plays the part of Datilio's product; a production server has the product itself.
if settings.EMBEDDED:
    pages += [
        path("try/upload", views.try_upload, name="try_upload"),
        path("try/prompt", views.try_prompt, name="try_prompt"),
        path("try/rows", views.try_rows, name="try_rows"),
    ]
