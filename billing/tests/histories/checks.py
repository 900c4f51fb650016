"""What must be true once everything works again. Read from Stripe's own objects, never through billing/sync.py.

Money is in cents, times are Unix seconds.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from django.conf import settings

from billing import invoices
from billing.models import BillingMail, PlanPrice, UserPlan
from billing.tests.histories.world import LIVE, USERS, BrokenPromise, World

# Stripe finalizes and collects a renewal an hour after the period has begun.
COLLECTED_AFTER = 3600 + 60
UNDECIDED = ("needs_response", "under_review")


def check(world: World) -> None:
    """Raises BrokenPromise with what is wrong and for whom."""
    for user in range(USERS):
        if world.customer(user):
            at_stripe = _AtStripe(world, user)
            rows_equal_stripe(world, user, at_stripe)
            one_live_subscription(world, user, at_stripe)
            nobody_pays_twice(world, user, at_stripe)
            no_access_without_paying(world, user, at_stripe)
            every_cent_is_on_a_visible_invoice(world, user, at_stripe)
            no_payment_is_told_twice(world, user)


class _AtStripe:
    """One customer's objects, fetched once."""

    def __init__(self, world: World, user: int) -> None:
        customer = world.customer(user)
        self.subscriptions = world.found("subscription", customer=customer)
        self.schedules = {one["id"]: one for one in world.found("subscription_schedule", customer=customer)}
        self.invoices = world.found("invoice", customer=customer)
        self.charges = [one for one in world.found("charge", customer=customer) if one["paid"]]
        self.charge_of = {one["payment_intent"]: one for one in self.charges}
        self.disputes = {one["charge"]: one for one in world.found("dispute")}
        self.payments: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for payment in world.found("invoice_payment"):
            self.payments[payment["invoice"]].append(payment)
        self.lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in world.found("line_item"):
            self.lines[line["invoice"]].append(line)

    def charges_of(self, invoice: dict[str, Any]) -> list[dict[str, Any]]:
        intents = [payment["payment"].get("payment_intent") for payment in self.payments[invoice["id"]]]
        return [self.charge_of[intent] for intent in intents if intent in self.charge_of]

    def disputed(self, invoice: dict[str, Any], *statuses: str) -> bool:
        """Has the bank taken its payment back, and is the dispute in one of these states?"""
        return any(
            self.disputes[charge["id"]]["status"] in statuses
            for charge in self.charges_of(invoice)
            if charge["id"] in self.disputes
        )


def _item(subscription: dict[str, Any]) -> dict[str, Any]:
    items = subscription["items"]["data"]
    return next((item for item in items if item["price"]["recurring"]["usage_type"] == "licensed"), items[0])


