"""Retries of invoices that could not be collected, and what becomes of the subscription after the last.

https://docs.stripe.com/billing/revenue-recovery/smart-retries: Stripe's model chooses the times; here they are
`Settings.dunning_days` after the first failure. A card that was declined for good (stolen, lost, expired) is
not asked again: its retries pass without a charge unless there is another card by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..due_work import due
from ..store import Document
from . import collection, invoicing, subscriptions

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@due("invoice.retry")
def _retry(sandbox: Sandbox, invoice_id: str) -> None:
    invoice = sandbox.store.get(invoice_id)
    if invoice is None or invoice.get("status") != "open":
        return
    # Canceled or moved since: only the moment that still stands counts.
    if invoice["next_payment_attempt"] is None or invoice["next_payment_attempt"] > sandbox.clock.now():
        return
    method = collection.method_for(sandbox, invoice)
    if method and invoice.get("_hard_declined") == method["id"]:
        next_attempt = collection.plan_retry(sandbox, invoice)
        sandbox.change(invoice, "invoice.updated", {"next_payment_attempt": next_attempt})
    else:
        collection.collect(sandbox, invoice)
    if invoice["status"] == "open" and invoice["next_payment_attempt"] is None:
        _give_up(sandbox, invoice)


def _give_up(sandbox: Sandbox, invoice: Document) -> None:
    """The last retry failed: the account's setting decides (sequence 5)."""
    subscription_id = invoicing.subscription_of(invoice)
    subscription = sandbox.store.get(subscription_id) if subscription_id else None
    if subscription is None or subscription["status"] != "past_due":
        return
    if sandbox.settings.after_dunning == "cancel":
        subscriptions.cancel(sandbox, subscription, reason="payment_failed")
    elif sandbox.settings.after_dunning == "unpaid":
        sandbox.change(subscription, "customer.subscription.updated", {"status": "unpaid"})
