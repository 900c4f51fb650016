"""The usage API: backends write events with a key, users read their own."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from datilio.errors import InvalidInput
from usage.authentication import ApiKeyAuthentication, MayWriteUsage
from usage.history import usage_of
from usage.limits import limits_of, warnings_of
from usage.metering import record
from usage.serializers import LimitExceededProblem, RecordedOut, UsageEventIn, UsageQuery, UserUsageOut


class UsageEventsView(APIView):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [MayWriteUsage]

    @extend_schema(
        operation_id="record_usage",
        summary="Count one event",
        description="Idempotent: the same `key` with the same body answers 200 with the first answer. "
        "`Idempotency-Key` may carry the key instead of the body.",
        request=UsageEventIn,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=False)],
        responses={
            201: RecordedOut,
            200: RecordedOut,
            (402, "application/problem+json"): LimitExceededProblem,
        },
    )
    def post(self, request: Request) -> Response:
        event = UsageEventIn(data=_with_key(request))
        event.is_valid(raise_exception=True)
        recorded = record(**event.validated_data, source=f"key:{request.auth.pk}", now=timezone.now())
        return Response({"usage": recorded.event, "limit": recorded.limit}, status=200 if recorded.replay else 201)


def _with_key(request: Request) -> object:
    """The body, with its key from the Idempotency-Key header where the body has none."""
    body = request.data
    if not isinstance(body, dict):
        return body
    if "events" in body:
        raise InvalidInput({"events": ["Batches are not open yet: send one event per request."]})
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return body
    if body.setdefault("key", header) != header:
        raise InvalidInput({"key": ["The Idempotency-Key header says something else. Send one of the two."]})
    return body


class UserUsageView(APIView):
    @extend_schema(
        operation_id="user_usage",
        summary="What you have used, newest first, with your limits and warnings",
        parameters=[UsageQuery],
        responses=UserUsageOut,
    )
    def get(self, request: Request) -> Response:
        query = UsageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        usage, next_cursor = usage_of(request.user.pk, **query.validated_data)
        limits = limits_of(request.user.pk, timezone.now())
        return Response({"usage": usage, "limits": limits, "warnings": warnings_of(limits), "next_cursor": next_cursor})
