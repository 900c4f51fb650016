"""However often a subscription is changed, a period costs what was used of it, to the cent of each rounding."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stripe_sandbox.tests.in_process import InProcess

START = int(datetime(2027, 2, 1, 9, 30, tzinfo=UTC).timestamp())  # a month of 28 days
quickly = settings(
    max_examples=30, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

amounts = st.integers(0, 50_000)
fractions = st.integers(0, 999_999)
# (millionths of the period, price, quantity, whether it is invoiced at once)
steps = st.lists(st.tuples(fractions, st.integers(0, 2), st.integers(0, 9), st.booleans()), min_size=1, max_size=6).map(
    lambda found: sorted(found, key=lambda one: one[0])
)


class Shop:
    """A customer who subscribes to the first of three prices and changes their mind in the first month."""

    def __init__(self, stripe: InProcess, cents: tuple[int, ...], quantity: int, percent_off: int = 0) -> None:
        self.stripe, self.cents = stripe, cents
        stripe.begin(START)
        product = stripe.post("/products", name="Pro")["id"]
        recurring = {"interval": "month"}
        self.prices = [
            stripe.post("/prices", product=product, currency="usd", unit_amount=amount, recurring=recurring)["id"]
            for amount in cents
        ]
        self.customer = stripe.post("/customers")["id"]
        card = stripe.post("/payment_methods/pm_card_visa/attach", customer=self.customer)["id"]
        stripe.post(f"/customers/{self.customer}", invoice_settings={"default_payment_method": card})
        discounts = {}
        if percent_off:
            coupon = stripe.post("/coupons", percent_off=percent_off, duration="forever")["id"]
            discounts = {"discounts": [{"coupon": coupon}]}
        items = [{"price": self.prices[0], "quantity": quantity}]
        subscription = stripe.post("/subscriptions", customer=self.customer, items=items, **discounts)
        [item] = subscription["items"]["data"]
        self.id, self.item = subscription["id"], item["id"]
        self.start, self.end = item["current_period_start"], item["current_period_end"]

    def at(self, millionths: int) -> int:
        return self.start + (self.end - self.start) * millionths // 1_000_000

    def change(self, price: int, quantity: int, now: bool = True) -> None:
        items = [{"id": self.item, "price": self.prices[price], "quantity": quantity}]
        behavior = "always_invoice" if now else "create_prorations"
        self.stripe.post(f"/subscriptions/{self.id}", items=items, proration_behavior=behavior)

    def lines_of_the_month(self) -> list[dict[str, Any]]:
        """All that was ever invoiced for the first month, also on the renewal's invoice."""
        self.stripe.now = self.end
        return [line for line in self.all_lines() if line["period"]["start"] < self.end]

    def all_lines(self) -> list[dict[str, Any]]:
        return [line for invoice in self.stripe.found("invoice") for line in self.lines_of(invoice)]

    def lines_of(self, invoice: dict[str, Any]) -> list[dict[str, Any]]:
        return self.stripe.get(f"/invoices/{invoice['id']}/lines?limit=100")["data"]


def net(line: dict[str, Any]) -> int:
    return line["amount"] - sum(taken["amount"] for taken in line["discount_amounts"])


@pytest.mark.slow
@quickly
@given(st.tuples(amounts, amounts, amounts), st.integers(0, 9), steps, st.sampled_from([0, 25, 100]))
def test_a_month_costs_what_was_used_of_it(sandbox, cents, quantity, steps, percent_off):
    shop = Shop(sandbox, cents, quantity, percent_off)
    share = Fraction(100 - percent_off, 100)
    used, since, rate = Fraction(0), shop.start, Fraction(cents[0] * quantity) * share
    free = cents[0] == 0
    for millionths, price, many, now in steps:
        if free and cents[price]:
            return  # from a free price to a paid one a new period begins
        free = cents[price] == 0
        sandbox.now = shop.at(millionths)
        used += rate * (sandbox.now - since) / (shop.end - shop.start)
        since, rate = sandbox.now, Fraction(cents[price] * many) * share
        shop.change(price, many, now)
    used += rate * (shop.end - since) / (shop.end - shop.start)

    lines = shop.lines_of_the_month()

    # Each line and each discount was rounded once, by half a cent at most.
    assert abs(sum(net(line) for line in lines) - used) <= Fraction(len(lines) + len(steps) + 1, 2)


