"""Random subscriptions and random changes of them, for hypothesis: what the tests of money draw from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from stripe_sandbox.tests.in_process import InProcess, Refused

INTERVALS = [("month", 1), ("year", 1), ("month", 3), ("week", 2), ("day", 10)]
DAY = 86400
MILLION = 1_000_000


@dataclass(frozen=True)
class Change:
    """A request to change a subscription, in words that need no ids: see `Life.params_of`."""

    kind: str
    item: int = 0
    price: int = 0
    quantity: int | None = None
    behavior: str | None = None  # proration_behavior
    date: int | None = None  # proration_date, in millionths of the time from the period's start until now
    end: int = 0  # of a trial or of the subscription, in millionths of the period
    coupon: dict[str, Any] | None = None  # takes the place of the subscription's


@dataclass(frozen=True)
class Story:
    """A subscription and what happens to it in its second half of a period."""

    start: int
    interval: tuple[str, int]
    other_interval: tuple[str, int]
    amounts: tuple[int, ...]  # of the prices, of the first interval and of the other one alike
    items: tuple[tuple[int, int], ...]  # (price, quantity)
    usage: int | None  # None: no metered item
    coupon: dict[str, Any] | None
    trial_days: int | None
    balance: int
    renewals: int  # periods that pass before anything is changed
    earlier: tuple[tuple[int, Change], ...]  # (millionths of the period, change), in order
    moment: int  # millionths of the period at which the last change is previewed and made
    change: Change


_behaviors = st.sampled_from([None, "create_prorations", "always_invoice", "always_invoice", "none"])
_millionths = st.integers(0, MILLION - 1)

_coupons = st.one_of(
    st.builds(lambda percent: {"percent_off": percent}, st.sampled_from([10, 33.3, 50, 100, 12.5])),
    st.builds(lambda cents: {"amount_off": cents, "currency": "usd"}, st.integers(1, 4000)),
).flatmap(
    lambda off: st.sampled_from(
        [
            off | {"duration": "once"},
            off | {"duration": "forever"},
            off | {"duration": "repeating", "duration_in_months": 1},
            off | {"duration": "repeating", "duration_in_months": 4},
        ]
    )
)

_of_items = st.builds(
    Change,
    kind=st.sampled_from(["switch", "quantity", "add", "delete", "interval"]),
    item=st.integers(0, 2),
    price=st.integers(0, 2),
    quantity=st.none() | st.integers(0, 5),
    behavior=_behaviors,
    date=st.none() | _millionths,
    coupon=st.none() | st.none() | st.none() | _coupons,
)
_of_time = st.builds(
    Change,
    kind=st.sampled_from(["trial_end", "trial_now", "anchor", "cancel_at", "cancel_at_period_end", "keep"]),
    behavior=_behaviors,
    date=st.none() | _millionths,
    end=_millionths | st.integers(MILLION, 3 * MILLION),
)
_of_schedule = st.builds(
    Change,
    kind=st.sampled_from(["schedule", "schedule_now"]),
    price=st.integers(0, 2),
    quantity=st.none() | st.integers(1, 5),
    behavior=_behaviors,
)
_others = st.sampled_from([Change("nothing"), Change("end_now")])
changes = st.one_of(_of_items, _of_items, _of_items, _of_time, _of_time, _of_schedule, _others)

stories = st.builds(
    Story,
    # From 2027 until 2031, which has a leap year; to the second.
    start=st.integers(1_800_000_000, 1_930_000_000) | st.sampled_from([1_801_353_599, 1_835_481_600, 1_898_640_000]),
    interval=st.sampled_from(INTERVALS),
    other_interval=st.sampled_from(INTERVALS),
    amounts=st.tuples(*[st.integers(0, 40_000) | st.sampled_from([0, 1, 49, 2900, 9900])] * 3),
    items=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=2, unique_by=lambda x: x[0]
    ).map(tuple),
    usage=st.none() | st.integers(0, 5000),
    coupon=st.none() | _coupons,
    trial_days=st.none() | st.none() | st.integers(1, 40),
    balance=st.just(0) | st.integers(-5000, 5000),
    renewals=st.integers(0, 2),
    earlier=st.lists(st.tuples(_millionths, st.one_of(_of_items, _of_items, _of_time)), max_size=3).map(
        lambda found: tuple(sorted(found, key=lambda one: one[0]))
    ),
    moment=_millionths,
    change=changes,
)


class Life:
    """A story that is being lived in a sandbox, until the moment of its last change."""

    def __init__(self, stripe: InProcess, story: Story) -> None:
        self.stripe, self.story = stripe, story
        self._coupons: dict[int, str] = {}
        stripe.begin(story.start)
        self.prices, self.others, self.metered = self._prices()
        customer: dict[str, Any] = {"balance": story.balance} if story.balance else {}
        self.customer = stripe.post("/customers", **customer)["id"]
        card = stripe.post("/payment_methods/pm_card_visa/attach", customer=self.customer)["id"]
        stripe.post(f"/customers/{self.customer}", invoice_settings={"default_payment_method": card})
        items: list[dict[str, Any]] = [
            {"price": self.prices[price], "quantity": quantity} for price, quantity in story.items
        ]
        if self.metered:
            items.append({"price": self.metered})
        params: dict[str, Any] = {"customer": self.customer, "items": items}
        if story.coupon:
            params["discounts"] = [{"coupon": stripe.post("/coupons", **story.coupon)["id"]}]
        if story.trial_days:
            params["trial_period_days"] = story.trial_days
        self.id = stripe.post("/subscriptions", **params)["id"]
        for _ in range(story.renewals):
            stripe.now = self.period[1] + 2 * 3600  # the renewal is finalized, too
        for moment, change in story.earlier:
            self.move_to(moment)
            try:
                self.make(change)
            except Refused as refused:
                assert refused.status in (400, 402)
        self.move_to(story.moment)
        if self.metered and story.usage:
            payload = {"stripe_customer_id": self.customer, "value": story.usage}
            stripe.post("/billing/meter_events", event_name="tokens", payload=payload)

    def _prices(self) -> tuple[list[str], list[str], str | None]:
        stripe, made = self.stripe, []
        product = stripe.post("/products", name="Pro")["id"]
        for interval, count in (self.story.interval, self.story.other_interval):
            recurring = {"interval": interval, "interval_count": count}
            common = {"product": product, "currency": "usd"}
            made.append(
                [
                    stripe.post("/prices", **common, unit_amount=amount, recurring=recurring)["id"]
                    for amount in self.story.amounts
                ]
            )
        if self.story.usage is None:
            return made[0], made[1], None
        meter = stripe.post(
            "/billing/meters",
            display_name="Tokens",
            event_name="tokens",
            default_aggregation={"formula": "sum"},
        )
        interval, count = self.story.interval
        recurring = {"interval": interval, "interval_count": count, "usage_type": "metered", "meter": meter["id"]}
        metered = stripe.post("/prices", **common, unit_amount_decimal="0.7", recurring=recurring)["id"]
        return made[0], made[1], metered

    @property
    def subscription(self) -> dict[str, Any]:
        return self.stripe.get(f"/subscriptions/{self.id}")

    @property
    def period(self) -> tuple[int, int]:
        first = self.subscription["items"]["data"][0]
        return first["current_period_start"], first["current_period_end"]

    def move_to(self, millionths: int) -> None:
        """To this part of the present period, unless it is over already."""
        start, end = self.period
        self.stripe.now = max(self.stripe.now, start + (end - start) * millionths // MILLION)

    def invoices(self) -> list[dict[str, Any]]:
        return self.stripe.found("invoice")

    # ------------------------------------------------------------------------ the request
    def params_of(self, change: Change) -> dict[str, Any]:
        """What POST /v1/subscriptions/{id} takes, and create_preview as `subscription_details`."""
        start, end = self.period
        items = self.subscription["items"]["data"]
        licensed = [item for item in items if "quantity" in item]
        params: dict[str, Any] = {}
        if change.behavior:
            params["proration_behavior"] = change.behavior
        if change.date is not None:
            params["proration_date"] = start + (self.stripe.now - start) * change.date // MILLION
        item = licensed[change.item % len(licensed)] if licensed else items[0]
        priced = {"price": self.prices[change.price]}
        if change.quantity is not None:
            priced["quantity"] = change.quantity
        if change.kind == "switch":
            params["items"] = [{"id": item["id"], **priced}]
        elif change.kind == "quantity":
            params["items"] = [{"id": item["id"], "quantity": change.quantity or 0}]
        elif change.kind == "add":
            params["items"] = [priced]
        elif change.kind == "delete":
            params["items"] = [{"id": item["id"], "deleted": True}]
        elif change.kind == "interval":
            first = {"id": items[0]["id"], **priced, "price": self.others[change.price]}
            params["items"] = [first, *({"id": other["id"], "deleted": True} for other in items[1:])]
        elif change.kind == "trial_end":
            params["trial_end"] = start + (end - start) * change.end // MILLION
        elif change.kind == "trial_now":
            params["trial_end"] = "now"
        elif change.kind == "anchor":
            params["billing_cycle_anchor"] = "now"
        elif change.kind == "cancel_at":
            params["cancel_at"] = start + (end - start) * change.end // MILLION
        elif change.kind == "cancel_at_period_end":
            params["cancel_at_period_end"] = True
        elif change.kind == "keep":
            params["cancel_at_period_end"] = False
        return params

    def phases_of(self, change: Change) -> list[dict[str, Any]]:
        """The present phase and the next; `schedule_now` changes the present one."""
        start, end = self.period
        now = []
        for item in self.subscription["items"]["data"]:
            now.append({"price": item["price"]["id"]})
            if "quantity" in item:
                now[-1]["quantity"] = item["quantity"]
        after = [{"price": self.prices[change.price]}]
        if change.quantity is not None:
            after[0]["quantity"] = change.quantity
        if change.kind == "schedule_now":
            return [{"items": after, "start_date": start, "end_date": end}]
        interval, count = self.story.interval
        following = {"items": after, "duration": {"interval": interval, "interval_count": count}}
        return [{"items": now, "start_date": start, "end_date": end}, following]

    def make(self, change: Change) -> None:
        """Ask for the change in earnest."""
        if change.kind == "nothing":
            return
        if change.kind == "end_now":
            self.stripe.call("DELETE", f"/subscriptions/{self.id}", prorate=True, invoice_now=True)
            return
        self.stripe.post(f"/subscriptions/{self.id}", **self.params_of(change), **self.discounts_of(change))

    def preview(self, change: Change) -> dict[str, Any]:
        """Ask what the change would cost."""
        params = {"cancel_now": True} if change.kind == "end_now" else self.params_of(change)
        details = {"subscription_details": params} if params else {}
        discounts = self.discounts_of(change)
        return self.stripe.post("/invoices/create_preview", subscription=self.id, **details, **discounts)

    def discounts_of(self, change: Change) -> dict[str, Any]:
        """The request's `discounts`, the same coupon each time."""
        if change.coupon is None:
            return {}
        if id(change) not in self._coupons:
            self._coupons[id(change)] = self.stripe.post("/coupons", **change.coupon)["id"]
        return {"discounts": [{"coupon": self._coupons[id(change)]}]}
