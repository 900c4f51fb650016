"""Start a purchase on Stripe's page, and tell truly how it went when the customer comes back."""

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.urls import reverse
from django.utils import timezone

from billing import catalog, stripe_gateway
from billing.customers import ensure_customer, locked_account
from billing.errors import CheckoutNotFound, PlanChangeRequired, StripeUnavailable
from billing.metered import metered_price_beside
from billing.models import BillingAccount, Plan, PlanPrice, UserPlan
from billing.one_plan import close_open_sessions, metadata_of, refuse_what_is_there
from billing.quotes import trial_days_of
from billing.sync import sync_locked, sync_user
from billing.trials import CARD_HAD_ONE


def start_checkout(user: AbstractBaseUser, plan_id: int, months: int) -> str:
    """The URL of Stripe's page on which the user buys the plan.

    For who has no plan, or one that costs nothing: a new one takes its place (sync ends the older). Raises
    PlanNotFound, AlreadySubscribed, PlanChangeRequired, PaymentOverdue, StripeUnavailable.
    """
    plan = catalog.plan_on_sale(plan_id)
    price = catalog.ensure_price(plan, months)
    ensure_customer(user)
    with locked_account(user.pk) as account:
        live = sync_locked(account)
        refuse_what_is_there(account, live, price)
        if live is not None and not (live.costs_nothing and price.amount_cents):
            raise PlanChangeRequired()
        return open_checkout(account, price)


def open_checkout(account: BillingAccount, price: PlanPrice) -> str:
    """start_checkout for a caller that holds the lock and has looked.

    One session is open per user: the same choice leads to the same session again, another choice expires the older one
    first.
    """
    customer_id = account.stripe_customer_id
    assert customer_id
    metadata = metadata_of(account, price) | {"price_id": price.stripe_price_id}
    sessions = stripe_gateway.newest_checkout_sessions(customer_id)
    same = [s for s in sessions if s["status"] == "open" and _metadata(s, "price_id") == price.stripe_price_id]
    close_open_sessions(account, but=same[0]["id"] if same else "")
    if same:
        return same[0]["url"]
    card_id = stripe_gateway.card_on_file(customer_id) if price.plan.trial_days and price.amount_cents else None
    trial_days = trial_days_of(account, price, card_id)
    # What came last is part of the key: a repeat of this very call finds the same session, a new try after an
    # expired one gets a new session, though Stripe remembers keys for a day.
    last = sessions[0]["id"] if sessions else "first"
    session = stripe_gateway.create_checkout_session(
        customer_id=customer_id,
        price_id=price.stripe_price_id,
        metered_price_id=metered_price_beside(price),
        needs_card=price.amount_cents > 0,
        trial_days=trial_days,
        success_url=settings.BASE_URL + reverse("billing:checkout_return") + "?session_id={CHECKOUT_SESSION_ID}",
        cancel_url=settings.BASE_URL
        + reverse("billing:checkout_cancelled")
        + "?"
        + urlencode({"plan": price.plan_id, "months": price.months}),
        metadata=metadata,
        idempotency_key=f"checkout-{customer_id}-{price.stripe_price_id}-{trial_days}-{last}",
    )
    return session["url"]


@dataclass(frozen=True)
class CheckoutOutcome:
    """How a purchase stands.

    active: paid, the plan serves. processing: Stripe has not decided, or does not answer us. failed: it was not paid
    and is over. cancelled: the customer left; `checkout_url` leads back while the session is open. card_had_trial: that
    is why it failed.
    """

    state: Literal["active", "processing", "failed", "cancelled"]
    plan: Plan | None = None
    months: int | None = None
    user_plan: UserPlan | None = None
    checkout_url: str | None = None
    card_had_trial: bool = False


def confirm_checkout(user: AbstractBaseUser, session_id: str) -> CheckoutOutcome:
    """Ask Stripe itself how the user's session stands, and write what is true: right also when no webhook came.

    Raises CheckoutNotFound for a session that is none of this user's.
    """
    customer_id = BillingAccount.objects.filter(user_id=user.pk).values_list("stripe_customer_id", flat=True).first()
    if not customer_id or not re.fullmatch(r"cs_(test|live)_\w{1,200}", session_id, re.ASCII):
        raise CheckoutNotFound()
    try:
        session = stripe_gateway.retrieve_checkout_session(session_id)
        if session["customer"] != customer_id:
            raise CheckoutNotFound()
        live = sync_user(user.pk) if session["status"] == "complete" else None
    except stripe_gateway.ResourceMissing as exc:
        raise CheckoutNotFound() from exc
    except StripeUnavailable:
        return CheckoutOutcome("processing")

    if _metadata(session, "plan_id") is None:
        raise CheckoutNotFound()  # made by hand in Stripe's dashboard: no purchase of ours
    plan = Plan.objects.filter(pk=int(_metadata(session, "plan_id"))).first()
    months = int(_metadata(session, "months"))
    if session["status"] != "complete":
        return CheckoutOutcome("cancelled", plan, months, checkout_url=session["url"])
    if live and live.stripe_subscription_id == session["subscription"]:
        is_active = live.is_active(timezone.now())
        return CheckoutOutcome("active" if is_active else "processing", plan, months, live)
    # Paid once, but ended since (the page is opened again later), or never begun.
    try:
        why = stripe_gateway.why_ended(session["subscription"])
    except (StripeUnavailable, stripe_gateway.ResourceMissing):
        why = ""
    return CheckoutOutcome("failed", plan, months, live, card_had_trial=why == CARD_HAD_ONE)


def _metadata(session: Any, name: str) -> Any:
    """What start_checkout wrote into a session; None in one that somebody else made."""
    metadata = session["metadata"]
    return metadata[name] if metadata and name in metadata else None
