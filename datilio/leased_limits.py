"""Counting many requests of few callers: a process takes a block of the limit from the shared cache, then counts alone.

Asking Redis for every event costs about as much as counting the event. With blocks the sum over all processes still
never passes the limit; what a process has taken and not used when the window ends is lost to the caller, at most one
block a process. The windows and the shared counters are django-ratelimit's.
"""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest
from django_ratelimit.core import EXPIRATION_FUDGE, _get_window, _make_cache_key, _split_rate

# More callers than a process ever serves in a window; beyond that those of past windows are dropped.
_MOST = 20_000

_lock = threading.Lock()
# {(cache prefix, group, rate, value): [the window's end, how many are left of the block, how many were counted by all]}
_leases: dict[tuple[str, str, str, str], list[int]] = {}


def leased_usage(
    request: HttpRequest,
    *,
    group: str,
    key: Callable[[str, HttpRequest], str],
    rate: str,
    method: tuple[str, ...],
    block: int,
) -> dict[str, Any] | None:
    """What django_ratelimit.core.get_usage(increment=True) returns: {count, limit, should_limit, time_left}, or None
    where nothing is counted. `count` is what all processes have taken, less what is left of this one's block."""
    if not settings.RATELIMIT_ENABLE or request.method not in method:
        return None
    value = key(group, request)
    limit, period = _limit_and_period(rate)
    window = _get_window(value, period)
    name = (settings.CACHES["default"].get("KEY_PREFIX", ""), group, rate, value)
    with _lock:
        lease = _leases.get(name)
        if lease is not None and lease[0] == window and lease[1]:
            lease[1] -= 1
            return _usage(limit, window, lease[2] - lease[1], False)
    taken = _take(_make_cache_key(group, window, rate, value, method), block, period)
    # Of a block that reaches beyond the limit only the part before it is ours.
    granted = max(0, min(block, limit - (taken - block)))
    with _lock:
        if len(_leases) >= _MOST:
            now = int(time.time())
            for old in [old for old, lease in _leases.items() if lease[0] < now] or list(_leases):
                del _leases[old]
        lease = _leases.get(name)
        left = lease[1] if lease is not None and lease[0] == window else 0
        if not granted and not left:
            return _usage(limit, window, limit + 1, True)
        left += granted - 1
        _leases[name] = [window, left, min(taken, limit)]
    return _usage(limit, window, min(taken, limit) - left, False)


_limit_and_period = lru_cache(maxsize=100)(_split_rate)


def _take(cache_key: str, block: int, period: int) -> int:
    """How many all processes have taken, with this block."""
    cache = caches["default"]
    # Only the first block of a window is not there yet.
    try:
        return cache.incr(cache_key, block)
    except ValueError:
        if cache.add(cache_key, block, period + EXPIRATION_FUDGE):
            return block
        return cache.incr(cache_key, block)


def _usage(limit: int, window: int, count: int, should_limit: bool) -> dict[str, Any]:
    return {"count": count, "limit": limit, "should_limit": should_limit, "time_left": window - int(time.time())}