@pytest.mark.slow
@quickly
@given(st.tuples(amounts, amounts, amounts), st.integers(1, 9), steps, st.sampled_from([0, 25]))
def test_nothing_is_given_back_that_was_not_taken(sandbox, cents, quantity, steps, percent_off):
    shop = Shop(sandbox, cents, quantity, percent_off)
    for millionths, price, many, now in steps:
        sandbox.now = max(sandbox.now, shop.at(millionths))
        shop.change(price, many, now)
    lines = shop.all_lines()
    taken = {line["id"]: net(line) for line in lines}
    given_back: dict[str, int] = defaultdict(int)
    for line in lines:
        assert line["amount"] >= 0 or line["parent"]["subscription_item_details"]["proration"]
        credited = line["parent"]["subscription_item_details"]["proration_details"]["credited_items"]
        if credited:
            assert line["amount"] <= 0
            [debit] = credited["invoice_line_items"]
            given_back[debit] -= line["amount"]
    for debit, amount in given_back.items():
        assert amount <= taken[debit]
    assert sum(net(line) for line in lines) >= 0


@pytest.mark.slow
@quickly
@given(st.tuples(amounts, amounts, amounts), st.integers(1, 9), fractions, st.integers(1, 5))
def test_up_and_down_in_the_same_second_costs_nothing(sandbox, cents, quantity, millionths, times):
    shop = Shop(sandbox, (max(cents[0], 1), max(cents[1], 1), 0), quantity)
    sandbox.now = shop.at(millionths)
    paid = sum(net(line) for line in shop.all_lines())
    for _ in range(times):
        shop.change(1, quantity)
        shop.change(0, quantity)
    assert sum(net(line) for line in shop.all_lines()) == paid


def test_up_and_down_costs_the_days_between(sandbox):
    """29 dollars, for ten of the 28 days of February 99: to the cent."""
    shop = Shop(sandbox, (2900, 9900, 0), 1)
    day = 86400
    assert shop.end - shop.start == 28 * day
    sandbox.now = shop.start + 7 * day
    shop.change(1, 1)
    sandbox.now = shop.start + 17 * day
    shop.change(0, 1)
    first, up, down = ([line["amount"] for line in shop.lines_of(one)] for one in sandbox.found("invoice"))
    assert first == [2900]
    assert up == [-2175, 7425]  # three quarters of 29 and of 99
    assert down == [-3889, 1139]  # 11 of the 21 days of 74.25, 11 of 28 days of 29
    assert sum(first + up + down) == 5400  # 18 days of 29 are 18.64, ten of 99 are 35.36
    # The credit waits on the customer's balance and pays a part of the renewal.
    assert sandbox.get(f"/customers/{shop.customer}")["balance"] == 1139 - 3889
    sandbox.now = shop.end + 3600
    renewal = sandbox.found("invoice")[-1]
    assert (renewal["total"], renewal["amount_due"], renewal["starting_balance"]) == (2900, 150, -2750)


def test_a_fixed_sum_off_is_taken_off_once_a_period_however_often_it_is_changed(sandbox):
    """10 dollars off 29: up to 99 and down again at once leaves 19 paid, not less."""
    shop = Shop(sandbox, (2900, 9900, 0), 1)
    coupon = sandbox.post("/coupons", amount_off=1000, currency="usd", duration="forever")["id"]
    items = [{"price": shop.prices[0]}]
    second = sandbox.post("/subscriptions", customer=shop.customer, items=items, discounts=[{"coupon": coupon}])
    shop.id, shop.item = second["id"], second["items"]["data"][0]["id"]
    sandbox.now = shop.at(500_000)
    shop.change(1, 1)
    up = sandbox.found("invoice")[-1]
    assert [line["amount"] for line in shop.lines_of(up)] == [-950, 4450]  # half of 19 and of 89
    assert [line["discount_amounts"] for line in shop.lines_of(up)] == [[], []]
    shop.change(0, 1)
    assert sandbox.found("invoice")[-1]["total"] == 950 - 4450
    sandbox.now = shop.end
    renewal = [one for one in sandbox.found("invoice") if one["total_discount_amounts"]][-1]
    assert (renewal["subtotal"], renewal["total"]) == (2900, 1900)
