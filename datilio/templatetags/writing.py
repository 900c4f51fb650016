"""How pages write money, numbers, dates and times: $29.00, 1,000, 23 December 2026, 12:04 UTC."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def cents(value: int) -> str:
    """Integer cents (USD) as $1,290.00; what is given back as −$12.34."""
    return f"{'−' if value < 0 else ''}${abs(Decimal(value)) / 100:,.2f}"


@register.filter
def cents_less(value: int) -> str:
    """Cents that are taken off: 500 as −$5.00."""
    return cents(-value)


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


@register.filter
def unit_for(unit: str, value: int | None) -> str:
    """A unit of ours, which are told in the plural, beside a number: {{ "files"|unit_for:1 }}: file."""
    return unit.removesuffix("s") if value == 1 else unit


@register.filter
def every(months: int) -> str:
    """How often a price of so many months is paid: a month, a year, every 3 months."""
    if months % 12 == 0:
        return "a year" if months == 12 else f"every {months // 12} years"
    return "a month" if months == 1 else f"every {months} months"


# Stripe's words for the brands that are not simply written with a capital.
# https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-brand
_BRANDS = {
    "amex": "American Express",
    "cartes_bancaires": "Cartes Bancaires",
    "diners": "Diners Club",
    "eftpos_au": "eftpos",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "unknown": "Card",
}


@register.filter
def mail_address(address: str) -> SafeString:
    """May break after its @ on a narrow screen, rather than at its last letter."""
    who, at, host = address.partition("@")
    return format_html("{}{}<wbr>{}", who, at, host)


@register.filter
def card_brand(brand: str) -> str:
    """visa: Visa."""
    return _BRANDS.get(brand, brand.capitalize())


def _utc(value: datetime | str) -> datetime:
    moment = parse_datetime(value) if isinstance(value, str) else value
    assert moment is not None
    return moment.astimezone(UTC)


def time_tag(moment: datetime, text: str) -> str:
    """The moment for machines (UTC) with its text for people."""
    return format_html('<time datetime="{}">{}</time>', moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), text)


def day_text(value: datetime | str) -> str:
    """23 December 2026 (the UTC day), without markup."""
    return date_format(_utc(value), "j F Y")


def moment_text(value: datetime | str) -> str:
    """23 December 2026, 12:04 UTC, without markup."""
    return date_format(_utc(value), "j F Y, H:i") + " UTC"


@register.filter
def day(value: datetime | str) -> str:
    """23 December 2026 (the UTC day)."""
    return time_tag(_utc(value), day_text(value))


@register.filter
def short_day(value: datetime | str) -> str:
    """23 Dec 2026 (the UTC day), where two stand side by side."""
    at = _utc(value)
    return time_tag(at, date_format(at, "j M Y"))


@register.filter
def moment(value: datetime | str) -> str:
    """23 December 2026, 12:04 UTC."""
    return time_tag(_utc(value), moment_text(value))


@register.filter
def clock(value: datetime | str) -> str:
    """12:04 UTC."""
    at = _utc(value)
    return time_tag(at, at.strftime("%H:%M UTC"))


_LEADING_AMOUNT = re.compile(r"^(\$?[\d,.]+(?: MB)?|Unlimited)(?= )")


@register.filter
def amount_first(sentence: str) -> str:
    """ "100 files" with its amount in bold, so that cards can be compared at a glance."""
    found = _LEADING_AMOUNT.match(sentence)
    if not found:
        return conditional_escape(sentence)
    return format_html("<strong>{}</strong>{}", found[0], sentence[found.end() :])