def _stamp(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def rows_equal_stripe(world: World, user: int, at_stripe: _AtStripe) -> None:
    rows = {row.stripe_subscription_id: row for row in UserPlan.objects.filter(user=world.users[user])}
    begun = [one for one in at_stripe.subscriptions if one["status"] not in ("incomplete", "incomplete_expired")]
    if unknown := rows.keys() - {one["id"] for one in begun}:
        raise BrokenPromise(f"user {user}: rows of subscriptions that never were: {unknown}")
    prices = PlanPrice.objects.in_bulk(field_name="stripe_price_id")
    for subscription in begun:
        row = rows.get(subscription["id"])
        if row is None:
            raise BrokenPromise(f"user {user}: {subscription['id']} ({subscription['status']}) is not in our rows")
        item = _item(subscription)
        price = prices[item["price"]["id"]]
        is_live = subscription["status"] in LIVE
        true = {
            "status": subscription["status"],
            "is_live": is_live,
            "plan": price.plan_id,
            "price": item["price"]["id"],
            "months": price.months,
            "amount": item["price"]["unit_amount"],
            "period": (item["current_period_start"], item["current_period_end"]),
            "cancel_at": _ends_at(subscription) if is_live else None,
            "pending": _pending(at_stripe, subscription) if is_live else None,
            "trial_end": subscription["trial_end"] if subscription["status"] == "trialing" else None,
        }
        ours = {
            "status": row.status,
            "is_live": row.is_live,
            "plan": row.plan_id,
            "price": row.stripe_price_id,
            "months": row.duration_months,
            "amount": row.amount_cents,
            "period": (_stamp(row.current_period_start), _stamp(row.current_period_end)),
            "cancel_at": _stamp(row.cancel_at),
            "pending": (row.pending_price.stripe_price_id, _stamp(row.pending_at)) if row.pending_price else None,
            "trial_end": _stamp(row.trial_end),
        }
        if ours != true:
            different = {name: (ours[name], true[name]) for name in true if ours[name] != true[name]}
            raise BrokenPromise(f"user {user}: our row of {subscription['id']} differs (ours, Stripe's): {different}")


def _ends_at(subscription: dict[str, Any]) -> int | None:
    if subscription["cancel_at"] is None and subscription["cancel_at_period_end"]:
        return _item(subscription)["current_period_end"]
    return subscription["cancel_at"]


def _pending(at_stripe: _AtStripe, subscription: dict[str, Any]) -> tuple[str, int] | None:
    schedule = at_stripe.schedules.get(subscription["schedule"] or "")
    if not schedule or not schedule["current_phase"]:
        return None
    present_ends = schedule["current_phase"]["end_date"]
    coming = [phase for phase in schedule["phases"] if phase["start_date"] >= present_ends]
    return (coming[0]["items"][0]["price"], coming[0]["start_date"]) if coming else None


def one_live_subscription(world: World, user: int, at_stripe: _AtStripe) -> None:
    live = [one["id"] for one in at_stripe.subscriptions if one["status"] in LIVE]
    if len(live) > 1:
        raise BrokenPromise(f"user {user}: more than one live subscription at Stripe: {live}")
    rows = UserPlan.objects.live().filter(user=world.users[user]).count()
    if rows > 1:
        raise BrokenPromise(f"user {user}: {rows} live rows")


@dataclass
class _Paid:
    """What was paid for a time: cents, negative where given back. gross: of a plan's own price, before discounts."""

    start: int
    end: int
    cents: float
    gross: float = 0


def nobody_pays_twice(world: World, user: int, at_stripe: _AtStripe) -> None:
    """In no second of service is more paid, all credits and refunds counted, than the dearest plan then costs."""
    for invoice in at_stripe.invoices:
        charged = sum(charge["amount"] for charge in at_stripe.charges_of(invoice))
        if charged > max(0, invoice["total"]):
            raise BrokenPromise(f"user {user}: {charged} were charged for {invoice['id']} of {invoice['total']}")
    paid = [part for invoice in at_stripe.invoices for part in _parts(world, at_stripe, invoice)]
    moments = sorted({moment for part in paid for moment in (part.start, part.end)})
    for start, end in pairwise(moments):
        here = [part for part in paid if part.start <= start and end <= part.end]
        share = [(part, (end - start) / (part.end - part.start)) for part in here]
        net = sum(part.cents * of for part, of in share)
        dearest = max((part.gross * of for part, of in share), default=0)
        # Each line is rounded to a cent.
        if net > dearest + 1 + len(here):
            when = f"{datetime.fromtimestamp(start, UTC)} - {datetime.fromtimestamp(end, UTC)}"
            parts = [f"{part.cents:.2f} for {(part.end - part.start) / 86400:.2f} days" for part in here]
            raise BrokenPromise(f"user {user}: pays {net:.2f} instead of {dearest:.2f} cents for {when}: {parts}")


def _after(at_stripe: _AtStripe, subscription: dict[str, Any], moment: int) -> list[_Paid]:
    """What its paid bills asked for the time after a moment, line by line."""
    parts = []
    for invoice in at_stripe.invoices:
        for line in at_stripe.lines[invoice["id"]] if invoice["status"] == "paid" else []:
            details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"] or {}
            start, end = max(line["period"]["start"], moment), line["period"]["end"]
            if details.get("subscription") == subscription["id"] and line["amount"] and start < end:
                net = line["amount"] - sum(one["amount"] for one in line["discount_amounts"] or [])
                parts.append(_Paid(start, end, net * (end - start) / (end - line["period"]["start"])))
    return parts


def _parts(world: World, at_stripe: _AtStripe, invoice: dict[str, Any]) -> list[_Paid]:
    """The lines of a paid invoice, as far as they are served; and what was refunded of it."""
    if invoice["status"] != "paid" or at_stripe.disputed(invoice, "lost", *UNDECIDED):
        return []
    by_id = {one["id"]: one for one in at_stripe.subscriptions}
    parts: list[_Paid] = []
    subscription = None
    for line in at_stripe.lines[invoice["id"]]:
        details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"] or {}
        subscription = by_id.get(details.get("subscription") or "")
        start, end = line["period"]["start"], line["period"]["end"]
        # A line over nothing (tokens that nobody used, of the period before) would only stretch what a refund is for.
        if subscription is None or start >= end or not line["amount"]:
            continue
        net = line["amount"] - sum(one["amount"] for one in line["discount_amounts"] or [])
        whole = end - start
        if subscription["id"] in world.forfeited and subscription["ended_at"]:
            # They have given up the rest: what they buy next is bought for a time that they no longer have.
            end = min(end, max(start, subscription["ended_at"]))
        if start < end:
            part = (end - start) / whole
            parts.append(_Paid(start, end, net * part, max(0, line["amount"]) * part))
    if parts and subscription:
        refunded = sum(
            refund["amount"]
            for charge in at_stripe.charges_of(invoice)
            for refund in world.found("refund", charge=charge["id"])
            if refund["status"] != "failed"
        )
        if refunded:
            # Ours are for what a replaced subscription no longer serves, whichever payment they come out of (a later
            # bill may have been settled with credit), and no more than staff have left.
            newer = at_stripe.subscriptions[at_stripe.subscriptions.index(subscription) + 1 :]
            unused = _after(at_stripe, subscription, newer[0]["created"]) if newer else []
            if (total := sum(part.cents for part in unused)) > 0:
                parts += [_Paid(part.start, part.end, -refunded * part.cents / total) for part in unused]
            else:
                parts.append(_Paid(min(part.start for part in parts), max(part.end for part in parts), -refunded))
    return parts


def no_access_without_paying(world: World, user: int, at_stripe: _AtStripe) -> None:
    row = UserPlan.objects.live().filter(user=world.users[user]).first()
    if row is None or not row.is_active(world.time()) or row.costs_nothing or row.in_trial:
        return
    grace = settings.GRACE_DAYS * 86400
    paid_until = max((one["trial_end"] or 0 for one in at_stripe.subscriptions), default=0)
    disputed_since = None
    for invoice in at_stripe.invoices:
        if invoice["status"] != "paid" or at_stripe.disputed(invoice, "lost"):
            continue
        parent = invoice["parent"] and invoice["parent"]["subscription_details"]
        is_of_this_plan = parent and parent["subscription"] == row.stripe_subscription_id
        for charge in at_stripe.charges_of(invoice) if is_of_this_plan else []:
            dispute = at_stripe.disputes.get(charge["id"])
            if dispute and dispute["status"] in UNDECIDED:
                disputed_since = min(disputed_since or dispute["created"], dispute["created"])
        ends = [line["period"]["end"] for line in at_stripe.lines[invoice["id"]] if line["amount"] > 0]
        paid_until = max([paid_until, *ends])
    if world.now >= paid_until + grace + COLLECTED_AFTER:
        raise BrokenPromise(f"user {user}: has access, and has paid until {datetime.fromtimestamp(paid_until, UTC)}")
    if disputed_since and world.now >= disputed_since + grace:
        raise BrokenPromise(f"user {user}: has access, and the bank took the money back on {disputed_since}")


def every_cent_is_on_a_visible_invoice(world: World, user: int, at_stripe: _AtStripe) -> None:
    shown, cursor = [], ""
    while True:
        page = invoices.list_invoices(world.users[user], limit=100, cursor=cursor)
        shown += page.invoices
        if not page.next_cursor:
            break
        cursor = page.next_cursor
    seen = {invoice.id for invoice in shown}
    on_them = {
        charge["id"]
        for invoice in at_stripe.invoices
        if invoice["id"] in seen
        for charge in at_stripe.charges_of(invoice)
    }
    if hidden := {charge["id"] for charge in at_stripe.charges} - on_them:
        raise BrokenPromise(f"user {user}: charged, and on no invoice that they can see: {hidden}")
    charged = sum(charge["amount"] for charge in at_stripe.charges)
    paid = sum(invoice.paid_cents for invoice in shown)
    # paid_cents counts money only, not credit.
    if charged != paid:
        raise BrokenPromise(f"user {user}: {charged} cents were charged, the invoices say {paid}")
    refunded = sum(charge["amount_refunded"] for charge in at_stripe.charges)
    if refunded != sum(invoice.refunded_cents for invoice in shown):
        raise BrokenPromise(f"user {user}: {refunded} cents were refunded, the invoices say otherwise")


def no_payment_is_told_twice(world: World, user: int) -> None:
    receipts = BillingMail.objects.filter(user=world.users[user], kind=BillingMail.Kind.RECEIPT)
    numbers = [facts["number"] for facts in receipts.values_list("facts", flat=True)]
    if len(numbers) != len(set(numbers)):
        raise BrokenPromise(f"user {user}: more than one receipt for an invoice: {sorted(numbers)}")
