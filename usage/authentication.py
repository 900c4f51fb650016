"""`Authorization: Api-Key <key>`: how Datilio's backends are let in, and nobody else."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from usage.api_keys import WRITE, find_api_key, touch
from usage.errors import ApiKeyInvalid, ApiKeyRequired, ApiKeyRevoked, ScopeMissing, UserTokenCannotWrite
from usage.models import ApiKey


def api_key_in(meta: Mapping[str, Any]) -> str | None:
    """The key that a request sends, whatever it is worth."""
    scheme, _, key = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    return (key.strip() or None) if scheme.lower() == "api-key" else None


class ApiKeyAuthentication(BaseAuthentication):
    """request.auth is the ApiKey; request.user stays anonymous: a key acts for a backend, never for a person."""

    def authenticate(
        self, request: Request | HttpRequest, *, may_remember: bool = False
    ) -> tuple[AnonymousUser, ApiKey]:
        """may_remember: see find_api_key."""
        key = api_key_in(request.META)
        if key is None:
            if request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower() == "bearer":
                raise UserTokenCannotWrite()
            raise ApiKeyRequired()
        api_key = find_api_key(key, may_remember=may_remember)
        if api_key is None:
            raise ApiKeyInvalid()
        if api_key.revoked_at is not None:
            raise ApiKeyRevoked()
        touch(api_key, timezone.now())
        return AnonymousUser(), api_key

    def authenticate_header(self, request: Request) -> str:
        return ApiKeyRequired.auth_header


class MayWriteUsage(BasePermission):
    scope = WRITE

    def has_permission(self, request: Request, view: APIView) -> bool:
        self.check(request.auth)
        return True

    @classmethod
    def check(cls, api_key: ApiKey) -> None:
        """Raises ScopeMissing."""
        if cls.scope not in api_key.scopes:
            raise ScopeMissing(scope=cls.scope)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI schema names it. Found by drf-spectacular through its class."""

    target_class = "usage.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key <key>`. Made by `manage.py create_api_key NAME --scope usage:write`.",
        }
