"""The REST API of plans and purchases. A view parses, calls one service, answers."""

import hashlib
import json
import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing import webhooks
from billing.catalog import create_plan
from billing.checkout import start_checkout
from billing.idempotency import idempotent
from billing.invoices import list_invoices
from billing.models import Plan
from billing.portal import portal_url
from billing.serializers import (
    CancelPlanIn,
    ChoiceIn,
    CreatePlanIn,
    InvoiceOut,
    InvoicesIn,
    PlanListItem,
    PlanOut,
    PurchasePlanIn,
    UserPlanOut,
    invoice_out,
    plan_list_item,
    plan_out,
    user_plan_out,
)
from billing.subscriptions import cancel_plan, purchase_plan, resume_plan
from datilio.error_rendering import as_problem
from datilio.errors import DomainError, ServiceUnavailable
from datilio.json_input import valid

logger = logging.getLogger(__name__)

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="1-255 printable characters. The same key with the same body replays the first answer.",
)


class AnyoneReadsStaffWrites(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or bool(request.user and request.user.is_staff)


class PlansView(APIView):
    permission_classes = [AnyoneReadsStaffWrites]

    @extend_schema(
        operation_id="list_plans",
        auth=[],
        responses=inline_serializer("PlanList", {"plans": PlanListItem(many=True)}),
    )
    def get(self, request: Request) -> HttpResponse:
        """The plans on sale, in the order they are shown. Answers 304 to an If-None-Match that still fits."""
        body = json.dumps({"plans": [plan_list_item(plan) for plan in Plan.objects.published()]})
        etag = f'W/"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        headers = {"ETag": etag, "Cache-Control": "public, max-age=0, must-revalidate"}
        if etag in (tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")):
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(body, content_type="application/json", headers=headers)

    @extend_schema(
        operation_id="create_plan",
        request=CreatePlanIn,
        responses={201: inline_serializer("PlanCreated", {"plan": PlanOut()})},
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Staff: a new plan, published at Stripe at once unless `publish` is false."""
        plan = create_plan(**valid(CreatePlanIn, request))
        return Response({"plan": plan_out(plan)}, status=201)


class CreateCheckoutSessionView(APIView):
    @extend_schema(
        operation_id="create_checkout_session",
        request=ChoiceIn,
        responses=inline_serializer("CheckoutSession", {"checkout_url": serializers.URLField()}),
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Buy a first plan on Stripe's page. The same choice leads to the same open session."""
        wanted = valid(ChoiceIn, request)
        url = start_checkout(request.user, wanted["plan_id"], wanted["duration_months"])
        return Response({"checkout_url": url})


class PurchasePlanView(APIView):
    @extend_schema(
        operation_id="purchase_plan",
        request=PurchasePlanIn,
        responses=inline_serializer("PurchasedPlan", {"user_plan": UserPlanOut()}),
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """A first plan or another: charged to the card on file now, or scheduled for the period's end.

        402 `payment_method_required` and `authentication_required` name the page of Stripe's on which to go on.
        """
        wanted = valid(PurchasePlanIn, request)
        plan = purchase_plan(request.user, wanted["plan_id"], wanted["duration_months"], quote=wanted["quote"])
        return Response({"user_plan": user_plan_out(plan, timezone.now())})


class CancelPlanView(APIView):
    @extend_schema(
        operation_id="cancel_plan",
        request=CancelPlanIn,
        responses=inline_serializer(
            "CanceledPlan",
            {
                "status": serializers.ChoiceField(["cancel_scheduled", "canceled"]),
                "user_plan": UserPlanOut(),
            },
        ),
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """End the plan at its period's end, or at once with `immediately`."""
        status, plan = cancel_plan(request.user, **valid(CancelPlanIn, request))
        return Response({"status": status, "user_plan": user_plan_out(plan, timezone.now())})


class ResumePlanView(APIView):
    @extend_schema(
        operation_id="resume_plan",
        request=None,
        responses=inline_serializer("ResumedPlan", {"user_plan": UserPlanOut()}),
        parameters=[IDEMPOTENCY_KEY],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Take back a scheduled cancellation or a pending downgrade."""
        plan = resume_plan(request.user)
        return Response({"user_plan": user_plan_out(plan, timezone.now())})


class InvoicesView(APIView):
    @extend_schema(
        operation_id="list_invoices",
        parameters=[InvoicesIn],
        responses=inline_serializer(
            "InvoiceList",
            {"invoices": InvoiceOut(many=True), "next_cursor": serializers.CharField(allow_null=True)},
        ),
    )
    def get(self, request: Request) -> Response:
        """The user's bills, newest first, each with its page and its PDF at Stripe."""
        wanted = InvoicesIn(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        page = list_invoices(request.user, **wanted.validated_data)
        return Response({"invoices": [invoice_out(one) for one in page.invoices], "next_cursor": page.next_cursor})


class BillingPortalSessionView(APIView):
    @extend_schema(
        operation_id="create_billing_portal_session",
        request=None,
        responses=inline_serializer("BillingPortalSession", {"url": serializers.URLField()}),
    )
    def post(self, request: Request) -> Response:
        """Stripe's page for cards, address, tax id and invoices."""
        return Response({"url": portal_url(request.user)})


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> JsonResponse:
    """Stripe's events; the signature is the permission. Not a DRF view: the raw body is what is signed."""
    try:
        return JsonResponse({"status": webhooks.receive(request)})
    except DomainError as error:
        return as_problem(error)
    except Exception:
        # Stored and not processed: Stripe sends it again, and so does our sweep.
        logger.exception("An event could not be processed")
        return as_problem(ServiceUnavailable())
