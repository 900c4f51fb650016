"""How pages write money, numbers, dates and times: $29.00, 1,000, 23 December 2026, 12:04 UTC."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.html import conditional_escape, format_html

register = template.Library()


@register.filter
def cents(value: int) -> str:
    """Integer cents (USD) as $1,290.00."""
    return f"${Decimal(value) / 100:,.2f}"


@register.filter
def dollars(value: Decimal) -> str:
    return f"${value:,.2f}"


@register.filter
def count(value: int | None) -> str:
    """1,000; None, where a limit may stand, is Unlimited."""
    return "Unlimited" if value is None else f"{value:,}"


@register.filter
def plain(value: object) -> str:
    """A number for a machine (an attribute, a hidden field): without the separators that people read."""
    return str(value)


@register.filter
def plural(value: int, forms: str) -> str:
    """{{ 1|plural:"file,files" }}: file."""
    one, many = forms.split(",")
    return one if value == 1 else many


def _utc(value: datetime | str) -> datetime:
    moment = parse_datetime(value) if isinstance(value, str) else value
    assert moment is not None
    return moment.astimezone(UTC)


def _time(moment: datetime, text: str) -> str:
    return format_html('<time datetime="{}">{}</time>', moment.strftime("%Y-%m-%dT%H:%M:%SZ"), text)


def day_text(value: datetime | str) -> str:
    """23 December 2026 (the UTC day), without markup."""
    return date_format(_utc(value), "j F Y")


def moment_text(value: datetime | str) -> str:
    """23 December 2026, 12:04 UTC, without markup."""
    return date_format(_utc(value), "j F Y, H:i") + " UTC"


@register.filter
def day(value: datetime | str) -> str:
    """23 December 2026 (the UTC day)."""
    return _time(_utc(value), day_text(value))


@register.filter
def moment(value: datetime | str) -> str:
    """23 December 2026, 12:04 UTC."""
    return _time(_utc(value), moment_text(value))


@register.filter
def clock(value: datetime | str) -> str:
    """12:04 UTC."""
    at = _utc(value)
    return _time(at, at.strftime("%H:%M UTC"))


_LEADING_AMOUNT = re.compile(r"^(\$?[\d,.]+(?: MB)?|Unlimited)(?= )")


@register.filter
def amount_first(sentence: str) -> str:
    """ "100 files" with its amount in bold, so that cards can be compared at a glance."""
    found = _LEADING_AMOUNT.match(sentence)
    if not found:
        return conditional_escape(sentence)
    return format_html("<strong>{}</strong>{}", found[0], sentence[found.end() :])
