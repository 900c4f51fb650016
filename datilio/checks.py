"""What must never reach production. `manage.py check --deploy` reports it; wsgi.py and asgi.py refuse to start."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver


@register("datilio")
def every_url_has_a_rate_limit(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    from datilio.rate_limits import policies_for, url_names

    return [
        Error(
            f"The URL {pattern.pattern!s} ({name or 'without a name'}) has no rate limit.",
            hint="Name it and add it to POLICIES in datilio/rate_limits.py.",
            id="datilio.E001",
        )
        for name, pattern in url_names(get_resolver().url_patterns)
        if policies_for(name) is None
    ]


@register("datilio")
def a_live_key_goes_to_stripe_only(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    if settings.STRIPE_LIVE_MODE and settings.STRIPE_API_HOST != "https://api.stripe.com":
        return [
            Error(
                f"A live Stripe key would be sent to {settings.STRIPE_API_HOST}.",
                hint="Unset STRIPE_API_HOST, or use a test key.",
                id="datilio.E002",
            )
        ]
    return []


@register("datilio")
def production_is_whole(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION:
        return []
    needs = [
        (bool(settings.STRIPE_SECRET_KEY), "E010", "STRIPE_SECRET_KEY is not set."),
        (bool(settings.STRIPE_WEBHOOK_SECRET), "E011", "STRIPE_WEBHOOK_SECRET is not set: no event would be taken."),
        (bool(settings.REDIS_URL), "E012", "REDIS_URL is not set: each process would count its own rate limits."),
        (settings.RATELIMIT_ENABLE, "E013", "RATELIMIT_ENABLE is false."),
        (not settings.DEBUG, "E014", "DEBUG is on: it shows settings and lets a header replace the webhook secret."),
        ("sqlite" not in settings.DATABASES["default"]["ENGINE"], "E015", "DATABASE_URL is not set."),
        (bool(settings.ALLOWED_HOSTS), "E016", "ALLOWED_HOSTS is not set."),
        (
            urlsplit(settings.BASE_URL).scheme == "https",
            "E017",
            "BASE_URL is not https://: mails and Stripe link to it.",
        ),
        (bool(settings.CELERY_BROKER_URL), "E018", "CELERY_BROKER_URL is not set: Stripe would wait for our work."),
        (len(settings.SECRET_KEY) >= 50, "E019", "SECRET_KEY is shorter than 50 characters."),
        (
            settings.ACCOUNT_EMAIL_VERIFICATION == "mandatory",
            "E020",
            "ACCOUNT_EMAIL_VERIFICATION is not mandatory: anyone could take another's address.",
        ),
    ]
    return [
        Error(message, hint="See the production checklist in README.md.", id=f"datilio.{number}")
        for fine, number, message in needs
        if not fine
    ]


def refuse_to_start_unsafely() -> None:
    """Raise ImproperlyConfigured with every error above. Servers do not run system checks, so wsgi.py does."""
    errors = a_live_key_goes_to_stripe_only() + production_is_whole()
    if errors:
        raise ImproperlyConfigured("Refusing to start: " + " ".join(str(error.msg) for error in errors))
