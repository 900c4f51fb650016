"""dj-stripe answers some events with a second DELETE at Stripe, or a local one that cascades to our prices: those are
ignored."""

import pytest
from djstripe.models import Customer, Product

from billing.customers import ensure_customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def deletions(stripe):
    asked = []

    def note(exchange):
        if exchange.method == "DELETE":
            asked.append(exchange.path)

    stripe.sandbox.observers.append(note)
    yield asked
    stripe.sandbox.observers.remove(note)


@pytest.mark.slow
def test_a_deleted_customer_stays_and_is_not_deleted_again(alice, plans, stripe, deliver, post_event, deletions):
    customer = ensure_customer(alice)
    deliver()
    assert Customer.objects.filter(id=customer).exists()
    stripe.client.v1.customers.delete(customer)
    deletions.clear()
    [event] = [one for one in stripe.take_deliveries() if one.type == "customer.deleted"]
    assert post_event(event).json() == {"status": "processed"}
    assert Customer.objects.filter(id=customer, date_purged=None).exists()
    assert deletions == []


def test_a_deleted_product_stays(stripe, deliver, post_event):
    product = stripe.client.v1.products.create({"name": "Made by hand"})
    deliver()
    stripe.client.v1.products.delete(product.id)
    [event] = [one for one in stripe.take_deliveries() if one.type == "product.deleted"]
    assert post_event(event).json() == {"status": "ignored"}
    assert Product.objects.filter(id=product.id).exists()
