"""What a disputed payment means for the plan that it paid for.

With a dispute the bank takes the money back at once, and decides later who keeps it
(https://docs.stripe.com/disputes/how-disputes-work). Meanwhile the plan is one whose present period is not paid: it
serves for the grace. Won: as before. Lost: it ends, and nothing more is charged to somebody who did not want it.
"""

import contextlib

import stripe

from billing import stripe_gateway

# https://docs.stripe.com/api/disputes/object#dispute_object-status. An inquiry (`warning_*`) has taken nothing yet.
UNDECIDED = frozenset({"needs_response", "under_review"})


def disputed_since(customer_id: str, subscription: stripe.Subscription) -> int | None:
    """Since when (Unix seconds) a payment of this live subscription is disputed and undecided; None: none is.

    Ends the subscription at Stripe when one was lost: the caller looks again. Two calls and one for each dispute.
    """
    since: list[int] = []
    for charge in stripe_gateway.list_charges(customer_id):
        if not charge["disputed"] or not charge["payment_intent"]:
            continue
        if stripe_gateway.subscription_paid_by(charge["payment_intent"]) != subscription["id"]:
            continue
        for dispute in stripe_gateway.list_disputes(charge["payment_intent"]):
            if dispute["status"] == "lost":
                with contextlib.suppress(stripe_gateway.ResourceMissing):
                    stripe_gateway.cancel_now(subscription["id"], comment="A payment was disputed and lost")
            elif dispute["status"] in UNDECIDED:
                since.append(dispute["created"])
    return min(since, default=None)
