"""The REST API of log-ins and of the customer's own plan. A view parses, calls one service, answers."""

import math
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.overview import change_preview, plan_overview
from accounts.serializers import ChangePreviewOut, CredentialsIn, LogInOut, MessageOut, UserPlanOverview
from accounts.services import log_in, register
from accounts.tokens import Tokens, revoke_tokens, rotate_tokens
from billing.serializers import ChoiceIn
from billing.subscriptions import preview_purchase
from datilio.json_input import valid

REFRESH_COOKIE = "datilio_refresh"
REFRESH_COOKIE_PATH = "/api/auth"


class RegisterView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(operation_id="register", auth=[], request=CredentialsIn, responses={201: MessageOut})
    def post(self, request: Request) -> Response:
        """Make an account. An address that has one gets the same answer, and its owner a mail."""
        register(request._request, **valid(CredentialsIn, request))
        return Response({"message": "Look into your inbox: we have sent a mail to this address."}, status=201)


class LogInView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(operation_id="log_in", auth=[], request=CredentialsIn, responses=LogInOut)
    def post(self, request: Request) -> Response:
        """An access token in the body and a refresh token in an HttpOnly cookie that only /api/auth sees."""
        return _logged_in(log_in(request._request, **valid(CredentialsIn, request)))


class RefreshView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(operation_id="refresh", auth=[], request=None, responses=LogInOut)
    def post(self, request: Request) -> Response:
        """The next access token, for the cookie; the cookie is replaced too. The body is not read."""
        return _logged_in(rotate_tokens(request.COOKIES.get(REFRESH_COOKIE)))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == 401:
            _forget_refresh_token(response)
        return response


class LogOutView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(operation_id="log_out", auth=[], request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End the log-in of the refresh cookie. Its access token lives on for its last minutes. Repeating is fine."""
        revoke_tokens(request.COOKIES.get(REFRESH_COOKIE))
        response = Response(status=204)
        _forget_refresh_token(response)
        return response


class UserPlanView(APIView):
    @extend_schema(
        operation_id="user_plan",
        responses=inline_serializer("UserPlan", {"user_plan": UserPlanOverview(allow_null=True)}),
    )
    def get(self, request: Request) -> Response:
        """The user's plan with its limits; null without one."""
        return Response({"user_plan": plan_overview(request.user)})


class PurchasePreviewView(APIView):
    @extend_schema(
        operation_id="preview_purchase",
        request=ChoiceIn,
        responses=ChangePreviewOut,
    )
    def post(self, request: Request) -> Response:
        """What a choice costs now and next, and what it does to the limits. Changes nothing."""
        wanted = valid(ChoiceIn, request)
        quote = preview_purchase(request.user, wanted["plan_id"], wanted["duration_months"])
        return Response(change_preview(request.user, quote))


def _logged_in(tokens: Tokens) -> Response:
    body = LogInOut({"access_token": tokens.access, "user": tokens.user}).data
    # Not even a proxy of the customer's own may keep a token.
    response = Response(body, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        REFRESH_COOKIE,
        tokens.refresh,
        max_age=math.ceil((tokens.refresh_expires_at - timezone.now()).total_seconds()),
        path=REFRESH_COOKIE_PATH,
        secure=settings.SECURE_COOKIES,
        httponly=True,
        samesite="Strict",
    )
    return response


def _forget_refresh_token(response: Response) -> None:
    response.delete_cookie(REFRESH_COOKIE, path=REFRESH_COOKIE_PATH, samesite="Strict")
