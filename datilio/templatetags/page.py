"""What the page's frame needs: the chosen theme, the present address, icons, form fields without placeholders."""

from django import template
from django.conf import settings
from django.forms import BoundField
from django.http import HttpRequest
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from datilio.theme import theme_of

register = template.Library()

# Drawn on 20 x 20 with a stroke of 1.6, in the colour of the text around them.
ICONS = {
    "alert": '<path d="M10 3 2.5 16.5h15L10 3Z"/><path d="M10 8.5v3.5"/><path d="M10 14.4v.1"/>',
    "arrow": '<path d="M4 10h12"/><path d="m11.5 5.5 4.5 4.5-4.5 4.5"/>',
    "auto": '<circle cx="10" cy="10" r="6.5"/><path d="M10 3.5a6.5 6.5 0 0 1 0 13Z" fill="currentColor"/>',
    "check": '<path d="m4.5 10.5 3.7 3.7 7.3-8"/>',
    "chevron": '<path d="m6 8 4 4 4-4"/>',
    "clock": '<circle cx="10" cy="10" r="7"/><path d="M10 6v4.2l2.8 1.8"/>',
    "closed": '<circle cx="10" cy="10" r="7"/><path d="m7.5 7.5 5 5m0-5-5 5"/>',
    "done": '<circle cx="10" cy="10" r="7"/><path d="m6.8 10.3 2.2 2.2 4.3-4.8"/>',
    "file": '<path d="M5 2.8h6.2L15 6.6v10.6H5Z"/><path d="M11 3v4h4"/>',
    "info": '<circle cx="10" cy="10" r="7"/><path d="M10 9.4v4"/><path d="M10 6.5v.1"/>',
    "lock": '<rect x="4.5" y="9" width="11" height="8" rx="1.5"/><path d="M7 9V6.5a3 3 0 0 1 6 0V9"/>',
    "menu": '<path d="M3.5 6h13M3.5 10h13M3.5 14h13"/>',
    "minus": '<path d="M6 10h8"/>',
    "moon": '<path d="M16.2 11.8A6.8 6.8 0 0 1 8.2 3.8a6.8 6.8 0 1 0 8 8Z"/>',
    "prompt": '<path d="M3.5 4h13v9.5H9.2L5.8 16.6v-3.1H3.5Z"/><path d="M6.8 7.4h6.4M6.8 10h4"/>',
    "rows": '<rect x="3" y="4" width="14" height="12" rx="1"/><path d="M3 8h14M3 12h14M8 4v12"/>',
    "sun": '<circle cx="10" cy="10" r="3.2"/><path d="M10 2.5v2M10 15.5v2M2.5 10h2M15.5 10h2M4.7 4.7l1.4 1.4'
    'M13.9 13.9l1.4 1.4M15.3 4.7l-1.4 1.4M6.1 13.9l-1.4 1.4"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon beside a text that says the same: screen readers skip it."""
    return mark_safe(
        '<svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" '
        'stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">'
        f"{ICONS[name]}</svg>"
    )


@register.simple_tag
def operator_links() -> list[tuple[str, str]]:
    """(label, address) of whom to write to and of the operator's own pages, as far as the settings name them."""
    contact = f"mailto:{settings.CONTACT_EMAIL}" if settings.CONTACT_EMAIL else ""
    links = [
        ("Contact", contact),
        ("Terms", settings.TERMS_URL),
        ("Privacy", settings.PRIVACY_URL),
        ("Imprint", settings.IMPRINT_URL),
    ]
    return [(label, address) for label, address in links if address]


@register.simple_tag
def contact_email() -> str:
    return settings.CONTACT_EMAIL


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    """The visitor's choice: "light", "dark" or "auto" (the system's)."""
    return theme_of(context.get("request"))


@register.simple_tag(takes_context=True)
def theme_attribute(context: Context) -> str:
    chosen = theme_of(context.get("request"))
    return "" if chosen == "auto" else format_html(' data-theme="{}"', chosen)


@register.simple_tag(takes_context=True)
def here(context: Context) -> str:
    """Where a form that leads back should lead: this page, if it can be asked for again."""
    request: HttpRequest | None = context.get("request")
    if request is None or request.method not in ("GET", "HEAD"):
        return "/"
    return request.get_full_path()


@register.simple_tag(takes_context=True)
def current_if(context: Context, path: str) -> str:
    """aria-current for the link to the page that is shown."""
    request: HttpRequest | None = context.get("request")
    return mark_safe(' aria-current="page"') if request is not None and request.path == path else ""


@register.filter
def without_placeholder(field: BoundField) -> SafeString:
    """allauth repeats each label as a placeholder, which vanishes when one types: the label is enough."""
    return field.as_widget(attrs={"placeholder": False})
