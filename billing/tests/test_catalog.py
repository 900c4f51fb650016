"""Plans at Stripe: one product, one price per (plan, months, amount), however often it is published."""

from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from billing.catalog import FIRST_PLANS, ensure_price, publish_plan, seed_plans
from billing.checkout import start_checkout
from billing.models import Plan, PlanPrice
from billing.subscriptions import live_plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db


def test_the_command_makes_and_publishes_the_three_plans_once(stripe, capsys):
    for _ in range(3):
        call_command("publish_catalog")
    assert list(Plan.objects.published().values_list("name", flat=True)) == [p["name"] for p in FIRST_PLANS]
    assert len(stripe.objects("product")) == 5  # two bill AI tokens, beside a month and a year
    assert len(stripe.objects("price")) == 8


def test_an_interrupted_first_publication_is_finished(stripe):
    explorer, *_ = seed_plans()
    publish_plan(explorer)
    call_command("publish_catalog")
    assert Plan.objects.published().count() == 3


def test_plans_of_staff_are_neither_replaced_nor_published(stripe):
    Plan.objects.create(name="Mine", price_monthly=1)
    call_command("publish_catalog")
    assert list(Plan.objects.values_list("name", "state")) == [("Mine", "draft")]


def test_a_new_amount_makes_a_new_price_and_subscribers_keep_theirs(alice, plans, stripe):
    pro = plans["pro"]
    stripe.pay(start_checkout(alice, pro.pk, 1).rsplit("/", 1)[-1])
    sync_user(alice.pk)
    old = ensure_price(pro, 1)
    pro.price_monthly = Decimal("35.00")
    pro.save()
    publish_plan(pro)
    new = ensure_price(pro, 1)
    assert (old.amount_cents, new.amount_cents) == (2900, 3500)
    assert old.stripe_price_id != new.stripe_price_id
    assert sync_user(alice.pk).amount_cents == 2900
    assert live_plan(alice.pk).stripe_price_id == old.stripe_price_id


def test_a_price_that_stripe_has_and_we_forgot_is_found_again(plans, stripe):
    price = ensure_price(plans["pro"], 1)
    PlanPrice.objects.filter(pk=price.pk).delete()
    assert ensure_price(plans["pro"], 1).stripe_price_id == price.stripe_price_id
    assert len(stripe.objects("price")) == 8


def test_a_plan_that_anyone_has_or_had_cannot_be_deleted(plans, purchase):
    purchase()
    with pytest.raises(ProtectedError):
        plans["pro"].delete()


@pytest.mark.parametrize("wrong", [{"price_monthly": -1}, {"price_yearly": -1}, {"state": "published"}])
def test_the_database_refuses_nonsense(db, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        Plan.objects.create(**({"name": "X", "price_monthly": 1} | wrong))
