"""Idempotency-Key on our own writes: the same key with the same body is answered with the first answer.

Header of draft-ietf-httpapi-idempotency-key-header; the rules of shared/api.md, Conventions.
"""

import functools
import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.models import IdempotentAnswer
from datilio.errors import DomainError, IdempotencyKeyReused, InvalidInput

logger = logging.getLogger(__name__)

# The first request died without an answer (a killed process): after this another may take its place.
ABANDONED_AFTER = timedelta(minutes=2)
KEPT_FOR = timedelta(days=7)


class IdempotencyKeyInUse(DomainError):
    code = "idempotency_key_in_use"
    message = "The first request with this Idempotency-Key is still at work. Ask again in a moment."
    status = 409


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """For a handler method of an APIView (`def post(self, request)`): honours the header when there is one.

    Answers below 500 are kept, refusals too. After a 5xx nothing is kept: the same key may try again.
    """

    @functools.wraps(method)
    def wrapper(view: APIView, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return method(view, request, *args, **kwargs)
        if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
            raise InvalidInput({"Idempotency-Key": ["1 to 255 printable ASCII characters."]})
        caller = f"user:{request.user.pk}" if request.user.is_authenticated else f"key:{request.auth.pk}"
        answer = _claim(caller, key, _fingerprint(request))
        if answer.status is not None:
            return _response(answer, replayed=True)
        try:
            response = method(view, request, *args, **kwargs)
        except Exception as exc:
            try:
                response = view.handle_exception(exc)
            except Exception:
                answer.delete()
                raise
        if response.status_code >= 500:
            answer.delete()
            return response
        answer.status, answer.body = response.status_code, response.data
        answer.save(update_fields=["status", "body"])
        return response

    return wrapper


def forget_old_answers() -> int:
    """Delete answers older than KEPT_FOR; returns how many."""
    return IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()[0]


def _claim(caller: str, key: str, fingerprint: str) -> IdempotentAnswer:
    """A row of our own to fill (status None), or the finished row of the first request."""
    try:
        with transaction.atomic():
            return IdempotentAnswer.objects.create(caller=caller, key=key, fingerprint=fingerprint)
    except IntegrityError:
        pass
    row = IdempotentAnswer.objects.filter(caller=caller, key=key).first()
    if row is None:
        raise IdempotencyKeyInUse(headers={"Retry-After": "1"})
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReused()
    if row.status is None:
        now = timezone.now()
        taken_over = IdempotentAnswer.objects.filter(
            pk=row.pk, status__isnull=True, created_at__lt=now - ABANDONED_AFTER
        ).update(created_at=now)
        if not taken_over:
            raise IdempotencyKeyInUse(headers={"Retry-After": "1"})
        logger.warning("Taking over an abandoned Idempotency-Key of %s", caller)
    return row


def _fingerprint(request: Request) -> str:
    return hashlib.sha256(b"\n".join([request.method.encode(), request.path.encode(), request.body])).hexdigest()


def _response(answer: IdempotentAnswer, *, replayed: bool) -> Response:
    content_type = "application/problem+json" if answer.status >= 400 else None
    return Response(
        answer.body, status=answer.status, content_type=content_type, headers={"Idempotent-Replayed": "true"}
    )
