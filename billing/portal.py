"""Stripe's customer portal: cards, address, tax id and invoices on Stripe's own page."""

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.urls import reverse

from billing import stripe_gateway
from billing.errors import NoBillingHistory
from billing.models import BillingAccount


def portal_url(user: AbstractBaseUser, *, return_path: str = "") -> str:
    """A link into the portal, good for a few minutes; its way back leads to `return_path` (of this site), else to the
    account page. Raises NoBillingHistory, StripeUnavailable."""
    account = BillingAccount.objects.filter(user_id=user.pk, stripe_customer_id__isnull=False).first()
    if account is None:
        raise NoBillingHistory()
    return open_portal(account, return_path=return_path)


def open_portal(account: BillingAccount, *, return_path: str = "") -> str:
    """The same for an account that is a customer at Stripe."""
    assert account.stripe_customer_id
    session = stripe_gateway.create_portal_session(
        customer_id=account.stripe_customer_id,
        return_url=settings.BASE_URL + (return_path or reverse("accounts:settings")),
        configuration_id=settings.STRIPE_PORTAL_CONFIGURATION or None,
    )
    return session["url"]
