"""The usage API: backends write events with a key, users read their own."""

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from datilio.error_rendering import problem_document
from usage.api_keys import make_sure_of, source_of
from usage.batches import Answer, record_batch
from usage.export import COLUMNS, usage_csv
from usage.history import usage_of
from usage.holds import hold, release, settle
from usage.incoming import batch_of, event_of, hold_of, level_of, settlement_of
from usage.levels import set_level
from usage.limits import limits_of, warnings_of
from usage.machine_view import MachineView, json_answer
from usage.metering import record_use
from usage.models import ApiKey
from usage.serializers import (
    BatchIn,
    BatchOut,
    HeldOut,
    HoldIn,
    LevelIn,
    LevelOut,
    LimitExceededProblem,
    RecordedOut,
    SettledOut,
    SettleIn,
    UsageEventIn,
    UsageFilter,
    UsageQuery,
    UserUsageOut,
)

_REFUSED = {(402, "application/problem+json"): LimitExceededProblem}
_KEY_IN_THE_HEADER = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=False)


def _header_key(request: HttpRequest) -> str | None:
    # Not request.headers, which copies all of them.
    return request.META.get("HTTP_IDEMPOTENCY_KEY")


class UsageEventsView(MachineView):
    proves_the_key = True

    @extend_schema(
        operation_id="record_usage",
        summary="Count one event, a batch of up to 1,000, or say how many files there are",
        description="Idempotent: the same `key` with the same body answers 200 with the first answer; for one event "
        "`Idempotency-Key` may carry the key instead of the body. A batch is answered with 200, event by event in "
        "order: what is wrong with one fails no other.",
        request=PolymorphicProxySerializer(
            component_name="UsageEventBatchOrLevelIn",
            serializers=[UsageEventIn, BatchIn, LevelIn],
            resource_type_field_name=None,
        ),
        parameters=[_KEY_IN_THE_HEADER],
        responses={
            201: PolymorphicProxySerializer(
                component_name="RecordedOrLevelOut", serializers=[RecordedOut, LevelOut], resource_type_field_name=None
            ),
            200: PolymorphicProxySerializer(
                component_name="RecordedBatchOrLevelOut",
                serializers=[RecordedOut, BatchOut, LevelOut],
                resource_type_field_name=None,
            ),
            **_REFUSED,
        },
    )
    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse:
        source = source_of(api_key)
        if isinstance(body, dict) and ("events" in body or "level" in body):
            # Only the statement of a single event does.
            make_sure_of(source)
        if isinstance(body, dict) and "events" in body:
            answers = record_batch(batch_of(body, source), source=source, now=timezone.now())
            return json_answer({"results": [_result(answer) for answer in answers]})
        header_key = _header_key(request)
        if isinstance(body, dict) and "level" in body:
            level = set_level(**level_of(body, header_key), source=source, now=timezone.now())
            return json_answer({"usage": level.usage, "limit": level.limit}, 200 if level.replay else 201)
        recorded = record_use(event_of(body, source, header_key), timezone.now())
        return json_answer({"usage": recorded.event, "limit": recorded.limit}, 200 if recorded.replay else 201)


def _result(answer: Answer) -> dict[str, Any]:
    return {
        "key": answer.key,
        "status": answer.status,
        "usage": answer.usage,
        "error": None if answer.error is None else problem_document(answer.error),
    }


class UsageHoldsView(MachineView):
    @extend_schema(
        operation_id="hold_usage",
        summary="Hold the worst case before the work begins",
        description="What is held counts towards the limit until it is settled, released or expired. With `tokens` an "
        "`ai_prompt` holds both or neither. Idempotent by `key`: the same hold again, with 200.",
        request=HoldIn,
        parameters=[_KEY_IN_THE_HEADER],
        responses={201: HeldOut, 200: HeldOut, **_REFUSED},
    )
    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse:
        held = hold(**hold_of(body, _header_key(request)), source=source_of(api_key), now=timezone.now())
        return json_answer({"hold": held.hold}, 200 if held.replay else 201)


class SettleHoldView(MachineView):
    @extend_schema(
        operation_id="settle_hold",
        summary="Count what was truly used",
        description="0 or more; more than was held, after the hold expired and beyond the limit it is counted too. "
        "Idempotent: the same numbers get the same answer.",
        request=SettleIn,
        responses={200: SettledOut},
    )
    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse:
        settled = settle(kwargs["hold_id"], **settlement_of(body), source=source_of(api_key), now=timezone.now())
        return json_answer({"usage": settled.usage})


class ReleaseHoldView(MachineView):
    # An empty body will do.
    takes_a_body = False

    @extend_schema(
        operation_id="release_hold",
        summary="Give a hold back of which nothing was used",
        description="Twice is no error.",
        request=None,
        responses={200: HeldOut},
    )
    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse:
        return json_answer({"hold": release(kwargs["hold_id"], source=source_of(api_key), now=timezone.now())})


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


class CsvOut(BaseRenderer):
    """Lets `Accept: text/csv` in; the view streams the file itself. Problems are JSON here as well."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return JSONRenderer().render(data)


class UserUsageCsvView(APIView):
    renderer_classes = [CsvOut, JSONRenderer]

    @extend_schema(
        operation_id="user_usage_csv",
        summary="The same usage as CSV, newest first, streamed",
        description=f"Columns: {', '.join(f'`{column}`' for column in COLUMNS)}.",
        parameters=[UsageFilter],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        query = UsageFilter(data=request.query_params)
        query.is_valid(raise_exception=True)
        now = timezone.now()
        return StreamingHttpResponse(
            usage_csv(request.user.pk, now=now, **query.validated_data),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="datilio-usage-{now:%Y-%m-%d}.csv"'},
        )
