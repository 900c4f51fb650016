"""Django's admin with Stripe's mirror out of the way: dj-stripe's forty models are a line at the end of the index."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

MIRROR = "djstripe"


class DatilioAdminSite(admin.AdminSite):
    site_header = "Datilio administration"
    site_title = "Datilio administration"

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = super().get_app_list(request, app_label)
        if app_label is None:
            for app in apps:
                if app["app_label"] == MIRROR:
                    # Its name leads to the list of all of them.
                    app["name"], app["models"] = "Stripe's objects (read only)", []
            apps.sort(key=lambda app: app["app_label"] == MIRROR)
        return apps
