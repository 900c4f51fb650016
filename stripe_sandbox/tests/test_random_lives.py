"""Whatever a customer does and however time goes, the books agree with each other and nothing stands still."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stripe_sandbox import control
from stripe_sandbox.tests.in_process import InProcess, Refused

START, HOUR, DAY = 1_801_353_599, 3600, 86400
COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
GOOD, FAILS, ASKS = "4242424242424242", "4000000000000341", "4000002760003184"

_behaviors = st.sampled_from(["always_invoice", "create_prorations", "none"])
_payments = st.sampled_from(["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"])
_waits = st.tuples(st.just("wait"), st.sampled_from([HOUR, DAY, 3 * DAY, 8 * DAY, 29 * DAY, 31 * DAY, 95 * DAY]))
_cards = st.tuples(st.just("card"), st.sampled_from([GOOD, GOOD, FAILS, ASKS, "4000000000009979"]))
_changes = st.tuples(st.just("change"), st.integers(0, 3), st.integers(0, 4), _behaviors, _payments)
_rarely = st.one_of(
    st.tuples(st.just("release")),
    st.tuples(st.just("trial"), st.integers(1, 20)),
    st.tuples(st.just("cancel"), st.booleans(), st.booleans()),
    st.tuples(st.just("void")),
    st.tuples(st.just("refund"), st.integers(1, 5000)),
    st.tuples(st.just("balance"), st.integers(-3000, 3000)),
    st.tuples(st.just("pause"), st.sampled_from(["keep_as_draft", "void", "mark_uncollectible", ""])),
    st.tuples(st.just("new"), st.integers(0, 3), st.sampled_from([0, 10])),
)
_often = st.one_of(
    st.tuples(st.just("downgrade"), st.integers(0, 2)),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(st.just("pay")),
    st.tuples(st.just("coupon"), st.sampled_from(["once", "forever", ""])),
)
steps = st.lists(st.one_of(_waits, _waits, _cards, _changes, _changes, _often, _rarely), min_size=3, max_size=16)


class Customer:
    """Somebody with a subscription, who does what the steps say."""

    def __init__(self, stripe: InProcess) -> None:
        self.stripe = stripe
        stripe.begin(START)
        product = stripe.post("/products", name="Pro")["id"]
        self.prices = [
            stripe.post(
                "/prices", product=product, currency="usd", unit_amount=cents, recurring={"interval": interval}
            )["id"]
            for cents, interval in ((900, "month"), (2900, "month"), (9900, "month"), (29000, "year"))
        ]
        self.coupons = {
            duration: stripe.post("/coupons", percent_off=30, duration=duration)["id"]
            for duration in ("once", "forever")
        }
        self.id = stripe.post("/customers")["id"]
        self.card(GOOD)
        self.new(1, 0)

    def do(self, name: str, *arguments: Any) -> None:
        """One step; what is refused changes nothing that the books would not show."""
        with contextlib.suppress(Refused):
            getattr(self, name)(*arguments)

    @property
    def subscription(self) -> dict[str, Any]:
        return self.stripe.get(f"/subscriptions/{self.current}")

    def update(self, **params: Any) -> None:
        self.stripe.post(f"/subscriptions/{self.current}", **params)

    def open_invoices(self) -> list[dict[str, Any]]:
        return [invoice for invoice in self.stripe.found("invoice") if invoice["status"] == "open"]

    # ------------------------------------------------------------------------------- the steps
    def new(self, price: int, trial_days: int) -> None:
        trial = {"trial_period_days": trial_days} if trial_days else {}
        items = [{"price": self.prices[price]}]
        self.current = self.stripe.post("/subscriptions", customer=self.id, items=items, **trial)["id"]

    def wait(self, seconds: int) -> None:
        self.stripe.now += seconds

    def card(self, number: str) -> None:
        with self.stripe.sandbox.clock.at(self.stripe.now):
            self.stripe.sandbox.run_due_work()
            control.swap_card(self.stripe.sandbox, self.id, number)

    def change(self, price: int, quantity: int, behavior: str, payment: str) -> None:
        item = {"id": self.subscription["items"]["data"][0]["id"], "price": self.prices[price], "quantity": quantity}
        self.update(items=[item], proration_behavior=behavior, payment_behavior=payment)

    def downgrade(self, price: int) -> None:
        held = self.subscription["schedule"]
        schedule = held or self.stripe.post("/subscription_schedules", from_subscription=self.current)["id"]
        item = self.subscription["items"]["data"][0]
        start, end = item["current_period_start"], item["current_period_end"]
        now = {"price": item["price"]["id"], "quantity": item["quantity"]}
        later = {"items": [{"price": self.prices[price]}], "duration": {"interval": "month"}}
        phases = [{"items": [now], "start_date": start, "end_date": end}, later]
        self.stripe.post(f"/subscription_schedules/{schedule}", phases=phases)

    def release(self) -> None:
        if schedule := self.subscription["schedule"]:
            self.stripe.post(f"/subscription_schedules/{schedule}/release")

    def end(self, asked: bool) -> None:
        self.update(cancel_at_period_end=asked)

    def trial(self, days: int) -> None:
        self.update(trial_end=self.stripe.now + days * DAY)

    def cancel(self, prorate: bool, invoice_now: bool) -> None:
        self.stripe.call("DELETE", f"/subscriptions/{self.current}", prorate=prorate, invoice_now=invoice_now)

    def pay(self) -> None:
        for invoice in self.open_invoices():
            self.stripe.post(f"/invoices/{invoice['id']}/pay")

    def void(self) -> None:
        for invoice in self.open_invoices()[:1]:
            self.stripe.post(f"/invoices/{invoice['id']}/void")

    def refund(self, amount: int) -> None:
        for charge in self.stripe.found("charge")[-1:]:
            self.stripe.post("/refunds", charge=charge["id"], amount=amount)

    def balance(self, amount: int) -> None:
        self.stripe.post(f"/customers/{self.id}/balance_transactions", amount=amount, currency="usd")

    def coupon(self, duration: str) -> None:
        self.update(discounts=[{"coupon": self.coupons[duration]}] if duration else "")

    def pause(self, behavior: str) -> None:
        self.update(pause_collection={"behavior": behavior} if behavior else "")


def check_the_books(stripe: InProcess, customer: str) -> None:
    """Every cent that one object tells of, another one tells of as well."""
    held = stripe.get(f"/customers/{customer}")
    movements = stripe.found("customer_balance_transaction")
    assert held["balance"] == sum(one["amount"] for one in movements)
    charges = [charge for charge in stripe.found("charge") if charge["status"] == "succeeded"]
    invoices = stripe.found("invoice")
    assert sum(charge["amount"] for charge in charges) == sum(invoice["amount_paid"] for invoice in invoices)
    booked = sum(one["amount"] for one in stripe.found("balance_transaction"))
    refunded = sum(refund["amount"] for refund in stripe.found("refund"))
    assert booked == sum(charge["amount"] for charge in charges) - refunded
    for invoice in invoices:
        lines = stripe.get(f"/invoices/{invoice['id']}/lines?limit=100")["data"]
        assert invoice["subtotal"] == sum(line["amount"] for line in lines)
        taken = sum(one["amount"] for one in invoice["total_discount_amounts"])
        assert taken == sum(one["amount"] for line in lines for one in line["discount_amounts"])
        assert invoice["total"] == invoice["subtotal"] - taken
        assert invoice["amount_due"] >= 0
        if invoice["status"] == "paid":
            assert invoice["amount_paid"] == invoice["amount_due"]
            assert invoice["amount_remaining"] == 0
        if invoice["status"] in ("open", "uncollectible"):
            assert invoice["amount_remaining"] == invoice["amount_due"] > 0
        if invoice["status"] not in ("draft", "void"):
            due = invoice["total"] + invoice["starting_balance"] - invoice["ending_balance"]
            assert invoice["amount_due"] == due


def check_that_nothing_stands_still(stripe: InProcess) -> None:
    """What lives has its time before it, and what is owed is asked for or given up."""
    for subscription in stripe.found("subscription"):
        status = subscription["status"]
        ends = [item["current_period_end"] for item in subscription["items"]["data"]]
        if status in ("active", "past_due", "trialing", "unpaid"):
            assert min(ends) > stripe.now
            assert subscription["ended_at"] is None
        if status == "trialing":
            assert subscription["trial_end"] > stripe.now
        if status == "incomplete":
            assert stripe.now < subscription["created"] + 23 * HOUR
        if status in ("canceled", "incomplete_expired"):
            assert subscription["ended_at"] <= stripe.now
        if subscription["cancel_at"] is not None and subscription["ended_at"] is None:
            assert subscription["cancel_at"] > stripe.now
        pending = subscription["pending_update"]
        if pending:
            assert pending["expires_at"] > stripe.now
    for invoice in stripe.found("invoice"):
        if invoice["next_payment_attempt"] is not None:
            assert invoice["next_payment_attempt"] > stripe.now
        if invoice["automatically_finalizes_at"] is not None and invoice["auto_advance"]:
            assert invoice["automatically_finalizes_at"] > stripe.now
    moments = [event["created"] for event in stripe.found("event")]
    assert moments == sorted(moments)


def live(stripe: InProcess, life: list[tuple[Any, ...]]) -> None:
    customer = Customer(stripe)
    for step in life:
        customer.do(*step)
        check_that_nothing_stands_still(stripe)
    check_the_books(stripe, customer.id)
    stripe.now += 400 * DAY
    check_that_nothing_stands_still(stripe)
    check_the_books(stripe, customer.id)


@pytest.mark.slow
@settings(max_examples=15, **COMMON)
@given(steps)
def test_the_books_agree_after_any_life(sandbox: InProcess, steps: list[tuple[Any, ...]]) -> None:
    live(sandbox, steps)


@pytest.mark.slow
@settings(max_examples=150, **COMMON)
@given(steps)
def test_the_books_agree_after_many_lives(sandbox: InProcess, steps: list[tuple[Any, ...]]) -> None:
    live(sandbox, steps)
