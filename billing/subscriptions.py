"""Buy without Checkout, cancel, look. Each rule about having one plan stands here once."""

import contextlib

from django.contrib.auth.base_user import AbstractBaseUser

from billing import catalog, stripe_gateway
from billing.checkout import start_checkout
from billing.customers import ensure_customer, locked_account
from billing.errors import NothingToCancel, PaymentFailed, PaymentMethodRequired
from billing.models import BillingAccount, UserPlan
from billing.one_plan import close_open_sessions, metadata_of, refuse_second_plan
from billing.sync import sync_locked


def live_plan(user_id: int) -> UserPlan | None:
    """The user's one subscription that is not over, with its plan. It may give no access: ask `is_active(now)`."""
    return UserPlan.objects.live().filter(user_id=user_id).select_related("plan").first()


def purchase_plan(user: AbstractBaseUser, plan_id: int, months: int) -> UserPlan:
    """A first plan, charged to the card on file at once; a free one needs no card.

    Raises PlanNotFound, AlreadySubscribed, PlanChangeNotAvailable, PaymentMethodRequired (with `checkout_url`),
    PaymentFailed (nothing was created), StripeUnavailable (press again: it cannot buy twice).
    """
    plan = catalog.plan_on_sale(plan_id)
    price = catalog.ensure_price(plan, months)
    customer_id = ensure_customer(user)
    with locked_account(user.pk) as account:
        refuse_second_plan(sync_locked(account), price)
        card_id = stripe_gateway.card_on_file(customer_id)
        if card_id or not price.amount_cents:
            close_open_sessions(account)
            try:
                stripe_gateway.create_subscription(
                    customer_id=customer_id,
                    price_id=price.stripe_price_id,
                    card_id=card_id,
                    metadata=metadata_of(account, price),
                    idempotency_key=f"purchase-{customer_id}-{price.stripe_price_id}-{account.purchases_answered}",
                )
            except PaymentFailed:
                _note_an_answer(account)
                raise
            _note_an_answer(account)
            bought = sync_locked(account)
            assert bought is not None  # Stripe has just said that it is there.
            return bought
    raise PaymentMethodRequired(checkout_url=start_checkout(user, plan_id, months))


def _note_an_answer(account: BillingAccount) -> None:
    """See BillingAccount.purchases_answered."""
    account.purchases_answered += 1
    account.save(update_fields=["purchases_answered"])


def cancel_plan(user: AbstractBaseUser, *, immediately: bool = False, reason: str = "") -> tuple[str, UserPlan]:
    """End the plan at its period's end, or now: ("cancel_scheduled" | "canceled", the plan as it is after it).

    Scheduling twice is no error: the answer is the same. Raises NothingToCancel, StripeUnavailable.
    """
    with locked_account(user.pk) as account:
        plan = sync_locked(account)
        if plan is None:
            raise NothingToCancel()
        if immediately:
            # Missing: it ended between our look and our call, as wanted.
            with contextlib.suppress(stripe_gateway.ResourceMissing):
                stripe_gateway.cancel_now(plan.stripe_subscription_id, comment=reason)
        elif not plan.is_ending:
            stripe_gateway.cancel_at_period_end(plan.stripe_subscription_id, comment=reason)
        sync_locked(account)
        plan = UserPlan.objects.select_related("plan").get(pk=plan.pk)
    return ("cancel_scheduled" if plan.is_live else "canceled"), plan
