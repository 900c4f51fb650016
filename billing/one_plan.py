"""What Checkout and a purchase with the card on file have in common: one live plan, one open session per user."""

from billing import stripe_gateway
from billing.errors import AlreadySubscribed, PlanChangeNotAvailable, StripeUnavailable
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.sync import sync_locked


def refuse_second_plan(live: UserPlan | None, wanted: PlanPrice) -> None:
    """Raises AlreadySubscribed or PlanChangeNotAvailable when there is a live plan."""
    if live is None:
        return
    if live.plan_id == wanted.plan_id and live.duration_months == wanted.months:
        raise AlreadySubscribed()
    raise PlanChangeNotAvailable()


def metadata_of(account: BillingAccount, price: PlanPrice) -> dict[str, str]:
    """What a session and its subscription say about themselves in Stripe's dashboard, and to us on the way back."""
    return {"user_id": str(account.user_id), "plan_id": str(price.plan_id), "months": str(price.months)}


def close_open_sessions(account: BillingAccount, *, but: str = "") -> None:
    """Expire the user's open Checkout sessions at Stripe, except `but`, before anything else is sold to them.

    A session that cannot be expired was paid this very moment: then there is a plan, and the purchase in work is
    refused.
    """
    assert account.stripe_customer_id
    for session in stripe_gateway.newest_checkout_sessions(account.stripe_customer_id):
        if session["status"] == "open" and session["id"] != but:
            try:
                stripe_gateway.expire_checkout_session(session["id"])
            except stripe_gateway.StripeRefused as exc:
                if sync_locked(account) is not None:
                    raise PlanChangeNotAvailable() from exc
                raise StripeUnavailable() from exc
