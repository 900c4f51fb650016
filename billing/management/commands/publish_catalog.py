"""Plans -> Stripe: make the first plans where there are none, put them on sale, bring all published ones up to date."""

from typing import Any

from django.core.management.base import BaseCommand

from billing.catalog import FIRST_PLANS, publish_plan, seed_plans
from billing.models import Plan


class Command(BaseCommand):
    help = "Publish the first plans and bring the products and prices of all published plans up to date at Stripe."

    def handle(self, *args: Any, **options: Any) -> None:
        seed_plans()
        first = [fields["name"] for fields in FIRST_PLANS]
        # A first plan without a product is one that a run before this one did not get to publish.
        unfinished = Plan.objects.filter(state=Plan.State.DRAFT, name__in=first, stripe_product_id="")
        for plan in [*Plan.objects.published(), *unfinished]:
            publish_plan(plan)
            self.stdout.write(f"{plan.name}: {plan.stripe_product_id}")
