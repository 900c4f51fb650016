"""What must never reach production is refused before the first request."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from datilio.checks import refuse_to_start_unsafely


@pytest.fixture
def whole_production(settings):
    settings.PRODUCTION = True
    settings.EMBEDDED = False
    settings.STRIPE_SECRET_KEY = "sk_live_" + "x" * 24
    settings.STRIPE_LIVE_MODE = True
    settings.STRIPE_WEBHOOK_SECRET = "whsec_x"
    settings.STRIPE_API_HOST = "https://api.stripe.com"
    settings.REDIS_URL = "redis://cache"
    settings.CELERY_BROKER_URL = "redis://queue"
    settings.RATELIMIT_ENABLE = True
    settings.ALLOWED_HOSTS = ["billing.example"]
    settings.BASE_URL = "https://billing.example"
    settings.SECRET_KEY = "s" * 60
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.DATABASES["default"] = settings.DATABASES["default"] | {"ENGINE": "django.db.backends.postgresql"}
    return settings


def test_a_whole_production_starts(whole_production):
    refuse_to_start_unsafely()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("STRIPE_API_HOST", "http://127.0.0.1:12111"),
        ("REDIS_URL", ""),
        ("CELERY_BROKER_URL", ""),
        ("RATELIMIT_ENABLE", False),
        ("DEBUG", True),
        ("ALLOWED_HOSTS", []),
        ("BASE_URL", "http://billing.example"),
        ("SECRET_KEY", "short"),
        ("ACCOUNT_EMAIL_VERIFICATION", "optional"),
    ],
)
def test_it_refuses_to_start(whole_production, name, value):
    setattr(whole_production, name, value)
    with pytest.raises(ImproperlyConfigured, match="Refusing to start"):
        refuse_to_start_unsafely()


def test_a_live_key_is_refused_outside_of_production_too(settings):
    settings.STRIPE_LIVE_MODE = True
    settings.STRIPE_API_HOST = "http://127.0.0.1:12111"
    with pytest.raises(ImproperlyConfigured, match="live Stripe key"):
        refuse_to_start_unsafely()
