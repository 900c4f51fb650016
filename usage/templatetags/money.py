"""Nanocents on pages: $3.21, $0.0042; or with all their digits."""

from django import template

from usage.money import exact_dollars, shown_dollars

register = template.Library()

register.filter("nanocents", shown_dollars)


@register.filter
def exact_nanocents(value: int) -> str:
    return f"${exact_dollars(value)}"


@register.filter
def factor(thousandths: int) -> str:
    """2500: 2.5."""
    return f"{thousandths / 1000:g}"
