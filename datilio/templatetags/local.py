"""Times in the visitor's zone (datilio/zone.py): 24 December 2026, 01:00 CET (00:00 UTC)."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from django import template
from django.template import Context
from django.utils.formats import date_format
from django.utils.html import format_html

from datilio.templatetags.writing import time_tag
from datilio.zone import chosen_zone, zone_of

register = template.Library()


def _zone(context: Context) -> ZoneInfo:
    # Also within `{% include ... only %}`, whose context has no variables but still its request.
    return zone_of(getattr(context, "request", None) or context.get("request"))


def zone_word(at: datetime) -> str:
    """CET; where the zone has no word of its own, its offset: UTC+5:30."""
    word = at.strftime("%Z")
    if word[:1] not in "+-":
        return word
    sign, hours, minutes = word[0], word[1:3], word[3:5]
    return f"UTC{sign}{int(hours)}" + (f":{minutes}" if minutes not in ("", "00") else "")


def moment_in(moment: datetime, zone: tzinfo) -> str:
    """24 December 2026, 01:00 CET (00:00 UTC): the UTC day is told where it is another."""
    at, utc = moment.astimezone(zone), moment.astimezone(UTC)
    text = f"{date_format(at, 'j F Y, H:i')} {zone_word(at)}"
    if zone_word(at) == "UTC":
        return text
    other = date_format(utc, "H:i" if utc.date() == at.date() else "j F, H:i")
    return f"{text} ({other} UTC)"


@register.simple_tag(takes_context=True)
def local(context: Context, moment: datetime) -> str:
    """24 December 2026, 01:00 CET (00:00 UTC)."""
    return time_tag(moment, moment_in(moment, _zone(context)))


@register.simple_tag(takes_context=True)
def local_short(context: Context, moment: datetime) -> str:
    """24 Dec 2026, 01:00 CET, for rows of a table."""
    at = moment.astimezone(_zone(context))
    text = format_html(
        '<span class="nowrap">{},</span> <span class="nowrap">{} {}</span>',
        date_format(at, "j M Y"),
        at.strftime("%H:%M"),
        zone_word(at),
    )
    return time_tag(moment, text)


@register.simple_tag(takes_context=True)
def local_clock(context: Context, moment: datetime) -> str:
    """12:04:30 CET."""
    at = moment.astimezone(_zone(context))
    return time_tag(moment, f"{at:%H:%M:%S} {zone_word(at)}")


@register.simple_tag(takes_context=True)
def zone_name(context: Context) -> str:
    """Europe/Berlin; UTC where none is chosen."""
    return _zone(context).key


@register.simple_tag(takes_context=True)
def zone_is_chosen(context: Context) -> bool:
    return bool(chosen_zone(getattr(context, "request", None)))
