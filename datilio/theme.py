"""Light or dark: by the visitor's choice, kept in a cookie; without one, as their system has it."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "theme"
CHOICES = ("auto", "light", "dark")
A_YEAR = 365 * 24 * 60 * 60


def theme_of(request: HttpRequest | None) -> str:
    chosen = request.COOKIES.get(COOKIE) if request is not None else None
    return chosen if chosen in CHOICES else "auto"


def remember_theme(response: HttpResponse, choice: str) -> None:
    if choice == "auto":
        response.delete_cookie(COOKIE, samesite="Lax")
    else:
        remember_choice(response, COOKIE, choice)


def remember_choice(response: HttpResponse, cookie: str, value: str) -> None:
    """How a visitor wants pages shown, for a year, for this site alone."""
    response.set_cookie(cookie, value, max_age=A_YEAR, samesite="Lax", httponly=True, secure=settings.SECURE_COOKIES)
