"""A plan that staff give by hand, with a reason and an end.

It is a Stripe subscription like any other, at the plan's price and in trial until its end, when it is cancelled the
same second: docs/decisions/0010-a-grant-is-a-subscription.md. No card, no charge, and no use of the person's one trial.
"""

import hashlib
from datetime import datetime, timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone

from billing import catalog, stripe_gateway
from billing.customers import ensure_customer, locked_account
from billing.ending import end_now
from billing.errors import AccountClosed, GrantRefused, StripeUnavailable
from billing.models import Plan, UserPlan
from billing.one_plan import close_open_sessions, metadata_of
from billing.subscriptions import last_subscription, live_plan
from billing.sync import GRANT_REASON, sync_locked

MAX_REASON = 200
# Stripe's longest trial: https://docs.stripe.com/api/subscriptions/create#create_subscription-trial_end
LONGEST = timedelta(days=730)
GRANTED_BY = "granted_by"


def grant_plan(user: AbstractBaseUser, plan: Plan, *, until: datetime, reason: str, by: AbstractBaseUser) -> UserPlan:
    """Give `plan` to the user until then. Takes the place of a free plan or of another grant.

    until: aware, in the future, at most 730 days ahead. reason: 1-200 characters; staff and the customer read it.
    by: who gives it; written into Django's log. Giving the same again changes nothing. Raises GrantRefused (a plan
    that they pay for, a draft, a bad end or reason), AccountClosed, StripeUnavailable (press again: it is given once).
    """
    reason = " ".join(reason.split())
    refuse_reason(reason)
    refuse_end(until)
    if plan.state == Plan.State.DRAFT:
        raise GrantRefused(f"{plan.name} is a draft. Publish it first.")
    if not user.is_active:
        raise GrantRefused("This account is switched off.")
    until = until.replace(microsecond=0)  # Stripe's times are whole seconds
    price = catalog.ensure_price(plan, 1)
    ensure_customer(user)
    with locked_account(user.pk) as account:
        live = sync_locked(account)
        if account.closed_at:
            raise AccountClosed()
        refuse_what_they_pay_for(live)
        if live and live.is_grant and (live.plan_id, live.cancel_at, live.grant_reason) == (plan.pk, until, reason):
            return _looked_at(user)
        # A purchase that is still open in a tab would end the grant, and cost money that nobody means to spend now.
        close_open_sessions(account)
        assert account.stripe_customer_id
        words = {GRANT_REASON: reason, GRANTED_BY: str(by)[:254]}
        stripe_gateway.create_subscription(
            customer_id=account.stripe_customer_id,
            price_id=price.stripe_price_id,
            card_id=None,
            trial_end=until,
            ends_with_trial=True,
            metadata=metadata_of(account, price) | words,
            # After what: the same gift, given again after it was ended, is another one. The words are part of it:
            # Stripe refuses a key that comes back with other parameters.
            idempotency_key=f"grant-{price.stripe_price_id}-{int(until.timestamp())}-{last_subscription(account)}-"
            + hashlib.sha256(f"{account.stripe_customer_id} {words}".encode()).hexdigest()[:16],
        )
        # The newer wins: what cost nothing before is ended by the look.
        sync_locked(account)
        granted = _looked_at(user)
    _log(by, granted, f"Gave {plan.name} until {_said(until)}: {reason}")
    return granted


def move_grant_end(user: AbstractBaseUser, *, until: datetime, by: AbstractBaseUser) -> UserPlan:
    """Let the user's grant last longer or end sooner, at `until`. Raises GrantRefused, StripeUnavailable."""
    refuse_end(until)
    until = until.replace(microsecond=0)
    with locked_account(user.pk) as account:
        grant = _grant_of(sync_locked(account))
        before = grant.cancel_at
        if before == until:
            return grant
        stripe_gateway.move_trial_end(grant.stripe_subscription_id, until)
        sync_locked(account)
        grant = _looked_at(user)
    _log(by, grant, f"Moved its end from {_said(before) if before else 'none'} to {_said(until)}")
    return grant


def end_grant(user: AbstractBaseUser, *, by: AbstractBaseUser) -> UserPlan:
    """End the user's grant now. Returns it as it is then. Raises GrantRefused (there is none), StripeUnavailable."""
    with locked_account(user.pk) as account:
        grant = _grant_of(sync_locked(account))
        end_now(grant.stripe_subscription_id, comment=f"Ended by {by}")
        sync_locked(account)
        grant = UserPlan.objects.select_related("plan").get(pk=grant.pk)
    _log(by, grant, "Ended it now")
    return grant


# --- what is refused ----------------------------------------------------------------------------------------------


def refuse_reason(reason: str) -> None:
    if not reason or len(reason) > MAX_REASON:
        raise GrantRefused(f"A grant needs a reason of at most {MAX_REASON} characters.")


def refuse_end(until: datetime) -> None:
    now = timezone.now()
    if until <= now:
        raise GrantRefused("A grant ends in the future.")
    if until > now + LONGEST:
        raise GrantRefused("A grant lasts two years (730 days) at most. Give it again then.")


def refuse_what_they_pay_for(live: UserPlan | None) -> None:
    if live is None or live.costs_nothing:
        return
    until = live.cancel_at or live.current_period_end
    raise GrantRefused(
        f"They pay for {live.plan.name} ({live.status}). Cancel it first and give the plan when it has ended"
        f" ({_said(until)}), or give them a discount or a credit in Stripe's dashboard."
    )


def _grant_of(live: UserPlan | None) -> UserPlan:
    if live is None or not live.is_grant:
        raise GrantRefused("They have no plan that was given to them.")
    return live


def _looked_at(user: AbstractBaseUser) -> UserPlan:
    plan = live_plan(user.pk)
    if plan is None:
        raise StripeUnavailable()
    return plan


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _log(by: AbstractBaseUser, plan: UserPlan, what: str) -> None:
    LogEntry.objects.log_actions(by.pk, [plan], CHANGE, change_message=what, single_object=True)
