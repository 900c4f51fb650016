"""Is what an upgrade would credit for unused time still ours to credit?

Stripe credits what is left of the present period by what was billed, whether or not staff have refunded it since. To
credit it once more would pay it twice: then the larger plan begins a new period at its whole price.
"""

from billing import stripe_gateway
from billing.metered import is_for_usage
from billing.models import BillingAccount, UserPlan
from billing.stripe_gateway import Upgrade


def is_given_back(account: BillingAccount, live: UserPlan, upgrade: Upgrade) -> bool:
    """Would `upgrade` credit more than is left of what was paid for the present period?

    One call to Stripe, and two where anything was ever refunded.
    """
    assert account.stripe_customer_id
    charges = stripe_gateway.list_charges(account.stripe_customer_id)
    refunded = {charge["payment_intent"]: charge["amount_refunded"] for charge in charges if charge["amount_refunded"]}
    if not refunded:
        return False
    left, given_back = 0, 0
    begins = live.current_period_start.timestamp()
    for bill in stripe_gateway.paid_invoices_of(live.stripe_subscription_id):
        if any(line["period"]["end"] > begins for line in bill["lines"]["data"] if not is_for_usage(line)):
            of_this = sum(refunded.get(one["payment"]["payment_intent"], 0) for one in bill["payments"]["data"])
            left += bill["amount_paid"] - of_this
            given_back += of_this
    if not given_back:
        return False
    lines = stripe_gateway.preview_upgrade(upgrade)["lines"]["data"]
    credit = -sum(line["amount"] for line in lines if line["amount"] < 0)
    return credit > left
