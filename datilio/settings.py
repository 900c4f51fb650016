"""The whole configuration, driven by the environment.

With nothing set this is the embedded default: sqlite, in-process cache, tasks run where they are called, the local
Stripe. The README's environment table lists every variable; datilio/checks.py lists what must never reach production.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from datilio.openapi import INTRODUCTION

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env.str("STATE_DIR", default=str(BASE_DIR / "var"))).resolve()

DATILIO_ENV = env.str("DATILIO_ENV", default="embedded")
if DATILIO_ENV not in ("embedded", "production"):
    raise ImproperlyConfigured(f"DATILIO_ENV is 'embedded' or 'production', not {DATILIO_ENV!r}.")
PRODUCTION = DATILIO_ENV == "production"
EMBEDDED = not PRODUCTION
DEBUG = env.bool("DEBUG", default=False)

PORT = env.int("PORT", default=8000)
BASE_URL = env.str("BASE_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")


def _embedded_secret_key() -> str:
    """One random key per STATE_DIR, made on first use and readable by its owner only."""
    path = STATE_DIR / "secret_key"
    STATE_DIR.mkdir(parents=True, exist_ok=True)
    # Several processes start together: the key is written whole elsewhere, then linked into place, so exactly one of
    # them sets it and none reads half of one.
    if not path.exists():
        draft = STATE_DIR / f".secret_key.{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another was first
        finally:
            draft.unlink()
    return path.read_text()


SECRET_KEY = env.str("SECRET_KEY") if PRODUCTION else env.str("SECRET_KEY", default="") or _embedded_secret_key()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

# The embedded default answers on this machine only: who puts it on a real host is stopped by a 400, not by a leak.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# How many proxies of ours stand in front: the client's address is that many hops from the right of X-Forwarded-For.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)

INSTALLED_APPS = [
    "datilio.admin_apps.DatilioAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "csp",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "djstripe",
    "datilio",
    # After djstripe: its own handlers must have stored an event's object before ours look at it.
    "billing",
    "usage",
    "accounts",
]

MIDDLEWARE = [
    "datilio.request_id.RequestIdMiddleware",
    "datilio.caching.PrivateByDefaultMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    # Before CsrfViewMiddleware, whose process_view reads the body: a refused caller's body is never read.
    "datilio.rate_limits.RateLimitMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "datilio.error_rendering.DomainErrorMiddleware",
]

ROOT_URLCONF = "datilio.urls"
WSGI_APPLICATION = "datilio.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "accounts.context_processors.customer",
            ],
        },
    },
]

# --- database -----------------------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default="")
if DATABASE_URL:
    DATABASES = {"default": env.db_url_config(DATABASE_URL)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(STATE_DIR / "db.sqlite3"),
            # A file, not ":memory:": tests with several threads need real connections.
            "TEST": {"NAME": str(STATE_DIR / "test.sqlite3")},
        }
    }
_database = DATABASES["default"]
_database["CONN_MAX_AGE"] = None
_database["CONN_HEALTH_CHECKS"] = True
if _database["ENGINE"] == "django.db.backends.sqlite3":
    STATE_DIR.mkdir(parents=True, exist_ok=True)
    _database.setdefault("OPTIONS", {}).update(
        {
            # Without IMMEDIATE 3-11 of 13 concurrent webhooks failed with "database is locked" (docs/pitfalls).
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
    )
else:
    _database.setdefault("OPTIONS", {}).update(
        {
            "server_side_binding": True,
            "options": f"-c statement_timeout={env.int('DATABASE_STATEMENT_TIMEOUT_MS', default=15000)}",
        }
    )
# Statements that are run for every event are prepared on the server. A pooler in transaction mode must know how to
# (PgBouncer from 1.21 with max_prepared_statements); else switch it off.
DATABASE_PREPARE = env.bool("DATABASE_PREPARE", default=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# dj-stripe's migrations take about a minute of CPU; `prepare_database` makes its tables without them on a fresh
# database and then marks them as applied.
if env.bool("DJSTRIPE_WITHOUT_MIGRATIONS", default=False):
    MIGRATION_MODULES = {"djstripe": None}

# --- cache, tasks -------------------------------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "datilio",
            # A cache that hangs must not hang the site with it.
            "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "datilio",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
CELERY_TASK_ALWAYS_EAGER = not CELERY_BROKER_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 120
# Else a mail that the console backend prints is logged as a warning.
CELERY_WORKER_REDIRECT_STDOUTS = False
# A broker that is down must neither hold nor break a request: the inbox rows are the truth, a sweep finds them.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 2, "max_retries": 0}
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BEAT_SCHEDULE = {
    "process webhooks that a lost message left behind": {
        "task": "billing.tasks.sweep_webhooks",
        "schedule": timedelta(minutes=1),
    },
    "send mails that were left behind": {
        "task": "billing.tasks.sweep_billing_mails",
        "schedule": timedelta(minutes=1),
    },
    # Well within the hour in which Stripe's draft of a renewal still takes in what is reported.
    "report AI tokens to Stripe's meter": {
        "task": "billing.tasks.report_token_usage",
        "schedule": timedelta(minutes=1),
    },
    # Often, so that a reminder is late by hours and never by a day; each is written once.
    "remind of what is going to be charged": {
        "task": "billing.tasks.write_reminders",
        "schedule": timedelta(hours=6),
    },
    "compare everything with Stripe": {
        "task": "billing.tasks.reconcile_nightly",
        "schedule": crontab(hour=3, minute=10),
    },
    "go on with a comparison that stopped": {
        "task": "billing.tasks.reconcile_slice",
        "schedule": timedelta(minutes=10),
    },
    "forget old answers to Idempotency-Keys": {
        "task": "billing.tasks.forget_old_answers",
        "schedule": timedelta(days=1),
    },
    "make the months of the usage events ahead": {
        "task": "usage.tasks.make_usage_partitions",
        "schedule": timedelta(days=1),
    },
    "give back what expired holds hold": {
        "task": "usage.tasks.give_back_expired_holds",
        "schedule": timedelta(minutes=1),
    },
    "write the warnings of usage that were left behind": {
        "task": "usage.tasks.sweep_usage_warnings",
        "schedule": timedelta(minutes=1),
    },
    "forget the keys of usage events that nobody sends again": {
        "task": "usage.tasks.forget_old_usage_keys",
        "schedule": timedelta(days=1),
    },
}

# --- rate limits: the policy table is datilio/rate_limits.py --------------------------------------------------------

RATELIMIT_ENABLE = env.bool("RATELIMIT_ENABLE", default=True)
RATELIMIT_IP_META_KEY = "datilio.client_address.client_address"
SILENCED_SYSTEM_CHECKS = [
    # dj-stripe warns that STRIPE_API_HOST is set: that is how the local Stripe is reached.
    "djstripe.W002",
    # Redis through Django's own backend counts atomically (INCR); django-ratelimit knows only third-party backends.
    "django_ratelimit.W001",
]
if EMBEDDED:
    # One process, so an in-process counter is a true counter. Production is refused without a shared cache.
    SILENCED_SYSTEM_CHECKS.append("django_ratelimit.E003")

# --- who they are -------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
# allauth's is Django's ModelBackend with log-in by address; both would hash every wrong password twice.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "accounts:settings"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_UNIQUE_EMAIL = True
# A second, unverified address on somebody's account would keep its true owner from signing up.
ACCOUNT_MAX_EMAIL_ADDRESSES = 1
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", default="mandatory" if PRODUCTION else "optional")
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_REDIRECT_URL = "home"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_DEFAULT_HTTP_PROTOCOL = urlsplit(BASE_URL).scheme
# The policy table counts by address; allauth adds what only it knows: failures per account.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/5m/key"} if RATELIMIT_ENABLE else False
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT

ACCESS_TOKEN_MINUTES = env.int("ACCESS_TOKEN_MINUTES", default=10)
REFRESH_TOKEN_DAYS = env.int("REFRESH_TOKEN_DAYS", default=30)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=ACCESS_TOKEN_MINUTES),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=REFRESH_TOKEN_DAYS),
    "UPDATE_LAST_LOGIN": False,
    # A token dies with the password that it was given for.
    "CHECK_REVOKE_TOKEN": True,
    "ISSUER": "datilio",
    # Two servers' clocks differ a little; without it a token from the faster one is "not yet valid" at the other.
    "LEEWAY": 5,
}

# --- the API --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.AccessTokenAuthentication",
        "accounts.authentication.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["datilio.json_input.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "datilio.error_rendering.api_exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Datilio Billing",
    "DESCRIPTION": INTRODUCTION,
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Of LimitOut and of what it is a part of.
    "ENUM_NAME_OVERRIDES": {"LimitOutStatusEnum": ["ok", "approaching", "exceeded", "unlimited"]},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "datilio.openapi.add_problems",
        "datilio.openapi.name_operations",
    ],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

# --- money ----------------------------------------------------------------------------------------------------------

STRIPE_SANDBOX_PORT = env.int("STRIPE_SANDBOX_PORT", default=12111)
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
LOCAL_STRIPE = not STRIPE_SECRET_KEY and EMBEDDED
if LOCAL_STRIPE:
    STRIPE_SECRET_KEY = "sk_test_DatilioLocalSandbox0000000000"
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="whsec_DatilioLocalSandbox" if LOCAL_STRIPE else "")
STRIPE_API_HOST = env.str(
    "STRIPE_API_HOST",
    default=f"http://127.0.0.1:{STRIPE_SANDBOX_PORT}" if LOCAL_STRIPE else "https://api.stripe.com",
).rstrip("/")
STRIPE_CHECKOUT_ORIGINS = env.list(
    "STRIPE_CHECKOUT_ORIGINS",
    default=[STRIPE_API_HOST]
    if LOCAL_STRIPE
    else ["https://checkout.stripe.com", "https://billing.stripe.com", "https://invoice.stripe.com"],
)
# A portal configuration of one's own (bpc_...); without one Stripe's default.
STRIPE_PORTAL_CONFIGURATION = env.str("STRIPE_PORTAL_CONFIGURATION", default="")
STRIPE_LIVE_MODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
STRIPE_TIMEOUT_SECONDS = 10
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"

# Stripe takes 100 calls a second in live mode, 25 in a sandbox; the reconcile leaves room for the customers.
RECONCILE_CALLS_PER_SECOND = env.float(
    "RECONCILE_CALLS_PER_SECOND", default=60.0 if STRIPE_LIVE_MODE else 1000.0 if LOCAL_STRIPE else 15.0
)

GRACE_DAYS = env.int("GRACE_DAYS", default=7)
# A card's trial is its only one, whatever the account. Off where test cards are everybody's.
TRIAL_ONCE_PER_CARD = env.bool("TRIAL_ONCE_PER_CARD", default=PRODUCTION)

# --- usage ----------------------------------------------------------------------------------------------------------

# Events of older months are taken off by `manage.py detach_usage_partitions`; nothing does it by itself.
USAGE_RETENTION_MONTHS = env.int("USAGE_RETENTION_MONTHS", default=36)

# --- mail, language, time, files ----------------------------------------------------------------------------------

vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Datilio <billing@datilio.example>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_TIMEOUT = 10

# Whom customers write to, and the operator's own legal pages: the footer shows what is set, mails name the address.
CONTACT_EMAIL = env.str("CONTACT_EMAIL", default="support@datilio.example" if EMBEDDED else "")
TERMS_URL = env.str("TERMS_URL", default="")
PRIVACY_URL = env.str("PRIVACY_URL", default="")
IMPRINT_URL = env.str("IMPRINT_URL", default="")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
USE_THOUSAND_SEPARATOR = True

STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(STATE_DIR / "static"))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# Nothing to collect before the first page in the embedded default.
WHITENOISE_USE_FINDERS = EMBEDDED
if EMBEDDED:
    Path(STATIC_ROOT).mkdir(parents=True, exist_ok=True)
WHITENOISE_AUTOREFRESH = DEBUG

# --- browser security -----------------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # Chromium applies form-action to the redirect after a form too: "Buy" ends on Stripe's page.
        "form-action": [SELF, *STRIPE_CHECKOUT_ORIGINS],
    }
}
CSRF_FAILURE_VIEW = "datilio.error_rendering.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_COOKIES = PRODUCTION
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    if TRUSTED_PROXY_COUNT:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- log ------------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "datilio.request_id.RequestIdFilter"}},
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]},
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True, "level": "INFO"},
        "django.server": {"handlers": [], "propagate": True},
        # Its warnings are our refusals (401, 402, 404, 429): answers, not accidents. A 5xx is an error.
        "django.request": {"level": "ERROR"},
        # At INFO it writes one line per call with the whole path: ids of customers belong into no log.
        "stripe": {"level": "WARNING"},
        "djstripe": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
