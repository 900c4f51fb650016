"""Times in the visitor's zone: chosen by a form, kept in a cookie, told beside UTC."""

from datetime import UTC, datetime

import pytest
from django.template import Context, RequestContext, Template

from datilio.templatetags.local import moment_in
from datilio.zone import is_zone, zone_groups, zone_of

MIDNIGHT = datetime(2026, 12, 24, tzinfo=UTC)


def shown(rf, moment, zone=None):
    request = rf.get("/")
    if zone is not None:
        request.COOKIES["zone"] = zone
    html = Template("{% load local %}{% local at %}").render(RequestContext(request, {"at": moment}))
    assert f'datetime="{moment:%Y-%m-%dT%H:%M:%SZ}"' in html
    return html.partition(">")[2].removesuffix("</time>")


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (None, "24 December 2026, 00:00 UTC"),
        ("UTC", "24 December 2026, 00:00 UTC"),
        ("Europe/Berlin", "24 December 2026, 01:00 CET (00:00 UTC)"),
        # Another day there: then the UTC day is said as well.
        ("America/New_York", "23 December 2026, 19:00 EST (24 December, 00:00 UTC)"),
        # No word of its own.
        ("America/Sao_Paulo", "23 December 2026, 21:00 UTC-3 (24 December, 00:00 UTC)"),
        ("Asia/Kathmandu", "24 December 2026, 05:45 UTC+5:45 (00:00 UTC)"),
    ],
)
def test_a_moment_is_told_in_the_zone_and_in_utc(rf, zone, text):
    assert shown(rf, MIDNIGHT, zone) == text


def test_summer_time_is_the_moments_not_the_readers(rf):
    assert shown(rf, datetime(2026, 7, 1, tzinfo=UTC), "Europe/Berlin") == "1 July 2026, 02:00 CEST (00:00 UTC)"


@pytest.mark.parametrize(
    "zone", ["Nowhere/City", "../../etc/passwd", "/etc/localtime", "", "EST5EDT", "\x00", "x" * 5000]
)
def test_a_cookie_that_names_no_zone_is_utc(rf, zone):
    assert shown(rf, MIDNIGHT, zone) == "24 December 2026, 00:00 UTC"


def test_within_an_include_with_only_it_still_knows_the_request(rf):
    request = rf.get("/")
    request.COOKIES["zone"] = "Europe/Berlin"
    template = Template('{% include "usage/_as_of.html" with now=at only %}')
    assert "01:00:00 CET" in template.render(RequestContext(request, {"at": MIDNIGHT}))


def test_without_a_request_it_is_utc():
    assert "00:00 UTC" in Template("{% load local %}{% local at %}").render(Context({"at": MIDNIGHT}))
    assert moment_in(MIDNIGHT, zone_of(None)) == "24 December 2026, 00:00 UTC"


def test_there_are_places_of_every_region_and_all_of_them_work(rf):
    groups = zone_groups()
    assert all(names for _, names in groups)
    names = {name for _, some in groups for name in some}
    assert {"Europe/Berlin", "Asia/Kolkata", "America/Argentina/Buenos_Aires"} <= names
    assert all(is_zone(name) for name in names) and not any(name.startswith("Etc/") for name in names)


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_choice_is_kept_for_a_year_and_leads_back(client, db):
    response = client.post("/zone", {"zone": "Asia/Tokyo", "next": "/account/usage"})
    assert (response.status_code, response["Location"]) == (303, "/account/usage")
    cookie = response.cookies["zone"]
    assert (cookie.value, cookie["max-age"], cookie["samesite"], cookie["httponly"]) == (
        "Asia/Tokyo",
        365 * 24 * 60 * 60,
        "Lax",
        True,
    )


@pytest.mark.parametrize("zone", ["", "Mars/Base", "Europe/Berlin\x00", "europe/berlin", "../UTC"])
def test_what_is_no_zone_is_refused(client, db, zone):
    response = client.post("/zone", {"zone": zone, "next": "/"})
    assert response.status_code == 400
    assert "zone" not in response.cookies


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_it_leads_nowhere_else(client, db, away):
    assert client.post("/zone", {"zone": "UTC", "next": away})["Location"] == "/"
