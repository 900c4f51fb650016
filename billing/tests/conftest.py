"""Alice's purchases, the mails that she gets, and customers of whom Stripe knows more than we do."""

import pytest

from billing.models import BillingAccount, BillingMail


@pytest.fixture
def buy(alice, purchase):
    """Alice buys a plan on Stripe's page and comes back; returns the id of her customer."""

    def buy_it(plan, months=1, **how):
        purchase(plan, months, **how)
        return alice.billing_account.stripe_customer_id

    return buy_it


@pytest.fixture
def told(alice):
    """The kinds of the mails written to Alice since the last call, in their order."""
    seen = set()

    def fresh():
        mails = [mail for mail in BillingMail.objects.filter(user=alice).order_by("pk") if mail.pk not in seen]
        seen.update(mail.pk for mail in mails)
        return [mail.kind for mail in mails]

    return fresh


@pytest.fixture
def facts_of(alice):
    """What the newest mail of a kind to Alice was written from."""

    def newest(kind):
        return BillingMail.objects.filter(user=alice, kind=kind).latest("pk").facts

    return newest


@pytest.fixture
def unknown_plans(django_user_model, plans, stripe):
    """Make so many users who have the free plan at Stripe, of which no row here knows; returns them in order."""

    def make(count):
        price = plans["explorer"].prices.get(months=1).stripe_price_id
        users = [django_user_model.objects.create_user(f"user{n}@example.com") for n in range(count)]
        for user in users:
            customer = stripe.client.v1.customers.create({"email": user.email})
            stripe.client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
            BillingAccount.objects.create(user=user, stripe_customer_id=customer.id)
        return users

    return make
