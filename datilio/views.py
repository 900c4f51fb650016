"""The pages that belong to no app: the front door, the style guide, theme and time zone, and the two probes."""

from csp.constants import NONE, UNSAFE_INLINE
from csp.decorators import csp
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import emails
from billing.email_samples import SAMPLES as MAILS
from billing.offers import plans_on_sale
from datilio import styleguide_samples
from datilio.errors import InvalidInput
from datilio.theme import CHOICES, remember_theme
from datilio.zone import is_zone, remember_zone


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"plans": plans_on_sale()})


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component with made-up values. For us: outside the embedded default only staff see it."""
    _for_us(request)
    return render(request, "styleguide.html", styleguide_samples.context(timezone.now()))


@require_safe
def styleguide_mails(request: HttpRequest) -> HttpResponse:
    """Every mail about money with made-up values."""
    _for_us(request)
    written = [(slug, title, emails.write(kind, facts)) for slug, (kind, title, facts) in MAILS.items()]
    mails = [(slug, title, mail.subject, mail.text) for slug, title, mail in written]
    return render(request, "styleguide_mails.html", {"mails": mails})


# A mail has its styles inside, which the site's own policy refuses; it may do nothing else.
@csp(
    {
        "default-src": [NONE],
        "style-src": [UNSAFE_INLINE],
        "base-uri": [NONE],
        "form-action": [NONE],
        "frame-ancestors": [NONE],
    }
)
@require_safe
def styleguide_mail(request: HttpRequest, slug: str) -> HttpResponse:
    """The HTML of one mail, as it is sent."""
    _for_us(request)
    if slug not in MAILS:
        raise Http404
    kind, _, facts = MAILS[slug]
    return HttpResponse(emails.write(kind, facts).html)


def _for_us(request: HttpRequest) -> None:
    if not (settings.EMBEDDED or request.user.is_staff):
        raise PermissionDenied


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    choice = request.POST.get("choice", "")
    if choice not in CHOICES:
        raise InvalidInput({"choice": [f"One of {', '.join(CHOICES)}."]})
    response = _back(request)
    remember_theme(response, choice)
    return response


@require_POST
def zone(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("zone", "")
    if not is_zone(name):
        raise InvalidInput({"zone": ["The name of a time zone, like Europe/Berlin or UTC."]})
    response = _back(request)
    remember_zone(response, name)
    return response


def _back(request: HttpRequest) -> HttpResponseRedirect:
    """To the page of this site that the form names as `next`."""
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    return HttpResponseRedirect(back, status=303)


@never_cache
@require_http_methods(["GET", "HEAD"])
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive: the process answers. Asks nobody, so that a slow database does not get it killed."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_http_methods(["GET", "HEAD"])
def readyz(request: HttpRequest) -> HttpResponse:
    """Ready for visitors: database, cache, migrations. 503 names what is missing."""
    checks = {"database": _database_answers, "cache": _cache_answers, "migrations": _migrations_are_applied}
    answers = {}
    for name, check in checks.items():
        try:
            answers[name] = "ok" if check() else "failing"
        except Exception:  # whatever breaks means "not ready"; the reason is the log's
            answers[name] = "failing"
    ready = all(answer == "ok" for answer in answers.values())
    return JsonResponse({"status": "ok" if ready else "failing", "checks": answers}, status=200 if ready else 503)


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone() == (1,)


def _cache_answers() -> bool:
    cache.set("readyz", "here", 10)
    return cache.get("readyz") == "here"


_applied = False


def _migrations_are_applied() -> bool:
    """Reading the whole migration graph takes a second; once applied they stay so while this code runs."""
    global _applied
    if not _applied:
        executor = MigrationExecutor(connection)
        _applied = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _applied
