"""The one place that decides which address a request came from."""

import ipaddress

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
        if len(forwarded) >= hops:
            try:
                return str(ipaddress.ip_address(forwarded[-hops]))
            except ValueError:
                pass
    try:
        return str(ipaddress.ip_address(peer))
    except ValueError:
        return "0.0.0.0"
