"""The one place that decides which address a request came from."""

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The caller's IP address as text; "0.0.0.0" when the server was given none (a unix socket).

    With TRUSTED_PROXY_COUNT n, the n-th entry from the right of X-Forwarded-For: what stands further left was written
    by the caller and is believed by nobody. Too short or garbled a header falls back to the peer's own address.
    """
    peer = request.META.get("REMOTE_ADDR") or "0.0.0.0"
    hops = settings.TRUSTED_PROXY_COUNT
    if hops:
        forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        if len(forwarded) >= hops and (address := _canonical(forwarded[-hops])):
            return address
    return _canonical(peer) or "0.0.0.0"


def _canonical(address: str) -> str | None:
    """The one way to write it; None: it is no address."""
    return _remembered(address) if len(address) <= _LONGEST else None


# An IPv6 address with an IPv4 one at its end and a zone. Callers choose what is remembered, so not how much of it.
_LONGEST = 64


@lru_cache(maxsize=10_000)
def _remembered(address: str) -> str | None:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None
