"""Which admin site Django uses. Apart from admin_site.py, whose imports need models that are not there yet."""

from django.contrib.admin.apps import AdminConfig


class DatilioAdminConfig(AdminConfig):
    """In INSTALLED_APPS instead of django.contrib.admin."""

    default_site = "datilio.admin_site.DatilioAdminSite"
