"""Credit on the balance of a customer whose bank has taken a payment back.

Who pays a year, changes to something smaller and keeps the rest as credit has been paid twice once the bank takes that
payment back. So the credit goes with it, at most the disputed amount; when the dispute is won it comes back. What was
done stands in the metadata of Stripe's balance transactions, so that each is done once, however often somebody looks.
"""

from billing import stripe_gateway
from billing.disputes import HAS_THE_MONEY, disputes_of

_OF_DISPUTE = "dispute"


def settle_credit(customer_id: str) -> None:
    """For a caller that holds the user's lock. A call, and two and one for each dispute where there are any."""
    found = [dispute for _, dispute in disputes_of(customer_id)]
    if not found:
        return
    moved: dict[str, int] = {}
    for transaction in stripe_gateway.balance_transactions_of(customer_id):
        metadata = transaction["metadata"]
        if metadata and _OF_DISPUTE in metadata:
            moved[metadata[_OF_DISPUTE]] = moved.get(metadata[_OF_DISPUTE], 0) + transaction["amount"]
    for dispute in found:
        taken = moved.get(dispute["id"])
        if dispute["status"] in HAS_THE_MONEY and taken is None:
            cents = min(-stripe_gateway.balance_of(customer_id), dispute["amount"])
            if cents > 0:
                _move(customer_id, dispute["id"], cents, "Credit of a disputed payment")
        elif dispute["status"] == "won" and taken:
            _move(customer_id, dispute["id"], -taken, "The dispute was won: the credit is back")


def _move(customer_id: str, dispute_id: str, cents: int, description: str) -> None:
    """cents > 0: off the credit; < 0: back to it."""
    stripe_gateway.adjust_balance(
        customer_id,
        cents,
        description=description,
        metadata={_OF_DISPUTE: dispute_id},
        idempotency_key=f"credit-{dispute_id}-{cents}",
    )
