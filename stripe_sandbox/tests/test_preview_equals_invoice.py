"""create_preview gives exactly what the real change then invoices, whatever subscription and whatever change.

The quick run looks at 30 stories, the slow one at 1,000. hypothesis prints the story that fails (already the
smallest one) and the `@reproduce_failure` or `--hypothesis-seed` with which it comes back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stripe_sandbox.tests.in_process import InProcess, Refused
from stripe_sandbox.tests.random_subscriptions import Change, Life, Story, stories

_ALL_ALIKE = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
}
quickly = settings(max_examples=30, **_ALL_ALIKE)
thoroughly = settings(max_examples=1000, **_ALL_ALIKE)


def told(invoice: dict[str, Any]) -> dict[str, Any]:
    """What a preview and its invoice must agree on: everything that a customer would notice."""
    lines = [
        {
            "amount": line["amount"],
            "description": line["description"],
            "period": line["period"],
            "quantity": line["quantity"],
            "price": (line["pricing"] or {}).get("price_details", {}).get("price"),
            "proration": _details(line)["proration"],
            "discounts": [one["amount"] for one in line["discount_amounts"]],
        }
        for line in invoice["lines"]["data"]
    ]
    return {
        "lines": lines,
        "discounts": [one["amount"] for one in invoice["total_discount_amounts"]],
        "subtotal": invoice["subtotal"],
        "total": invoice["total"],
        "starting_balance": invoice["starting_balance"],
        "amount_due": invoice["amount_due"],
        "currency": invoice["currency"],
        "period": (invoice["period_start"], invoice["period_end"]),
    }


def _details(line: dict[str, Any]) -> dict[str, Any]:
    return line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]


def check(stripe: InProcess, story: Story) -> None:
    life = Life(stripe, story)
    if story.change.kind.startswith("schedule"):
        check_schedule(life)
        return
    asked = life.params_of(story.change)
    try:
        preview, refusal = life.preview(story.change), None
    except Refused as refused:
        preview, refusal = None, refused
    before = {invoice["id"] for invoice in life.invoices()}
    if life.subscription["status"] == "canceled":  # by an earlier change
        assert refusal and refusal.code == "invoice_upcoming_none"
        return
    if refusal and refusal.code != "invoice_upcoming_none":
        with pytest.raises(Refused) as error:
            life.make(story.change)
        assert (error.value.code, error.value.error["message"]) == (refusal.code, refusal.error["message"]), asked
        return
    life.make(story.change)
    compare(life, preview, before)


def compare(life: Life, preview: dict[str, Any] | None, before: set[str]) -> None:
    """The next invoice, made now or at the end of the period, is what the preview told; None if it told none."""
    fresh = [invoice for invoice in life.invoices() if invoice["id"] not in before]
    if not fresh:
        life.stripe.now = max(life.stripe.now, life.period[1])
        fresh = [invoice for invoice in life.invoices() if invoice["id"] not in before]
    if preview is None:
        assert fresh == []
    else:
        assert len(fresh) == 1
        assert told(fresh[0]) == told(preview)


def check_schedule(life: Life) -> None:
    change = life.story.change
    try:
        schedule = life.stripe.post("/subscription_schedules", from_subscription=life.id)["id"]
    except Refused:
        return
    wish: dict[str, Any] = {"phases": life.phases_of(change)}
    if change.behavior:
        wish["proration_behavior"] = change.behavior
    before = {invoice["id"] for invoice in life.invoices()}
    try:
        preview = life.stripe.post("/invoices/create_preview", schedule=schedule, schedule_details=wish)
    except Refused as refusal:
        if refusal.code != "invoice_upcoming_none":
            with pytest.raises(Refused) as error:
                life.stripe.post(f"/subscription_schedules/{schedule}", **wish)
            assert error.value.error["message"] == refusal.error["message"]
            return
        preview = None
    life.stripe.post(f"/subscription_schedules/{schedule}", **wish)
    compare(life, preview, before)


def check_first(stripe: InProcess, story: Story) -> None:
    """The same for a subscription that is not there yet, with the story's items, trial, coupon and balance."""
    life = Life(stripe, story)
    items = [{"price": life.prices[price], "quantity": quantity} for price, quantity in story.items]
    details: dict[str, Any] = {"items": items}
    if story.trial_days:
        details["trial_end"] = stripe.now + story.trial_days * 86400
    elif story.change.kind in ("anchor", "cancel_at", "trial_end") and story.change.end:
        length = (life.period[1] - life.period[0]) * story.change.end // 1_000_000 + 1
        details["cancel_at" if story.change.kind == "cancel_at" else "billing_cycle_anchor"] = stripe.now + length
        if story.change.behavior:
            details["proration_behavior"] = story.change.behavior
    discounts = {}
    if story.coupon:
        discounts["discounts"] = [{"coupon": stripe.post("/coupons", **story.coupon)["id"]}]
    before = {invoice["id"] for invoice in life.invoices()}
    try:
        preview, refusal = (
            stripe.post("/invoices/create_preview", customer=life.customer, subscription_details=details, **discounts),
            None,
        )
    except Refused as refused:
        preview, refusal = None, refused
    if refusal and refusal.code != "invoice_upcoming_none":
        with pytest.raises(Refused):
            stripe.post("/subscriptions", customer=life.customer, **details, **discounts)
        return
    stripe.post("/subscriptions", customer=life.customer, **details, **discounts)
    fresh = [invoice for invoice in life.invoices() if invoice["id"] not in before]
    if preview is None:
        assert fresh == []
    else:
        [invoice] = fresh
        # A first invoice is paid at once: its balance is settled by now.
        assert told(invoice) == told(preview)


