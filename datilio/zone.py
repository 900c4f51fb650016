"""In whose time pages tell when something resets: a zone that the visitor chose, kept in a cookie; without one, UTC."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponse

from datilio.theme import remember_choice

COOKIE = "zone"
DEFAULT = "UTC"
# Of the names that there are, those of places; the others ("EST5EDT", "Etc/GMT+5") are for machines.
_REGIONS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"),
)


@cache
def zone_groups() -> list[tuple[str, list[str]]]:
    """[(region, names)], what one can choose from besides UTC. Looks through the files of the machine, once."""
    names = sorted(available_timezones())
    return [(region, [name for name in names if name.startswith(f"{region}/")]) for region in _REGIONS]


@cache
def _known() -> frozenset[str]:
    return frozenset({DEFAULT, *(name for _, names in zone_groups() for name in names)})


def is_zone(name: str) -> bool:
    return name in _known()


def chosen_zone(request: HttpRequest | None) -> str:
    """The name that the visitor chose; empty: none yet."""
    chosen = request.COOKIES.get(COOKIE, "") if request is not None else ""
    return chosen if is_zone(chosen) else ""


def zone_of(request: HttpRequest | None) -> ZoneInfo:
    return ZoneInfo(chosen_zone(request) or DEFAULT)


def remember_zone(response: HttpResponse, name: str) -> None:
    remember_choice(response, COOKIE, name)
