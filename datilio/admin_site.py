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
                    app["name"] = "Stripe's objects (read only)"
                    app["models"] = [
                        {"name": "All of them", "object_name": "All", "admin_url": app["app_url"], "view_only": True}
                    ]
                elif app["app_label"] == "account":
                    app["name"] = "E-mail addresses"  # allauth's name for itself is our own app's
            apps.sort(key=lambda app: app["app_label"] == MIRROR)
        return apps
