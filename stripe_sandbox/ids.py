"""Ids as Stripe writes them: a prefix that tells the type, then random base62."""

from __future__ import annotations

import os
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
# Any byte to one of the 62 characters. The first eight come up a little more often: no harm in ids and local secrets,
# and one call for a whole id instead of one per character is a tenth of a renewal's time.
_CHARACTERS = (_ALPHABET * 5)[:256].encode()

# object type -> (prefix, length of the random part)
PREFIXES: dict[str, tuple[str, int]] = {
    "account": ("acct_", 16),
    "balance_transaction": ("txn_", 24),
    "billing.meter": ("mtr_test_", 24),
    "charge": ("ch_", 24),
    "checkout.session": ("cs_test_", 58),
    "billing_portal.configuration": ("bpc_", 24),
    "billing_portal.session": ("bps_", 24),
    "coupon": ("", 8),
    "credit_note": ("cn_", 24),
    "credit_note_line_item": ("cnli_", 24),
    "customer": ("cus_", 14),
    "customer_balance_transaction": ("cbtxn_", 24),
    "discount": ("di_", 24),
    "dispute": ("du_", 24),
    "event": ("evt_", 24),
    "invoice": ("in_", 24),
    "invoice_payment": ("inpay_", 24),
    "invoiceitem": ("ii_", 24),
    "item": ("li_", 24),
    "line_item": ("il_", 24),
    "payment_intent": ("pi_", 24),
    "payment_method": ("pm_", 24),
    "price": ("price_", 24),
    "product": ("prod_", 14),
    "promotion_code": ("promo_", 24),
    "refund": ("re_", 24),
    "request": ("req_", 14),
    "setup_attempt": ("setatt_", 24),
    "setup_intent": ("seti_", 24),
    "subscription": ("sub_", 24),
    "subscription_item": ("si_", 14),
    "subscription_schedule": ("sub_sched_", 24),
    "test_helpers.test_clock": ("clock_", 24),
    "webhook_endpoint": ("we_", 24),
}


def token(length: int) -> str:
    """Random base62 characters."""
    return os.urandom(length).translate(_CHARACTERS).decode()


def new(object_type: str) -> str:
    """A fresh id for an object of this type, such as cus_9s6XKzkNRiz8i3."""
    prefix, length = PREFIXES[object_type]
    return prefix + token(length)


def client_secret(object_id: str) -> str:
    return f"{object_id}_secret_{token(25)}"