@pytest.mark.slow
@quickly
@given(stories)
def test_a_preview_of_a_new_subscription_is_its_first_invoice(sandbox: InProcess, story: Story) -> None:
    check_first(sandbox, story)


@pytest.mark.slow
@quickly
@given(stories)
def test_a_preview_is_the_invoice_of_its_change(sandbox: InProcess, story: Story) -> None:
    check(sandbox, story)


# The new period of a subscription that ends within it: its share, too, is that of the date sent along.
ENDING = Story(
    start=1_838_073_600,
    interval=("month", 1),
    other_interval=("month", 3),
    amounts=(9899, 0, 0),
    items=((0, 1),),
    usage=None,
    coupon=None,
    trial_days=None,
    balance=0,
    renewals=1,
    earlier=((0, Change("cancel_at", end=9064)),),
    moment=0,
    change=Change("nothing"),
)


@pytest.mark.slow
@settings(quickly, max_examples=20)
@example(ENDING, "interval", 1)
@given(stories, st.sampled_from(["switch", "quantity", "interval"]), st.integers(1, 1800))
def test_a_quote_holds_while_its_proration_date_is_sent_along(
    sandbox: InProcess, story: Story, kind: str, seconds: int
) -> None:
    """Asked now, confirmed some seconds later with the same proration_date: the same amounts, also of a new period."""
    life = Life(sandbox, replace(story, usage=None))  # what is used meanwhile costs more
    asked = sandbox.now
    change = replace(story.change, kind=kind, behavior="always_invoice", date=None, coupon=None)
    if life.subscription["status"] == "canceled" or asked + seconds >= life.period[1]:
        return
    wish = life.params_of(change) | {"proration_date": asked}
    try:
        quote = sandbox.post("/invoices/create_preview", subscription=life.id, subscription_details=wish)
    except Refused:
        return
    before = {invoice["id"] for invoice in life.invoices()}
    sandbox.now += seconds
    sandbox.post(f"/subscriptions/{life.id}", **wish)
    for invoice in life.invoices():
        if invoice["id"] not in before and invoice["billing_reason"] == "subscription_update":
            amounts = [line["amount"] for line in invoice["lines"]["data"]]
            assert amounts == [line["amount"] for line in quote["lines"]["data"]]
            assert (invoice["total"], invoice["amount_due"]) == (quote["total"], quote["amount_due"])


@pytest.fixture(scope="module")
def unwatched() -> InProcess:
    """One without the contract's checker, which has seen the like by then and takes as long as the work."""
    stripe = InProcess()
    stripe.sandbox.observers.clear()
    stripe.sandbox.event_observers.clear()
    return stripe


@pytest.mark.slow
@thoroughly
@given(stories)
def test_a_thousand_previews_are_the_invoices_of_their_changes(unwatched: InProcess, story: Story) -> None:
    check(unwatched, story)


@pytest.mark.slow
@settings(thoroughly, max_examples=250)
@given(stories)
def test_many_previews_of_new_subscriptions_are_their_first_invoices(unwatched: InProcess, story: Story) -> None:
    check_first(unwatched, story)
