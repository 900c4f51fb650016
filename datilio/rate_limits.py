"""How often each URL may be asked: one policy table, and the one place that applies it.

django-ratelimit counts (fixed windows in the cache). A URL without a policy is a system check error (checks.py), so a
new one cannot be forgotten. See docs/operations.md.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from django_ratelimit.core import get_usage
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from datilio.client_address import client_address
from datilio.error_rendering import render_error
from datilio.errors import RateLimited, ServiceUnavailable
from datilio.leased_limits import leased_usage

logger = logging.getLogger(__name__)

READ = ("GET", "HEAD", "OPTIONS")
WRITE = ("POST", "PUT", "PATCH", "DELETE")


# --- who is counted ---------------------------------------------------------------------------------------------------


def by_caller(group: str, request: HttpRequest) -> str:
    """The user of a session or of a valid access token; else the address.

    DRF authenticates after the middleware, so the token is looked at here too. A forged or expired one counts for the
    address: it can neither fill another user's bucket nor open a fresh one.
    """
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        try:
            return f"user:{AccessToken(token.strip())['user_id']}"
        except (TokenError, KeyError):
            return by_address(group, request)
    session = getattr(request, "session", None)
    if session and SESSION_KEY in session and HASH_SESSION_KEY in session:
        return f"user:{session[SESSION_KEY]}"
    return by_address(group, request)


def by_address(group: str, request: HttpRequest) -> str:
    address = client_address(request)
    if ":" in address:
        # One customer's line usually has a whole /64.
        address = ":".join(address.split(":")[:4])
    return f"ip:{address}"


def by_api_key(group: str, request: HttpRequest) -> str:
    # BLAKE2: hashlib's own, for which OpenSSL need not be asked with every event.
    return "key:" + hashlib.blake2b(request.META.get("HTTP_AUTHORIZATION", "").encode(), digest_size=16).hexdigest()


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """rate: django-ratelimit's `count/period`. fail_closed: answer 503 when the counters are out of reach. block: how
    many a process takes at once, where one caller sends many; see leased_limits.py."""

    rate: str
    key: Callable[[str, HttpRequest], str] = by_caller
    methods: tuple[str, ...] = READ + WRITE
    fail_closed: bool = False
    block: int = 1


PAGE = (Policy("120/m", methods=READ), Policy("30/m", methods=WRITE))
# Guessing passwords: slow, per address (an office shares one; allauth counts per account besides), and closed when it
# cannot be counted.
CREDENTIALS = (
    Policy("60/m", methods=READ),
    Policy("30/m", by_address, WRITE, fail_closed=True),
    Policy("300/h", by_address, WRITE, fail_closed=True),
)
# Testing stolen cards: slow, per user, closed when it cannot be counted.
PURCHASE = (
    Policy("60/m", methods=READ),
    Policy("20/m", methods=WRITE, fail_closed=True),
    Policy("100/h", methods=WRITE, fail_closed=True),
)
API_READ = (Policy("300/m"),)
API_WRITE = (Policy("60/m", methods=WRITE), Policy("300/m", methods=READ))
# Each asks Stripe, which counts too.
REMOTE_READ = (Policy("60/m"),)
# A whole history each: minutes of a thread, when somebody reads it slowly.
EXPORT = (Policy("10/m"), Policy("60/h"))
METERING = (Policy("6000/m", by_api_key, block=50), Policy("20000/m", by_address, block=100))
PROBE = (Policy("600/m", by_address),)

# URL name (with its namespace) -> policies; `namespace:*` stands for all of a namespace's names.
POLICIES: dict[str, tuple[Policy, ...]] = {
    "home": PAGE,
    "pricing": PAGE,
    "styleguide": PAGE,
    "styleguide_mails": PAGE,
    "styleguide_mail": PAGE,
    "theme": PAGE,
    "zone": PAGE,
    "healthz": PROBE,
    "readyz": PROBE,
    "billing:choose": PURCHASE,
    "billing:checkout_return": PAGE,
    "billing:checkout_cancelled": PAGE,
    "accounts:settings": PAGE,
    "accounts:change_plan": PURCHASE,
    "accounts:cancel_plan": PURCHASE,
    "accounts:resume_plan": PURCHASE,
    "accounts:billing": REMOTE_READ,
    "accounts:portal": PURCHASE,
    "accounts:close_account": CREDENTIALS,
    "accounts:usage": PAGE,
    "accounts:usage_live": PAGE,
    "accounts:usage_warnings": PAGE,
    "usage:ai_costs": PAGE,
    "usage:receipt": PAGE,
    "usage:change_cap": PAGE,
    "usage:try_upload": PAGE,
    "usage:try_prompt": PAGE,
    "usage:try_rows": PAGE,
    "admin:*": (Policy("300/m"),),
    "admin:login": CREDENTIALS,
    "admin:djstripe_*": (Policy("300/m"),),
    "account_login": CREDENTIALS,
    "account_signup": CREDENTIALS,
    "account_reset_password": CREDENTIALS,
    "account_reset_password_from_key": CREDENTIALS,
    "account_reauthenticate": CREDENTIALS,
    "account_change_password": CREDENTIALS,
    "account_set_password": CREDENTIALS,
    "account_confirm_email": CREDENTIALS,
    "account_email": CREDENTIALS,
    "account_*": PAGE,
    "api:register": CREDENTIALS,
    "api:login": CREDENTIALS,
    "api:refresh": (Policy("30/m", by_address, fail_closed=True),),
    "api:logout": (Policy("30/m", by_address),),
    "api:plans": API_READ + (Policy("30/m", methods=WRITE),),
    "api:user_plan": API_READ,
    "api:user_usage": API_READ,
    "api:user_usage_csv": EXPORT,
    "api:create_checkout_session": PURCHASE,
    "api:purchase_plan": PURCHASE,
    "api:purchase_preview": PURCHASE,
    "api:cancel_plan": PURCHASE,
    "api:resume_plan": PURCHASE,
    "api:user_invoices": REMOTE_READ,
    "api:billing_portal_session": PURCHASE,
    # Stripe sends bursts from few addresses; a bad signature costs us one HMAC.
    "api:stripe_webhook": (Policy("6000/m", by_address),),
    "api:usage_quote": METERING,
    "api:user_usage_quote": API_READ,
    "api:spend_cap": API_WRITE,
    "api:receipts": API_READ,
    "api:receipt_events": API_READ,
    "api:usage_events": METERING,
    "api:usage_holds": METERING,
    "api:settle_hold": METERING,
    "api:release_hold": METERING,
    "api:schema": (Policy("30/m", by_address),),
    "api:docs": PAGE,
    "api:docs_script": PAGE,
}
# Addresses that lead nowhere are asked for by scanners.
UNKNOWN_URL = Policy("60/m", by_address)


def policies_for(view_name: str) -> tuple[Policy, ...] | None:
    """The policies of a URL name: its own, else those of the longest pattern with a `*` that fits. None: forgotten."""
    if view_name in POLICIES:
        return POLICIES[view_name]
    fitting = [name for name in POLICIES if name.endswith("*") and view_name.startswith(name[:-1])]
    return POLICIES[max(fitting, key=len)] if fitting else None


def url_names(patterns: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(full name, pattern) of every URL; a URL without a name yields "" as its last part."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from url_names(pattern.url_patterns, inner)
        else:
            yield f"{namespace}{pattern.name or ''}", pattern


# --- the one place that applies it -----------------------------------------------------------------------------------


class RateLimitMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.resolver_match is None and response.status_code == 404:
            refusal = self._refusal(request, "unknown", (UNKNOWN_URL,))
            if refusal is not None:
                return refusal
        for name, value in getattr(request, "rate_limit_headers", {}).items():
            response.headers.setdefault(name, value)
        return response

    def process_view(
        self, request: HttpRequest, view_func: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        match = request.resolver_match
        assert match is not None
        return self._refusal(request, match.view_name, policies_for(match.view_name) or (UNKNOWN_URL,))

    def _refusal(self, request: HttpRequest, group: str, policies: tuple[Policy, ...]) -> HttpResponse | None:
        try:
            request.rate_limit_headers = count_request(request, group, policies)
        except (RateLimited, ServiceUnavailable) as refusal:
            return render_error(request, refusal)
        return None


def count_request(request: HttpRequest, group: str, policies: tuple[Policy, ...]) -> dict[str, str]:
    """Count it by all of its policies: the RateLimit-* headers of the tightest, none where nothing is counted.

    Of the request its method and META are looked at, and its session if it has one. Raises RateLimited,
    ServiceUnavailable.
    """
    tightest: dict | None = None
    for policy in policies:
        try:
            usage = _usage(request, group, policy)
        except Exception:
            logger.exception("The counters of the rate limits are out of reach")
            if policy.fail_closed and request.method in policy.methods:
                raise ServiceUnavailable(headers={"Retry-After": "30"}) from None
            continue
        if usage is None:
            continue
        if usage["should_limit"]:
            wait = max(1, usage["time_left"])
            raise RateLimited(retry_after=wait, headers={"Retry-After": str(wait), **_headers(usage)})
        if tightest is None or usage["limit"] - usage["count"] < tightest["limit"] - tightest["count"]:
            tightest = usage
    return {} if tightest is None else _headers(tightest)


def _usage(request: HttpRequest, group: str, policy: Policy) -> dict | None:
    """Count this request. None: the policy is not about it."""
    if policy.block == 1:
        return get_usage(request, group=group, key=policy.key, rate=policy.rate, method=policy.methods, increment=True)
    return leased_usage(
        request, group=group, key=policy.key, rate=policy.rate, method=policy.methods, block=policy.block
    )


def _headers(usage: dict) -> dict[str, str]:
    """RateLimit-* as in draft-ietf-httpapi-ratelimit-headers-06: numbers, Reset in seconds from now."""
    return {
        "RateLimit-Limit": str(usage["limit"]),
        "RateLimit-Remaining": str(max(0, usage["limit"] - usage["count"])),
        "RateLimit-Reset": str(max(0, usage["time_left"])),
    }
