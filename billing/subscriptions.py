"""Buy, change, cancel, resume, look. Each rule about having one plan stands here once."""

from django.contrib.auth.base_user import AbstractBaseUser

from billing import catalog, stripe_gateway
from billing.checkout import open_checkout
from billing.customers import ensure_customer, locked_account
from billing.disputes import is_disputed
from billing.ending import end_now
from billing.errors import (
    AuthenticationRequired,
    NothingToCancel,
    NothingToResume,
    PaymentDisputed,
    PaymentFailed,
    PaymentMethodRequired,
    PlanIsEnding,
    QuoteChanged,
    QuoteExpired,
    StripeUnavailable,
)
from billing.meter_reports import report_usage_of
from billing.metered import metered_price_beside
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.one_plan import close_open_sessions, has_something_to_come, metadata_of, refuse_what_is_there
from billing.portal import open_portal
from billing.pricing import interval_of
from billing.quotes import Confirmed, Quote, is_still_true, kind_of, make_quote, read_token, trial_days_of, upgrade_of
from billing.serializers import quote_out
from billing.sync import sync_locked


def live_plan(user_id: int) -> UserPlan | None:
    """The user's one subscription that is not over, with its plan. It may give no access: ask `is_active(now)`."""
    return (
        UserPlan.objects.live()
        .filter(user_id=user_id)
        .select_related("plan", "pending_price__plan", "awaited_price__plan")
        .first()
    )


def preview_purchase(user: AbstractBaseUser, plan_id: int, months: int) -> Quote:
    """What purchase_plan would do and cost. Changes nothing. Raises as purchase_plan does, but for the payment."""
    price = _price_on_sale(plan_id, months)
    ensure_customer(user)
    with locked_account(user.pk) as account:
        live = sync_locked(account)
        refuse_what_is_there(account, live, price)
        _refuse_credit_for_what_the_bank_took_back(account, live, price)
        _report_what_is_billed_now(live)
        return make_quote(account, live, price)


def purchase_plan(user: AbstractBaseUser, plan_id: int, months: int, *, quote: str = "") -> UserPlan:
    """Make the plan theirs: a first one, an upgrade now, or a downgrade at the period's end.

    quote: the token of a Quote that the customer has confirmed; what is charged then equals it to the cent. Choosing
    the plan that they have takes back what is scheduled. Returns the live plan as it is afterwards.

    Raises PlanNotFound, AlreadySubscribed, PaymentOverdue, PaymentDisputed, QuoteInvalid, QuoteExpired, QuoteChanged
    (both with the quote made anew in details["preview"]), PaymentMethodRequired (with `checkout_url`),
    AuthenticationRequired (with `authentication_url`), PaymentFailed (nothing was changed), StripeUnavailable (press
    again: it cannot buy twice).
    """
    price = _price_on_sale(plan_id, months)
    confirmed = read_token(quote, user_id=user.pk, price=price) if quote else None
    ensure_customer(user)
    with locked_account(user.pk) as account:
        live = sync_locked(account)
        refuse_what_is_there(account, live, price)
        _refuse_credit_for_what_the_bank_took_back(account, live, price)
        _report_what_is_billed_now(live)
        if confirmed:
            if confirmed.is_expired:
                raise QuoteExpired(preview=quote_out(make_quote(account, live, price)))
            if not is_still_true(confirmed, account, live, price):
                raise QuoteChanged(preview=quote_out(make_quote(account, live, price)))
        match kind_of(live, price):
            case "start":
                _start(account, price)
            case "resume":
                assert live is not None
                _take_back_what_is_to_come(live)
            case "upgrade":
                assert live is not None
                _upgrade(account, live, price, confirmed)
            case "downgrade":
                assert live is not None
                _downgrade(account, live, price)
        return _look_again(account)


def cancel_plan(user: AbstractBaseUser, *, immediately: bool = False, reason: str = "") -> tuple[str, UserPlan]:
    """End the plan at its period's end, or now: ("cancel_scheduled" | "canceled", the plan as it is after it).

    A period that was never paid is not served to its end: a plan whose bill is overdue ends now, and the bill is void.
    Scheduling twice is no error: the answer is the same. Raises NothingToCancel, StripeUnavailable.
    """
    with locked_account(user.pk) as account:
        plan = sync_locked(account)
        if plan is None:
            raise NothingToCancel()
        if immediately or plan.status not in ("active", "trialing"):
            end_now(plan.stripe_subscription_id, comment=reason)
        elif not plan.is_ending:
            _take_back_what_is_to_come(plan)
            stripe_gateway.cancel_at_period_end(plan.stripe_subscription_id, comment=reason)
        sync_locked(account)
        plan = UserPlan.objects.select_related("plan").get(pk=plan.pk)
    return ("cancel_scheduled" if plan.is_live else "canceled"), plan


