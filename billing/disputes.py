"""What a disputed payment means for the plan that it paid for.

With a dispute the bank takes the money back at once, and decides later who keeps it
(https://docs.stripe.com/disputes/how-disputes-work). Meanwhile the plan is one whose present period is not paid: it
serves for the grace. Won: as before. Lost: it ends, and nothing more is charged to somebody who did not want it.
"""

import contextlib
from dataclasses import dataclass

import stripe

from billing import stripe_gateway

# https://docs.stripe.com/api/disputes/object#dispute_object-status. An inquiry (`warning_*`) has taken nothing yet.
UNDECIDED = frozenset({"needs_response", "under_review"})
LOST_STATUS = "lost"
# The bank has taken the money back, for the time being or for good.
HAS_THE_MONEY = UNDECIDED | {LOST_STATUS}
# The comment in the subscription that ends because of it.
LOST = "A payment was disputed and lost"


@dataclass(frozen=True)
class Disputes:
    """since: while one is undecided, Unix seconds of the customer's first that is not decided for us, also of a plan
    before: to begin anew and dispute again begins no new grace. None: none is undecided. lost: one was decided against
    us."""

    since: int | None
    lost: bool


def disputes_of(customer_id: str) -> list[tuple[str, stripe.Dispute]]:
    """(payment intent, dispute) of each dispute about the customer's payments. A call, and one for each disputed
    charge."""
    intents = [charge["payment_intent"] for charge in stripe_gateway.list_charges(customer_id) if charge["disputed"]]
    return [(intent, one) for intent in filter(None, intents) for one in stripe_gateway.list_disputes(intent)]


def look(customer_id: str, subscription_id: str) -> Disputes:
    """How the payments of this live subscription stand. Changes nothing. A call, and two for each disputed charge."""
    found = disputes_of(customer_id)
    ours = {intent for intent, _ in found if stripe_gateway.subscription_paid_by(intent) == subscription_id}
    statuses = {dispute["status"] for intent, dispute in found if intent in ours}
    taken = [dispute["created"] for _, dispute in found if dispute["status"] in HAS_THE_MONEY]
    return Disputes(min(taken) if statuses & UNDECIDED else None, LOST_STATUS in statuses)


def is_disputed(customer_id: str, subscription_id: str) -> bool:
    """Has the bank taken back a payment of this live subscription, undecided or for good?"""
    seen = look(customer_id, subscription_id)
    return seen.lost or seen.since is not None


def disputed_since(customer_id: str, subscription: stripe.Subscription) -> int | None:
    """look(...).since; and ends the subscription at Stripe when a dispute was lost: the caller looks again."""
    seen = look(customer_id, subscription["id"])
    if seen.lost:
        with contextlib.suppress(stripe_gateway.ResourceMissing):
            stripe_gateway.cancel_now(subscription["id"], comment=LOST)
    return seen.since
