"""What a wished plan costs, now and next: the lines that a customer sees before the button that costs money.

A quote comes from Stripe's own preview, at one fixed second (`proration_date`). Confirming it sends the same second, so
the charge equals the quote; subscriptions.purchase_plan asks Stripe once more and refuses when anything has moved.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import stripe
from django.core import signing
from django.utils import timezone

from billing import stripe_gateway
from billing.changes import kind_of_change
from billing.errors import ChangeScheduled, QuoteInvalid
from billing.given_back import is_given_back
from billing.metered import is_for_usage, metered_price_beside, usage_cents, words_of
from billing.models import BillingAccount, PlanPrice, UserPlan
from billing.pricing import interval_of, trial_days
from billing.stripe_gateway import Upgrade
from billing.trials import card_had_trial, had_trial

VALID_FOR = timedelta(minutes=10)
_SALT = "billing.quotes"

Kind = Literal["start", "resume", "upgrade", "downgrade"]


@dataclass(frozen=True)
class QuoteLine:
    description: str
    amount_cents: int  # negative: given back
    period_start: datetime
    period_end: datetime
    is_proration: bool


@dataclass(frozen=True)
class Quote:
    """What happens when it is confirmed. Cents (USD).

    effective_at: None is now. total_cents is what is charged now, after `discount_cents` (>= 0) and `credit_cents`
    (>= 0, from the customer's balance). next_cents, next_at: the bill after that; None: there is none. pays_with: the
    card on file, Stripe's Checkout page, or nothing. undoes_end: a scheduled cancellation is taken back with it.
    without_credit: what was paid for the present period was given back, so nothing is credited for the rest of it.
    """

    kind: Kind
    price: PlanPrice
    effective_at: datetime | None
    lines: list[QuoteLine]
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    credit_cents: int
    total_cents: int
    next_cents: int | None
    next_at: datetime | None
    pays_with: Literal["card", "checkout", "nothing"]
    trial_days: int
    ends_trial: bool
    undoes_end: bool
    without_credit: bool
    proration_date: int | None
    live: UserPlan | None
    quoted_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.quoted_at + VALID_FOR

    @property
    def token(self) -> str:
        """What the customer sends back to confirm exactly this."""
        return signing.dumps(self._facts(), salt=_SALT, compress=True)

    def _facts(self) -> dict[str, Any]:
        return {
            "price": self.price.pk,
            "kind": self.kind,
            "subscription": self.live.stripe_subscription_id if self.live else "",
            "holds": self.live.stripe_price_id if self.live else "",
            "user": self.live.user_id if self.live else 0,
            "date": self.proration_date,
            "total": self.total_cents,
            "quoted": int(self.quoted_at.timestamp()),
        }

    def costs_what_was_quoted(self, confirmed: "Confirmed") -> bool:
        """Is this, made anew, what the customer has confirmed?"""
        mine, theirs = self._facts(), confirmed.facts
        return all(mine[name] == theirs[name] for name in ("price", "kind", "subscription", "holds", "total"))


@dataclass(frozen=True)
class Confirmed:
    """A token that came back."""

    facts: dict[str, Any]

    @property
    def proration_date(self) -> int | None:
        return self.facts["date"]

    @property
    def total_cents(self) -> int:
        return self.facts["total"]

    @property
    def is_expired(self) -> bool:
        quoted_at = datetime.fromtimestamp(self.facts["quoted"], UTC)
        return timezone.now() >= quoted_at + VALID_FOR


def read_token(token: str, *, user_id: int, price: PlanPrice) -> Confirmed:
    """Raises QuoteInvalid for what we did not sign, for somebody else, or for another plan or time.

    A quote of an earlier price of the same choice is one that has changed: is_still_true says so.
    """
    try:
        facts = signing.loads(token, salt=_SALT)
    except signing.BadSignature as exc:
        raise QuoteInvalid() from exc
    quoted = PlanPrice.objects.filter(pk=facts["price"], plan_id=price.plan_id, months=price.months)
    if facts["user"] not in (0, user_id) or not quoted.exists():
        raise QuoteInvalid()
    return Confirmed(facts)


# --- making them ------------------------------------------------------------------------------------------------------


def kind_of(live: UserPlan | None, price: PlanPrice) -> Kind:
    """A plan that staff gave is bought over, like none: what is bought begins by itself. To choose the plan that one
    has takes back what is scheduled."""
    if live is None or live.is_grant:
        return "start"
    if live.stripe_price_id == price.stripe_price_id:
        return "resume"
    return kind_of_change(
        live, plan_id=price.plan_id, months=price.months, amount_cents=price.amount_cents, now=timezone.now()
    )


def upgrade_of(account: BillingAccount, live: UserPlan, price: PlanPrice, proration_date: int | None) -> Upgrade:
    """The change at Stripe, for the preview and for the purchase alike. Looks there for what was given back."""
    upgrade = replace(
        _change_to(live, price),
        proration_date=None if live.in_trial else proration_date,
        # An upgrade in the trial of a smaller plan must not give the larger one for nothing.
        ends_trial=live.in_trial,
        starts_anew=live.amount_cents == 0,
    )
    is_paid_for = live.amount_cents and not live.in_trial
    return replace(upgrade, without_credit=bool(is_paid_for) and is_given_back(account, live, upgrade))


def _change_to(live: UserPlan, price: PlanPrice) -> Upgrade:
    """The items as they are to be, and what was to end going on."""
    # What bills tokens need not change with the plan, only with the interval.
    keeps = live.stripe_metered_item_id and live.duration_months == price.months
    return Upgrade(
        subscription_id=live.stripe_subscription_id,
        item_id=live.stripe_item_id,
        price_id=price.stripe_price_id,
        proration_date=None,
        metered_item_id=live.stripe_metered_item_id,
        metered_price_id="" if keeps else metered_price_beside(price, live),
        undoes_end=live.is_ending,
    )


def trial_days_of(account: BillingAccount, price: PlanPrice, card_id: str | None) -> int:
    """The trial that this person gets with this plan: once, and none with what costs nothing, or with a card (the one
    on file, if there is one) that somebody else's trial began with."""
    days = trial_days(price.plan, price.amount_cents, had_one=had_trial(account.user))
    if days and card_id and card_had_trial(account, stripe_gateway.fingerprint_of(card_id)):
        return 0
    return days


def make_quote(
    account: BillingAccount, live: UserPlan | None, price: PlanPrice, *, proration_date: int | None = None
) -> Quote:
    """Ask Stripe what `price` costs this user. For a caller that holds the lock and has just looked (sync).

    proration_date: the second of an earlier quote; None is now. Two calls at most. Raises
    ChangeScheduled, StripeUnavailable.
    """
    kind = kind_of(live, price)
    match kind:
        case "start":
            return _start(account, live, price)
        case "upgrade":
            assert live is not None
            return _upgrade(account, live, price, proration_date)
        case "resume" | "downgrade":
            assert live is not None
            return _from_the_next_bill_on(kind, account, live, price)


def is_still_true(confirmed: Confirmed, account: BillingAccount, live: UserPlan | None, price: PlanPrice) -> bool:
    """Does it cost what the customer has confirmed? Asks as make_quote does."""
    at = confirmed.proration_date
    if at is not None and (live is None or at < live.current_period_start.timestamp()):
        # Of a period that is over; Stripe prices nothing there.
        return False
    return make_quote(account, live, price, proration_date=at).costs_what_was_quoted(confirmed)


def _start(account: BillingAccount, live: UserPlan | None, price: PlanPrice) -> Quote:
    assert account.stripe_customer_id
    card = stripe_gateway.card_on_file(account.stripe_customer_id) if price.amount_cents else None
    free_days = trial_days_of(account, price, card)
    invoice = stripe_gateway.preview_new_subscription(
        account.stripe_customer_id, price.stripe_price_id, metered_price_beside(price)
    )
    line = invoice["lines"]["data"][0]
    begins, ends = line["period"]["start"], line["period"]["end"]
    pays_with: Literal["card", "checkout", "nothing"] = "nothing"
    if price.amount_cents:
        pays_with = "card" if card else "checkout"
    if free_days:
        trial_ends = _time(begins) + timedelta(days=free_days)
        first = max(0, invoice["amount_due"])
        return _quote("start", price, live, [], pays_with, trial_days=free_days, next_=(first, trial_ends))
    next_ = (max(0, price.amount_cents - _credit_left(invoice)), _time(ends)) if price.amount_cents else None
    return _quote("start", price, live, [invoice], pays_with, next_=next_)


def _upgrade(account: BillingAccount, live: UserPlan, price: PlanPrice, proration_date: int | None) -> Quote:
    has_card = bool(live.card_last4)
    if not has_card and account.stripe_customer_id:
        has_card = stripe_gateway.card_on_file(account.stripe_customer_id) is not None
    if not has_card and live.amount_cents == 0:
        # A free plan without a card: a new subscription by way of Checkout takes its place.
        return _start(account, live, price)
    if live.stripe_schedule_id:
        # Stripe prices nothing beside a schedule.
        raise ChangeScheduled()
    upgrade = upgrade_of(account, live, price, proration_date)
    invoice = stripe_gateway.preview_upgrade(upgrade)
    # Stripe's own clock: a second later the same preview might cost a cent less.
    at = proration_date or invoice["created"]
    # Of what is given back for a longer period the end is another.
    charged = (line for line in invoice["lines"]["data"] if line["amount"] >= 0 and not is_for_usage(line))
    end = max((line["period"]["end"] for line in charged), default=int(at))
    renewal = _renewal_cents(live, price, invoice, goes_on=not upgrade.without_credit)
    next_ = max(0, renewal - _credit_left(invoice)), _time(end)
    pays_with: Literal["card", "checkout"] = "card" if has_card else "checkout"
    quote = _quote("upgrade", price, live, [invoice], pays_with, next_=next_, proration_date=at)
    return replace(quote, without_credit=upgrade.without_credit)


def _credit_left(invoice: stripe.Invoice) -> int:
    """Cents: what was given back beyond what is due, and what is left of the balance, pay for the bills to come."""
    return max(0, -(invoice["ending_balance"] or 0))


def _renewal_cents(live: UserPlan, price: PlanPrice, upgrade: stripe.Invoice, *, goes_on: bool) -> int:
    """What the first renewal after an upgrade costs, before the balance. Only a discount makes it not the price.

    goes_on: may the present period go on? It does where the interval stays, too, and something was paid for it.
    """
    if not upgrade["total_discount_amounts"]:
        return price.amount_cents
    is_same = interval_of(live.duration_months) == interval_of(price.months)
    if goes_on and is_same and live.amount_cents and not live.in_trial:
        renewal = stripe_gateway.preview_renewal_at(_change_to(live, price))
        return renewal["total"] - usage_cents(renewal)
    if not all(_lasts(discount, price) for discount in upgrade["discounts"]):
        return price.amount_cents
    whole = next(
        line for line in upgrade["lines"]["data"] if not _is_proration(line["parent"]) and not is_for_usage(line)
    )
    return whole["amount"] - sum(one["amount"] for one in whole["discount_amounts"])


def _lasts(discount: Any, price: PlanPrice) -> bool:
    """Does it also come off the next bill? https://docs.stripe.com/api/coupons/object#coupon_object-duration"""
    duration = discount["source"]["coupon"]["duration"]
    next_bill = timezone.now() + timedelta(days=28 * price.months)
    return duration == "forever" or (duration == "repeating" and _time(discount["end"]) > next_bill)


def _from_the_next_bill_on(
    kind: Literal["resume", "downgrade"], account: BillingAccount, live: UserPlan, price: PlanPrice
) -> Quote:
    """Nothing is due now. A downgrade's next bill is the first of the smaller plan; who resumes goes on as before."""
    cents = price.amount_cents
    if cents and live.stripe_schedule_id:
        # Stripe prices nothing beside a schedule; the balance can be asked for.
        cents = max(0, cents + stripe_gateway.balance_of(account.stripe_customer_id or ""))
    elif cents:
        renewal = stripe_gateway.preview_renewal_at(_change_to(live, price))
        # What will have been used by then nobody knows.
        cents = max(0, renewal["amount_due"] - usage_cents(renewal))
    return _quote(
        kind,
        price,
        live,
        [],
        "card" if price.amount_cents else "nothing",
        next_=(cents, live.current_period_end) if price.amount_cents else None,
        at=live.current_period_end if kind == "downgrade" else None,
    )


def _quote(
    kind: Kind,
    price: PlanPrice,
    live: UserPlan | None,
    invoices: list[stripe.Invoice],
    pays_with: Literal["card", "checkout", "nothing"],
    *,
    next_: tuple[int, datetime] | None,
    at: datetime | None = None,
    trial_days: int = 0,
    proration_date: int | None = None,
) -> Quote:
    return Quote(
        kind=kind,
        price=price,
        effective_at=at,
        lines=[line for invoice in invoices for line in _lines(invoice["lines"]["data"])],
        subtotal_cents=sum(invoice["subtotal"] for invoice in invoices),
        discount_cents=sum(one["amount"] for invoice in invoices for one in invoice["total_discount_amounts"] or []),
        tax_cents=sum(one["amount"] for invoice in invoices for one in invoice["total_taxes"] or []),
        credit_cents=sum(max(0, invoice["total"]) - invoice["amount_due"] for invoice in invoices),
        total_cents=sum(invoice["amount_due"] for invoice in invoices),
        next_cents=next_[0] if next_ else None,
        next_at=next_[1] if next_ else None,
        pays_with=pays_with,
        trial_days=trial_days,
        ends_trial=kind == "upgrade" and live is not None and live.in_trial,
        undoes_end=kind != "start" and live is not None and live.is_ending,
        without_credit=False,
        proration_date=proration_date,
        live=live,
        quoted_at=timezone.now(),
    )


def _lines(lines: Iterable[Any]) -> list[QuoteLine]:
    return [
        QuoteLine(
            description=words_of(line),
            amount_cents=line["amount"],
            period_start=_time(line["period"]["start"]),
            period_end=_time(line["period"]["end"]),
            is_proration=_is_proration(line["parent"]),
        )
        for line in lines
        # Where no tokens were used, Stripe's line over nothing is no news.
        if line["amount"] or not is_for_usage(line)
    ]


def _is_proration(parent: Any) -> bool:
    """https://docs.stripe.com/api/invoice-line-item/object: it stands in whichever of the two parents there is."""
    details = parent and (parent["subscription_item_details"] or parent["invoice_item_details"])
    return bool(details and details["proration"])


def _time(stamp: int) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)
