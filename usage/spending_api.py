"""The API of what AI tokens cost: a quote before a prompt, the customer's own cap, the receipts."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.pricing import to_cents
from datilio.json_input import valid
from usage.incoming import quote_of
from usage.machine_view import MachineView, json_answer
from usage.models import ApiKey
from usage.receipts import events_of_receipt, receipts_of, receipts_out
from usage.serializers import (
    ReceiptEventsOut,
    ReceiptEventsQuery,
    ReceiptsOut,
    SpendCapIn,
    SpendingOut,
    TokenQuoteIn,
    TokenQuoteOut,
    TokenQuoteQuery,
)
from usage.spending import quote_out, quote_prompt, remove_spend_cap, set_spend_cap, spending_of, spending_out


class QuoteView(MachineView):
    @extend_schema(
        operation_id="quote_prompt",
        summary="What a prompt would cost, and whether it would be let in",
        description="Holds nothing: `POST /api/usage/holds` makes sure of it.",
        request=TokenQuoteIn,
        responses=TokenQuoteOut,
    )
    def post(self, request: HttpRequest, body: Any, api_key: ApiKey, **kwargs: Any) -> HttpResponse:
        return json_answer(quote_out(quote_prompt(**quote_of(body), now=timezone.now())))


class UserQuoteView(APIView):
    @extend_schema(
        operation_id="user_quote_prompt",
        summary="What a prompt of yours would cost, and whether it would be let in",
        parameters=[TokenQuoteQuery],
        responses=TokenQuoteOut,
    )
    def get(self, request: Request) -> Response:
        query = TokenQuoteQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(quote_out(quote_prompt(request.user.pk, **query.validated_data, now=timezone.now())))


class SpendCapView(APIView):
    @extend_schema(
        operation_id="user_spending", summary="What AI tokens cost you this month, and your cap", responses=SpendingOut
    )
    def get(self, request: Request) -> Response:
        return _spending(request)

    @extend_schema(
        operation_id="set_spend_cap",
        summary="Cap what AI tokens may cost in a month of your plan",
        description="From 0 to 10,000 dollars, two decimals. A cap below what is spent already only stops further use.",
        request=SpendCapIn,
        responses=SpendingOut,
    )
    def put(self, request: Request) -> Response:
        set_spend_cap(request.user.pk, to_cents(valid(SpendCapIn, request)["amount"]), timezone.now())
        return _spending(request)

    @extend_schema(operation_id="remove_spend_cap", summary="Take the cap away", request=None, responses=SpendingOut)
    def delete(self, request: Request) -> Response:
        remove_spend_cap(request.user.pk)
        return _spending(request)


def _spending(request: Request) -> Response:
    return Response(spending_out(spending_of(request.user.pk, timezone.now())))


class ReceiptsView(APIView):
    @extend_schema(
        operation_id="user_receipts",
        summary="What AI tokens cost on each bill: model, rate, tokens, formula",
        responses=ReceiptsOut,
    )
    def get(self, request: Request) -> Response:
        return Response(receipts_out(receipts_of(request.user.pk, timezone.now())))


class ReceiptEventsView(APIView):
    @extend_schema(
        operation_id="user_receipt_events",
        summary="The events that a receipt is made of, newest first",
        parameters=[ReceiptEventsQuery],
        responses=ReceiptEventsOut,
    )
    def get(self, request: Request) -> Response:
        query = ReceiptEventsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        events, next_cursor = events_of_receipt(request.user.pk, **query.validated_data)
        return Response({"events": events, "next_cursor": next_cursor})
