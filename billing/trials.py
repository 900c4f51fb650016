"""One trial per person: who has had theirs, also under an account that was closed since.

A closed account leaves no address behind, only a keyed hash of it: enough to know somebody who comes back with the same
address, useless to anybody who reads the table.
"""

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.crypto import salted_hmac

from billing.models import BillingAccount

_SALT = "billing.trials"


def had_trial(user: AbstractBaseUser) -> bool:
    """Two queries at most, one for who has had it under this account."""
    accounts = BillingAccount.objects.filter(trial_started_at__isnull=False)
    return (
        accounts.filter(user_id=user.pk).exists()
        or accounts.filter(former_address_hmac=address_hmac(user), closed_at__isnull=False).exists()
    )


def address_hmac(user: AbstractBaseUser) -> str:
    """64 hexadecimal digits that stand for the user's address, whatever its case."""
    address = getattr(user, user.get_email_field_name()).lower()
    return salted_hmac(_SALT, address, algorithm="sha256").hexdigest()
