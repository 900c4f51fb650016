"""The whole address map. Every name has its rate limit in datilio/rate_limits.py."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import accounts.urls
import billing.urls
import billing.views
import usage.urls
from datilio import views

api = [
    *accounts.urls.api,
    *billing.urls.api,
    *usage.urls.api,
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", template_name="api_docs.html"),
        name="docs",
    ),
]

urlpatterns = [
    path("", views.home, name="home"),
    path("pricing", billing.views.pricing, name="pricing"),
    path("styleguide", views.styleguide, name="styleguide"),
    path("styleguide/mails", views.styleguide_mails, name="styleguide_mails"),
    path("styleguide/mails/<slug:slug>", views.styleguide_mail, name="styleguide_mail"),
    path("theme", views.theme, name="theme"),
    path("zone", views.zone, name="zone"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("", include((billing.urls.pages, "billing"))),
    path("", include((accounts.urls.pages, "accounts"))),
    path("", include((usage.urls.pages, "usage"))),
    path("accounts/", include("allauth.account.urls")),
    path("api/", include((api, "api"))),
    path("admin/", admin.site.urls),
]

handler400 = "datilio.error_rendering.bad_request"
handler403 = "datilio.error_rendering.permission_denied"
handler404 = "datilio.error_rendering.page_not_found"
handler500 = "datilio.error_rendering.server_error"
