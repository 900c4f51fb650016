"""What becomes of somebody's money when their account is closed: everything ends at Stripe, nothing is owed."""

import contextlib

from django.utils import timezone

from billing import stripe_gateway
from billing.ending import end_now, forgive
from billing.errors import PurchaseOvertaken
from billing.models import BillingAccount, BillingMail
from billing.one_plan import close_open_sessions
from billing.sync import LIVE_STATUSES, sync_locked
from billing.trials import address_hmac

# An incomplete one waits for its first payment: paid later, it would begin a plan of nobody's.
CAN_CHARGE = LIVE_STATUSES | {"incomplete"}


def close_billing(account: BillingAccount, *, comment: str = "The account was closed") -> None:
    """End every subscription and open Checkout session at Stripe, void what waits to be paid, sell nothing any more.

    For a caller that holds the lock. No refund; the customer and the invoices stay at Stripe, as the law wants. Doing
    it again does what is left. Raises StripeUnavailable: press again.
    """
    was_closed = account.closed_at is not None
    # From here on no mail is written: the look below would tell of the end.
    account.closed_at = account.closed_at or timezone.now()
    if account.stripe_customer_id:
        # Overtaken: it was paid this very moment. What it bought is ended below.
        with contextlib.suppress(PurchaseOvertaken, stripe_gateway.ResourceMissing):
            close_open_sessions(account)
        with contextlib.suppress(stripe_gateway.ResourceMissing):
            # All of them, also of prices that are not in our catalogue.
            for subscription in stripe_gateway.list_subscriptions(account.stripe_customer_id):
                if subscription["status"] in CAN_CHARGE:
                    end_now(subscription["id"], comment=comment)
            for invoice in stripe_gateway.open_invoices_of(account.stripe_customer_id):
                forgive(invoice)
            sync_locked(account)
    # Those that wait have nowhere to go. Only now: had Stripe not answered, nothing would be closed.
    BillingMail.objects.filter(user_id=account.user_id, sent_at__isnull=True).delete()
    if not was_closed:
        account.former_address_hmac = address_hmac(account.user)
        account.save(update_fields=["closed_at", "former_address_hmac"])
