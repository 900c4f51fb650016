"""Who is asking: an access token or the browser's session. Every API endpoint takes both."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, InvalidToken

# Ours are a tenth of this; a longer one is nobody's and not worth decoding.
MAX_TOKEN_LENGTH = 4096


class AccessTokenAuthentication(JWTAuthentication):
    """`Authorization: Bearer <access token>`. Whatever is wrong with it is 401 `token_not_valid`, never a 500."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        # RFC 9110: the scheme's case does not matter. simplejwt would let `bearer` pass as "no token".
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        if not token or len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken()
        try:
            validated = self.get_validated_token(token.encode())
            return self.get_user(validated), validated
        except (AuthenticationFailed, TypeError, ValueError, OverflowError) as exc:
            # Deleted, deactivated, password changed: the caller's next step is the same, and a stranger learns nothing.
            raise InvalidToken() from exc


class BrowserSessionAuthentication(SessionAuthentication):
    """The session of the HTML pages. DRF then enforces CSRF: 403 `csrf_failed`."""


class AccessTokenScheme(SimpleJWTScheme):
    target_class = "accounts.authentication.AccessTokenAuthentication"
    name = "accessToken"


class BrowserSessionScheme(SessionScheme):
    target_class = "accounts.authentication.BrowserSessionAuthentication"
    name = "browserSession"
