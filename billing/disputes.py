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
# The comment in the subscription that ends because of it.
LOST = "A payment was disputed and lost"


@dataclass(frozen=True)
class Disputes:
    """since: Unix seconds of the first that is undecided; None: none is. lost: one was decided against us."""

    since: int | None
    lost: bool


def look(customer_id: str, subscription_id: str) -> Disputes:
    """How the payments of this live subscription stand. Changes nothing. A call, and two for each disputed charge."""
    since: list[int] = []
    lost = False
    for charge in stripe_gateway.list_charges(customer_id):
        if not charge["disputed"] or not charge["payment_intent"]:
            continue
        if stripe_gateway.subscription_paid_by(charge["payment_intent"]) != subscription_id:
            continue
        for dispute in stripe_gateway.list_disputes(charge["payment_intent"]):
            if dispute["status"] == "lost":
                lost = True
            elif dispute["status"] in UNDECIDED:
                since.append(dispute["created"])
    return Disputes(min(since, default=None), lost)


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
