from django.urls import path

from billing import api as api_views
from billing import views

app_name = "billing"

pages = [
    path("billing/checkout", views.choose, name="choose"),
    path("billing/checkout/return", views.checkout_return, name="checkout_return"),
    path("billing/checkout/cancelled", views.checkout_cancelled, name="checkout_cancelled"),
]

api = [
    path("plans", api_views.PlansView.as_view(), name="plans"),
    path("create-checkout-session", api_views.CreateCheckoutSessionView.as_view(), name="create_checkout_session"),
    path("purchase/plan", api_views.PurchasePlanView.as_view(), name="purchase_plan"),
    path("user/cancel_plan", api_views.CancelPlanView.as_view(), name="cancel_plan"),
    path("user/resume_plan", api_views.ResumePlanView.as_view(), name="resume_plan"),
    path("user/invoices", api_views.InvoicesView.as_view(), name="user_invoices"),
    path("billing-portal-session", api_views.BillingPortalSessionView.as_view(), name="billing_portal_session"),
    path("stripe/webhook", api_views.stripe_webhook, name="stripe_webhook"),
]
