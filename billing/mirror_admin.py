"""dj-stripe's models in the admin: looked at, never edited. What changes is changed at Stripe, and mirrored."""

from django.contrib import admin
from django.db.models import Model
from djstripe.models import APIKey, WebhookEndpoint, WebhookEventTrigger

from datilio.admin_site import MIRROR
from datilio.read_only_admin import ReadOnlyAdmin

# They hold secrets, which no page shows; ours come from the environment.
HOLD_SECRETS = {APIKey, WebhookEndpoint}


class MirrorAdmin(ReadOnlyAdmin):
    """Without dj-stripe's own actions, which walk through the whole account at Stripe within one request."""

    search_fields = ("id",)
    show_full_result_count = False
    actions = None


class TriggerAdmin(ReadOnlyAdmin):
    """The inbox of Stripe's events."""

    list_display = ("id", "created", "event_type", "processed", "exception")
    list_filter = ("processed", "valid", "created")
    search_fields = ("=event__id",)
    search_help_text = "The whole id of the event"
    show_full_result_count = False
    ordering = ("-id",)
    # The stored headers are the signature only, but nobody needs them.
    fields = ("created", "event_type", "processed", "exception", "traceback", "event", "body")
    actions = None

    @admin.display(description="type")
    def event_type(self, trigger: WebhookEventTrigger) -> str:
        return trigger.json_body.get("type", "?")


def make_the_mirror_read_only(site: admin.AdminSite) -> None:
    for model in [model for model in site._registry if model._meta.app_label == MIRROR]:
        site.unregister(model)
        if model is WebhookEventTrigger:
            site.register(model, TriggerAdmin)
        elif model not in HOLD_SECRETS:
            names = {field.name for field in model._meta.fields}
            shown = [name for name in ("id", "created", "livemode") if name in names]
            site.register(model, _with(model, shown))


def _with(model: type[Model], columns: list[str]) -> type[MirrorAdmin]:
    return type(f"{model.__name__}MirrorAdmin", (MirrorAdmin,), {"list_display": columns})