def resume_plan(user: AbstractBaseUser) -> UserPlan:
    """Take back a scheduled cancellation, a pending downgrade, or an upgrade that waits for the bank.

    Raises NothingToResume, StripeUnavailable.
    """
    with locked_account(user.pk) as account:
        live = sync_locked(account)
        # What staff gave ends when they said; nobody is to pay for it afterwards.
        if live is None or live.is_grant or not has_something_to_come(live):
            raise NothingToResume()
        _take_back_what_is_to_come(live)
        return _look_again(account)


# --- the ways to another plan -----------------------------------------------------------------------------------------


def _price_on_sale(plan_id: int, months: int) -> PlanPrice:
    """Raises PlanNotFound."""
    return catalog.ensure_price(catalog.plan_on_sale(plan_id), months)


def _refuse_credit_for_what_the_bank_took_back(
    account: BillingAccount, live: UserPlan | None, price: PlanPrice
) -> None:
    """Stripe gives credit for what is left of a period, also of one whose payment is disputed: it would be paid twice.

    Asked at Stripe itself, for the event of a dispute may come later than the button. Raises PaymentDisputed.
    """
    if live is None or kind_of(live, price) != "upgrade":
        return
    assert account.stripe_customer_id
    if live.disputed_since or is_disputed(account.stripe_customer_id, live.stripe_subscription_id):
        raise PaymentDisputed()


def _start(account: BillingAccount, price: PlanPrice) -> None:
    """A subscription of its own, charged to the card on file; a free one needs no card."""
    customer_id = account.stripe_customer_id
    assert customer_id
    card_id = stripe_gateway.card_on_file(customer_id)
    if price.amount_cents and not card_id:
        raise PaymentMethodRequired(checkout_url=open_checkout(account, price))
    close_open_sessions(account)
    trial_days = trial_days_of(account, price, card_id)
    try:
        stripe_gateway.create_subscription(
            customer_id=customer_id,
            price_id=price.stripe_price_id,
            card_id=card_id,
            metered_price_id=metered_price_beside(price),
            trial_days=trial_days,
            metadata=metadata_of(account, price),
            # What came last is part of the key: what was bought, ended and is bought again is another purchase.
            idempotency_key=_key(account, "purchase", price.stripe_price_id, trial_days, last_subscription(account)),
        )
    except AuthenticationRequired as exc:
        _note_an_answer(account)
        # Nothing was begun; Stripe's own page buys it and asks the bank on the way.
        url = open_checkout(account, price)
        raise AuthenticationRequired(authentication_url=url, checkout_url=url) from exc
    except PaymentFailed:
        _note_an_answer(account)
        raise
    _note_an_answer(account)


def _upgrade(account: BillingAccount, live: UserPlan, price: PlanPrice, confirmed: Confirmed | None) -> None:
    """Charge the difference and change at once; a declined card changes nothing."""
    customer_id = account.stripe_customer_id
    assert customer_id
    if not live.card_last4:
        card_id = stripe_gateway.card_on_file(customer_id)
        if card_id is None:
            way = open_checkout(account, price) if live.amount_cents == 0 else open_portal(account)
            raise PaymentMethodRequired(checkout_url=way)
        stripe_gateway.make_default_card(customer_id, card_id)
    costs_the_same = confirmed is None or confirmed.total_cents == live.open_invoice_cents
    if live.awaited_price_id == price.pk and live.open_invoice_url and costs_the_same:
        # Asked for before, and the bank still waits for them: the same bill, not another one.
        raise AuthenticationRequired(authentication_url=live.open_invoice_url)
    close_open_sessions(account)
    upgrade = upgrade_of(account, live, price, confirmed.proration_date if confirmed else None)
    if live.stripe_schedule_id:
        # Stripe changes nothing beside a schedule.
        stripe_gateway.release_schedule(live.stripe_schedule_id)
    try:
        stripe_gateway.upgrade_subscription(
            upgrade,
            metadata=metadata_of(account, price),
            idempotency_key=_upgrade_key("upgrade", account, live, upgrade),
        )
    except PaymentFailed as exc:
        _note_an_answer(account)
        if live.pending_price:
            _schedule(live, live.pending_price)
        if not isinstance(exc, AuthenticationRequired):
            raise
        _await_the_bank(account, live, upgrade)
    else:
        _note_an_answer(account)


