"""A user's customer at Stripe, and the lock on all that concerns their money."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import stripe_gateway
from billing.models import BillingAccount
from datilio.errors import DomainError


@contextmanager
def locked_account(user_id: int) -> Iterator[BillingAccount]:
    """The user's BillingAccount, locked until the block's transaction ends.

    Whoever asks Stripe about a user's subscription, or changes it, does so in here: take the lock, then look, then
    write. Calls to Stripe are allowed inside, each bounded by STRIPE_TIMEOUT_SECONDS. (On sqlite the IMMEDIATE
    transaction is the lock.)

    A DomainError is an answer, no accident: what the look at Stripe has written is committed before it goes on ("you
    have no plan" is said because our row was just brought up to date). Any other exception rolls back.
    """
    refusal: DomainError | None = None
    with transaction.atomic():
        BillingAccount.objects.get_or_create(user_id=user_id)
        account = BillingAccount.objects.select_for_update().get(user_id=user_id)
        try:
            yield account
        except DomainError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def let_go(account: BillingAccount) -> None:
    """For a caller that holds the lock: the customer was deleted at Stripe and can buy nothing more; the next purchase
    makes a new one."""
    account.stripe_customer_id = None
    # Part of the key under which the next customer is made: else Stripe would answer with the deleted one.
    account.purchases_answered += 1
    account.save(update_fields=["stripe_customer_id", "purchases_answered"])


def ensure_customer(user: AbstractBaseUser) -> str:
    """The id of the user's Stripe customer, made now if there is none.

    It is stored in a transaction of its own: whatever fails after it must not make us forget the customer.
    """
    known = BillingAccount.objects.filter(user_id=user.pk).values_list("stripe_customer_id", flat=True).first()
    if known:
        return known
    with locked_account(user.pk) as account:
        if not account.stripe_customer_id:
            # The join date tells users of two databases apart who share an id and one Stripe account.
            who = hashlib.sha256(f"{user.pk} {user.email} {user.date_joined.isoformat()}".encode()).hexdigest()
            customer = stripe_gateway.create_customer(
                user_id=user.pk,
                email=user.email,
                # The count moves on when a customer was deleted at Stripe: the next is another one.
                idempotency_key=f"customer-{who}-{account.purchases_answered}",
            )
            account.stripe_customer_id = customer.id
            account.save(update_fields=["stripe_customer_id"])
        return account.stripe_customer_id
