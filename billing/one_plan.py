"""What Checkout and a purchase with the card on file have in common: one live plan, one open session per user."""

from billing import stripe_gateway
from billing.ending import unpaid_usage
from billing.errors import AccountClosed, AlreadySubscribed, PaymentOverdue, PurchaseOvertaken, StripeUnavailable
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.sync import sync_locked


def refuse_what_is_there(account: BillingAccount, live: UserPlan | None, wanted: PlanPrice) -> None:
    """Raises AccountClosed for who has left meanwhile, AlreadySubscribed for the plan that they have as it is,
    PaymentOverdue while a bill of it is unpaid."""
    if account.closed_at:
        raise AccountClosed()
    if (live is None or live.costs_nothing) and wanted.amount_cents and account.stripe_customer_id:
        owed = unpaid_usage(account.stripe_customer_id)
        if owed:
            raise PaymentOverdue(
                "AI tokens of an earlier plan are not paid yet. Pay them at `invoice_url` first, then buy again.",
                invoice_url=owed["hosted_invoice_url"],
                amount_due=owed["amount_remaining"] / 100,
            )
    if live is None or live.is_grant:
        return
    if live.status not in ("active", "trialing"):
        raise PaymentOverdue(invoice_url=live.open_invoice_url, amount_due=(live.open_invoice_cents or 0) / 100)
    if live.stripe_price_id == wanted.stripe_price_id and not has_something_to_come(live):
        raise AlreadySubscribed()


def has_something_to_come(live: UserPlan) -> bool:
    """Is an end, a downgrade or an upgrade that waits for the bank on its way? Choosing the plan takes it back."""
    return bool(live.is_ending or live.pending_price_id or live.awaited_price_id)


def metadata_of(account: BillingAccount, price: PlanPrice) -> dict[str, str]:
    """What a session and its subscription say about themselves in Stripe's dashboard, and to us on the way back."""
    return {"user_id": str(account.user_id), "plan_id": str(price.plan_id), "months": str(price.months)}


def close_open_sessions(account: BillingAccount, *, but: str = "") -> None:
    """Expire the user's open Checkout sessions at Stripe, except `but`, before anything else is sold to them.

    A session that cannot be expired was paid this very moment: then there is another plan, and the purchase in work is
    refused.
    """
    assert account.stripe_customer_id
    for session in stripe_gateway.newest_checkout_sessions(account.stripe_customer_id):
        if session["status"] == "open" and session["id"] != but:
            try:
                stripe_gateway.expire_checkout_session(session["id"])
            except stripe_gateway.StripeRefused as exc:
                if sync_locked(account) is not None:
                    raise PurchaseOvertaken() from exc
                raise StripeUnavailable() from exc
