from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import stripe_gateway

        stripe_gateway.bound_every_call()