def _await_the_bank(account: BillingAccount, live: UserPlan, upgrade: stripe_gateway.Upgrade) -> None:
    """The bank wants to see the customer: leave the upgrade waiting at Stripe, and send them to the page of its bill.

    Raises AuthenticationRequired, or PlanIsEnding: Stripe lets no change wait together with the end of a cancellation,
    and to take that back for a payment that may never come would charge somebody who had left.
    """
    if live.is_ending:
        raise PlanIsEnding()
    if live.pending_price:
        raise PlanIsEnding("A change of your plan is scheduled. Keep your present plan first, then choose the new one.")
    waiting = stripe_gateway.await_upgrade(upgrade, idempotency_key=_upgrade_key("await", account, live, upgrade))
    if waiting["pending_update"]:
        url = waiting["latest_invoice"]["hosted_invoice_url"]
        sync_locked(account)
        raise AuthenticationRequired(authentication_url=url)


def _downgrade(account: BillingAccount, live: UserPlan, price: PlanPrice) -> None:
    """Another price from the period's end on. The newest choice wins over whatever was scheduled before."""
    close_open_sessions(account)
    _take_back_what_is_to_come(live)
    _schedule(live, price)


def _schedule(live: UserPlan, price: PlanPrice) -> None:
    schedule = stripe_gateway.create_schedule(live.stripe_subscription_id)
    interval, count = interval_of(price.months)
    stripe_gateway.schedule_next_price(
        schedule,
        price_id=price.stripe_price_id,
        metered_price_id=metered_price_beside(price, live),
        interval=interval,
        interval_count=count,
    )


def _report_what_is_billed_now(live: UserPlan | None) -> None:
    """Another interval, or an upgrade without credit, begins a new period at once, and bills what was used in the
    present one."""
    if live is not None and live.stripe_metered_item_id:
        report_usage_of(live.user_id)


def _look_again(account: BillingAccount) -> UserPlan:
    """The live plan after what was done. Raises StripeUnavailable when it ended that very moment."""
    sync_locked(account)
    plan = live_plan(account.user_id)
    if plan is None:
        raise StripeUnavailable()
    return plan


def _take_back_what_is_to_come(live: UserPlan) -> None:
    if live.awaited_price_id:
        # Its bill could still be paid, and the upgrade would come after all.
        for invoice in stripe_gateway.open_invoices(live.stripe_subscription_id):
            stripe_gateway.void_invoice(invoice["id"])
    if live.stripe_schedule_id:
        stripe_gateway.release_schedule(live.stripe_schedule_id)
    if live.is_ending:
        stripe_gateway.undo_cancellation(live.stripe_subscription_id)


def _upgrade_key(verb: str, account: BillingAccount, live: UserPlan, upgrade: stripe_gateway.Upgrade) -> str:
    """From what, in which period, to what: the same step another time is another purchase."""
    period = int(live.current_period_start.timestamp())
    facts = (live.stripe_price_id, period, upgrade.price_id, upgrade.proration_date)
    flags = f"{upgrade.ends_trial:d}{upgrade.starts_anew:d}{upgrade.undoes_end:d}{upgrade.without_credit:d}"
    return _key(account, verb, live.stripe_subscription_id, *facts, flags)


def last_subscription(account: BillingAccount) -> str:
    """The newest that there ever was; "first" for none."""
    rows = UserPlan.objects.filter(user_id=account.user_id).order_by("-start_date", "-pk")
    return rows.values_list("stripe_subscription_id", flat=True).first() or "first"


def _key(account: BillingAccount, *what: object) -> str:
    """An idempotency key of what is being bought, and of how often Stripe has answered before."""
    return "-".join(str(part) for part in (*what, account.stripe_customer_id, account.purchases_answered))


def _note_an_answer(account: BillingAccount) -> None:
    """See BillingAccount.purchases_answered."""
    account.purchases_answered += 1
    account.save(update_fields=["purchases_answered"])
