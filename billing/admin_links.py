"""Links from the admin to Stripe's dashboard."""

from django.conf import settings
from django.utils.html import format_html


def stripe_link(kind: str, object_id: str, text: str = "") -> str:
    """A link to an object in Stripe's dashboard; of the local Stripe, to its page."""
    if not object_id:
        return "-"
    if settings.LOCAL_STRIPE:
        return format_html('<a href="{}/_sandbox/">{}</a>', settings.STRIPE_API_HOST, text or object_id)
    mode = "" if settings.STRIPE_LIVE_MODE else "test/"
    return format_html(
        '<a href="https://dashboard.stripe.com/{}{}/{}">{}</a>', mode, kind, object_id, text or object_id
    )
