"""The admin of billing. One file for each of its parts, all registered from here."""

from django.contrib import admin

from billing import admin_mails, admin_plans, admin_reconcile, admin_tokens, admin_user_plans  # noqa: F401
from billing.mirror_admin import make_the_mirror_read_only

# dj-stripe stands before billing in INSTALLED_APPS: its models are registered by now.
make_the_mirror_read_only(admin.site)
