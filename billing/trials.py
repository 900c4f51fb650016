"""One trial per person: who has had theirs, also under an account that was closed since, or under another address.

A closed account leaves no address behind, only a keyed hash of it: enough to know somebody who comes back with the same
address, useless to anybody who reads the table. Addresses are cheap, cards are not: Stripe's fingerprint of the card
that a trial begins with is remembered, and a trial of somebody else with it is ended
before it serves (billing/sync.py).
"""

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.crypto import salted_hmac

from billing.models import BillingAccount, TrialCard

_SALT = "billing.trials"
# The comment in a subscription whose trial was not given.
CARD_HAD_ONE = "The card has had its trial with another account"


def had_trial(user: AbstractBaseUser) -> bool:
    """Two queries at most, one for who has had it under this account."""
    accounts = BillingAccount.objects.filter(trial_started_at__isnull=False)
    return (
        accounts.filter(user_id=user.pk).exists()
        or accounts.filter(former_address_hmac=address_hmac(user), closed_at__isnull=False).exists()
    )


def card_had_trial(account: BillingAccount, fingerprint: str | None) -> bool:
    """With another account, that is. fingerprint: of billing.stripe_gateway; None or empty: no card is known."""
    if not fingerprint or not settings.TRIAL_ONCE_PER_CARD:
        return False
    return TrialCard.objects.filter(fingerprint=fingerprint).exclude(account=account).exists()


def claim_card(account: BillingAccount, fingerprint: str | None) -> bool:
    """A trial of this account has begun with the card: is it the card's first? Of two at once one is told no."""
    if not fingerprint:
        return True
    row, _ = TrialCard.objects.get_or_create(fingerprint=fingerprint, defaults={"account": account})
    return row.account_id == account.pk or not settings.TRIAL_ONCE_PER_CARD


def address_hmac(user: AbstractBaseUser) -> str:
    """64 hexadecimal digits that stand for the user's address, whatever its case."""
    address = getattr(user, user.get_email_field_name()).lower()
    return salted_hmac(_SALT, address, algorithm="sha256").hexdigest()
