"""One use on its way in: what an event may say, and where and up to what it counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as json_string
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from billing.models import Plan, UserPlan
from billing.pricing import NANOCENTS
from datilio.errors import DomainError, InvalidInput
from datilio.times import iso
from usage.costs import SPEND, Charge, charge_of
from usage.errors import NoActivePlan, UserNotFound
from usage.features import FEATURES, Feature, Metered, Window
from usage.limits import plans_by_price
from usage.plan_facts import Facts
from usage.price_book import Book, price_book
from usage.refusals import file_too_large, refusal_by_the_plan, spend_cap_reached
from usage.windows import ALWAYS, month_at, window_at

MAX_AMOUNT = 10**12
# A backend that was cut off for a month can still deliver; older than that is a mistake.
LATEST = timedelta(days=35)
# What clocks of well-kept machines differ by, and then some.
CLOCK_SKEW = timedelta(minutes=5)
# What names the customer's own cap where a Plan field names a plan's limit.
SPEND_CAP = "spend_cap"
# Stands for "unlimited" in SQL. Adding MAX_AMOUNT to it still fits a bigint.
NO_LIMIT = 2**62


class Use(NamedTuple):
    """One event as sent. `sent_at` is the sender's own timestamp, if it gave one. `level`: what it was told instead of
    an amount (usage/levels.py)."""

    user_id: int
    metered: Metered
    amount: int
    source: str
    key: str
    model: str = ""
    size_mb: float | None = None
    sent_at: datetime | None = None
    level: int | None = None

    @property
    def feature(self) -> str:
        return self.metered.name

    @property
    def fingerprint(self) -> str:
        """Without our clock: a retry a second later is the same event."""
        if self.level is None and self.size_mb is None and self.sent_at is None:
            # The same text as below: most events are so, and json.dumps costs more than all the rest of this.
            model = json_string(self.model) if self.model else '""'
            return _digest(f'[{self.user_id}, "{self.metered.name}", {self.amount}, {model}, null, null]')
        amount = self.amount if self.level is None else f"level {self.level}"
        sent = [self.user_id, self.feature, amount, self.model, self.size_mb, iso(self.sent_at)]
        return fingerprint_of(sent)


def fingerprint_of(sent: list[Any]) -> str:
    return _digest(json.dumps(sent))


def _digest(text: str) -> str:
    # Not SHA-256, whose library is large and cold when it is asked once an event: 10 us more of each.
    return blake2b(text.encode(), digest_size=16).hexdigest()


def use_of(
    user_id: int,
    feature: str,
    amount: int,
    *,
    source: str,
    key: str,
    timestamp: datetime | None = None,
    model: str = "",
    size_mb: float | None = None,
) -> Use:
    """The rules about what an event may say. Raises InvalidInput."""
    metered = FEATURES.get(feature)
    if metered is None:
        raise InvalidInput({"feature": [f"One of {', '.join(FEATURES)}."]})
    # An exact type: True and 1.0 are equal to 1, and would be taken for it where uses that say the same share a slot.
    is_a_number = type(amount) is int and amount != 0 and -MAX_AMOUNT <= amount <= MAX_AMOUNT
    if not is_a_number or (amount < 0 and not metered.can_be_given_back):
        raise InvalidInput({"amount": [_amount_rule(metered)]})
    if "\0" in key or "\0" in model:
        # PostgreSQL's text ends there.
        raise InvalidInput({"key" if "\0" in key else "model": ["Without the character NUL."]})
    if size_mb is not None and (metered.per_item_limit_field is None or amount < 0):
        raise InvalidInput({"size_mb": ["Only for files that are uploaded."]})
    return Use(user_id, metered, amount, source, key, model, None if size_mb is None else float(size_mb), timestamp)


def _amount_rule(metered: Metered) -> str:
    rule = f"A whole number from 1 to {MAX_AMOUNT:,}"
    return f"{rule}, or its negative when {metered.unit} are gone." if metered.can_be_given_back else f"{rule}."


class Asked:
    """What the events of a batch ask the database for, once for all of them: most of it only refusals do."""

    def __init__(self) -> None:
        self._users: dict[int, bool] = {}
        self._plans: list[Plan] | None = None
        self._book: Book | None = None

    def user_exists(self, user_id: int) -> bool:
        if user_id not in self._users:
            self.look_for_users([user_id])
        return self._users[user_id]

    def look_for_users(self, user_ids: list[int]) -> None:
        """Look for many in one query."""
        users = get_user_model()._default_manager.filter(pk__in=user_ids)
        self._users |= dict.fromkeys(user_ids, False) | dict.fromkeys(users.values_list("pk", flat=True), True)

    def price_book(self) -> Book:
        if self._book is None:
            self._book = price_book()
        return self._book

    def plans_on_sale(self) -> list[Plan]:
        if self._plans is None:
            self._plans = plans_by_price()
        return self._plans


class Bump(NamedTuple):
    """One counter that a use moves: the row (feature, window_start) of its user by `amount`, up to `limit` (None:
    unlimited). limit_name: what sets it, for the refusal."""

    feature: str
    window_start: datetime
    resets_at: datetime | None
    amount: int
    limit: int | None
    limit_name: str | None

    @property
    def most(self) -> int:
        """The limit as SQL compares it."""
        return NO_LIMIT if self.limit is None else self.limit

    def fits(self, used: int, held: int) -> bool:
        """What TAKE and GIVE_BACK of usage/statements.py ask, of numbers that were read."""
        return used + self.amount >= 0 if self.amount < 0 else used + held + self.amount <= self.most

    def refusal(self, use: Use, used: int, held: int, asked: Asked | None = None) -> DomainError:
        """Why it does not fit. `used` and `held` are read for the message, after the decision has been made."""
        if self.feature == SPEND:
            return spend_cap_reached(used=used, held=held, amount=self.amount, most=self.most, resets_at=self.resets_at)
        return refusal_by_the_plan(
            use.metered,
            used=used,
            held=held,
            amount=self.amount,
            most=self.most,
            limit_name=self.limit_name,
            resets_at=self.resets_at,
            size_mb=use.size_mb,
            plans=None if asked is None else asked.plans_on_sale(),
        )


@dataclass(slots=True)
class Slot:
    """Where uses count that say the same on one UTC day, under the same terms: worked out once for all of them.

    `bumps[0]` is the counter of their own feature (`own`), which the answer tells of; further ones (what it costs) move
    with it or not at all, and stand in the order of their features: everybody locks in that order.

    alert_window: what has no window of its own (files) is warned of once in a month of the plan. charge: how it is
    charged, `cost_nanocents` what; None and 0 where it costs nothing. warned: which of the bumps can reach a threshold
    that is told of; None: none has a limit, or it only gives back. sent: how usage/statements.py sends it.
    """

    day: date
    bumps: tuple[Bump, ...]
    alert_window: datetime
    cost_nanocents: int = 0
    charge: Charge | None = None
    own: Bump = field(init=False)
    warned: int | None = field(init=False)
    sent: dict[Any, Any] = field(init=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.own = own = self.bumps[0]
        if own.limit and own.amount > 0:
            self.warned = 0
        else:
            self.warned = 1 if len(self.bumps) > 1 and self.bumps[1].limit else None


class Place(NamedTuple):
    """Where a use counts, and when. facts: those that this rests on; None where it rests on none."""

    timestamp: datetime
    slot: Slot
    facts: Facts | None

    @property
    def bumps(self) -> tuple[Bump, ...]:
        return self.slot.bumps

    @property
    def own(self) -> Bump:
        return self.slot.own


# Of what is said under the same terms so much is remembered; most say "one more".
_MOST_SLOTS = 64


def place_of(use: Use, facts: Facts | None, now: datetime, asked: Asked | None = None) -> Place:
    """The rules about plan and time. asked: what many refusals have in common.

    Raises InvalidInput, UserNotFound, NoActivePlan, LimitExceeded (file size).
    """
    timestamp = _timestamp(use, now)
    if facts is None or not facts.is_active(now):
        if facts is None and not (asked or Asked()).user_exists(use.user_id):
            raise UserNotFound()
        if use.amount > 0:
            raise NoActivePlan(feature=use.feature)
        # What is gone is gone, whether they still pay or not.
        gone = Bump(use.feature, ALWAYS, None, use.amount, 0, None)
        return Place(timestamp, Slot(timestamp.date(), (gone,), ALWAYS), None)
    if use.size_mb is not None:
        _check_size(use, use.size_mb, facts.user_plan, asked)
    if use.metered.feature is Feature.AI_TOKEN and facts.user_plan.token_price_cents:
        # What it costs goes by the second, and by the price book.
        return Place(timestamp, _charged_slot(use, timestamp, facts, asked), facts)
    # Windows turn at midnight UTC, so the day alone tells.
    slots, says = facts.terms.slots, (use.metered.name, use.amount, timestamp.date())
    if (slot := slots.get(says)) is None:
        if len(slots) >= _MOST_SLOTS:
            slots.clear()
        slot = slots[says] = _slot(use, timestamp, facts.user_plan)
    return Place(timestamp, slot, facts)


def _slot(use: Use, timestamp: datetime, user_plan: UserPlan) -> Slot:
    metered = use.metered
    window_start, resets_at = window_at(metered.window, timestamp, user_plan.usage_anchor)
    alert_window = window_start
    if metered.window is Window.NONE:
        alert_window, _ = month_at(timestamp, user_plan.usage_anchor)
    limit = metered.limit_of(user_plan.plan)
    own = Bump(metered.name, window_start, resets_at, use.amount, limit, metered.limit_field)
    return Slot(timestamp.date(), (own,), alert_window)


def _charged_slot(use: Use, timestamp: datetime, facts: Facts, asked: Asked | None) -> Slot:
    slot = _slot(use, timestamp, facts.user_plan)
    charge = charge_of(facts.user_plan, use.model, timestamp, use.amount, asked.price_book() if asked else None)
    assert charge is not None
    cost, cap = charge.cost(use.amount), facts.spend_cap_cents
    most = None if cap is None else cap * NANOCENTS
    spend = Bump(SPEND, slot.own.window_start, slot.own.resets_at, cost, most, SPEND_CAP)
    return Slot(slot.day, (slot.own, spend), slot.alert_window, cost, charge)


def terms_for(metered: Metered, facts: Facts) -> Any:
    """All that `place_of` asks of an active plan: two who have the same are told the same of the same use."""
    return facts.token_terms if metered.feature is Feature.AI_TOKEN else facts.terms


def _timestamp(use: Use, now: datetime) -> datetime:
    if use.sent_at is None:
        return now.astimezone(UTC)
    if use.sent_at > now + CLOCK_SKEW:
        raise InvalidInput({"timestamp": [f"This is in the future. It is {iso(now)} here."]})
    if use.sent_at < now - LATEST:
        raise InvalidInput({"timestamp": [f"This is more than {LATEST.days} days ago, too late to count."]})
    return use.sent_at.astimezone(UTC)


def _check_size(use: Use, size_mb: float, user_plan: UserPlan, asked: Asked | None) -> None:
    """Each file by itself, never the sum."""
    field = use.metered.per_item_limit_field
    most = getattr(user_plan.plan, field) if field else None
    if most is not None and size_mb > most:
        plans = None if asked is None else asked.plans_on_sale()
        raise file_too_large(use.metered, size_mb, most, use.amount, plans=plans)
