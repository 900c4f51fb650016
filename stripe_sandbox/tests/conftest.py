"""A local Stripe for each test, and the few steps that most of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe as stripe_sdk

from stripe_sandbox.pytest_plugin import emptied
from stripe_sandbox.sandbox import Exchange
from stripe_sandbox.testing import Recorder, SandboxServer
from stripe_sandbox.tests.in_process import InProcess
from stripe_sandbox.tests.receiver import Receiver

# The period of a month that begins here has thirty days, the next one thirty-one.
NOW = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp())


@pytest.fixture(autouse=True)
def clean_slate() -> None:
    """The project around this package prepares its database for every test; nothing here needs that."""


@pytest.fixture
def stripe(stripe_server: SandboxServer, stripe_recorder: Recorder) -> Iterator[SandboxServer]:
    """The plugin's fixture, not what the project around this package makes of it. Its clock stands still on a certain
    day: a second may always begin between two calls, and the months ahead are not always as long.
    """
    stripe_server.stop_the_clock(NOW)
    yield from emptied(stripe_server, stripe_recorder)
    stripe_server.stop_the_clock(None)


@pytest.fixture(scope="session")
def connections(stripe_server: SandboxServer) -> Iterator[tuple[Any, httpx.Client]]:
    """One HTTP client of each kind for all tests: making one reads the certificate store, 50 ms each time."""
    headers = {"Authorization": f"Bearer {stripe_server.secret_key}"}
    with httpx.Client(base_url=stripe_server.url, headers=headers, timeout=10) as plain:
        yield stripe_sdk.RequestsClient(), plain


@pytest.fixture
def client(stripe: SandboxServer, connections: tuple[Any, httpx.Client]) -> stripe_sdk.StripeClient:
    """stripe-python, unpatched, pointed at the sandbox."""
    return stripe_sdk.StripeClient(
        stripe.secret_key,
        base_addresses={"api": stripe.url},
        http_client=connections[0],
        max_network_retries=0,
    )


@pytest.fixture
def http(stripe: SandboxServer, connections: tuple[Any, httpx.Client]) -> httpx.Client:
    """Plain HTTP with the right key, for what an SDK would hide."""
    connections[1].cookies.clear()
    return connections[1]


@pytest.fixture
def exchanges(stripe: SandboxServer) -> Iterator[list[Exchange]]:
    """Every request that was answered, with its answer, in order."""
    seen: list[Exchange] = []
    observer = lambda exchange: seen.append(exchange)  # noqa: E731 - taken away again by identity
    stripe.sandbox.observers.append(observer)
    yield seen
    stripe.sandbox.observers.remove(observer)


@pytest.fixture
def ada(client: stripe_sdk.StripeClient) -> Any:
    """A customer."""
    return client.v1.customers.create({"email": "ada@example.com", "name": "Ada Lovelace"})


def monthly(client: stripe_sdk.StripeClient, name: str, cents: int) -> Any:
    """The price of a product of its own, by the month."""
    product = client.v1.products.create({"name": name})
    return client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": cents, "recurring": {"interval": "month"}}
    )


@pytest.fixture
def pro(client: stripe_sdk.StripeClient) -> Any:
    """A price: 29 dollars a month."""
    return monthly(client, "Pro", 2900)


@pytest.fixture
def team(client: stripe_sdk.StripeClient) -> Any:
    """A dearer price: 99 dollars a month."""
    return monthly(client, "Team", 9900)


@pytest.fixture
def starter(client: stripe_sdk.StripeClient) -> Any:
    """A cheaper price: 9 dollars a month."""
    return monthly(client, "Starter", 900)


@pytest.fixture
def free(client: stripe_sdk.StripeClient, pro: Any) -> Any:
    """A price of nothing a month."""
    return client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 0, "recurring": {"interval": "month"}}
    )


@pytest.fixture
def everything(client: stripe_sdk.StripeClient, pro: Any, team: Any) -> Any:
    """A configuration of the Customer Portal that allows everything, and changes between Pro and Team."""
    products = [{"product": price.product, "prices": [price.id]} for price in (pro, team)]
    return client.v1.billing_portal.configurations.create(
        {
            "business_profile": {
                "headline": "Ada, this is yours",
                "privacy_policy_url": "https://shop.example/privacy",
            },
            "features": {
                "customer_update": {"enabled": True, "allowed_updates": ["email", "name", "phone", "address"]},
                "invoice_history": {"enabled": True},
                "payment_method_update": {"enabled": True},
                "subscription_cancel": {
                    "enabled": True,
                    "cancellation_reason": {"enabled": True, "options": ["too_expensive", "other"]},
                },
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price"],
                    "proration_behavior": "always_invoice",
                    "products": products,
                    "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
                },
            },
        }
    )


@pytest.fixture
def checkout(client: stripe_sdk.StripeClient, ada: Any, pro: Any) -> Callable[..., Any]:
    """Open a Checkout Session for Ada and Pro; keyword arguments replace parameters, None leaves one out."""

    def open_session(**params: Any) -> Any:
        given = {
            "mode": "subscription",
            "customer": ada.id,
            "line_items": [{"price": pro.id, "quantity": 1}],
            "success_url": "https://shop.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://shop.example/pricing",
            **params,
        }
        return client.v1.checkout.sessions.create({k: v for k, v in given.items() if v is not None})

    return open_session


@pytest.fixture
def subscription(stripe: SandboxServer, client: stripe_sdk.StripeClient, checkout: Callable[..., Any]) -> Any:
    """Ada's active subscription to Pro, bought through Checkout; its events have been taken."""
    session = stripe.pay(checkout().id)
    stripe.take_deliveries()
    return client.v1.subscriptions.retrieve(session["subscription"])


@pytest.fixture
def card_of_ada(client: stripe_sdk.StripeClient, ada: Any) -> Callable[[str], Any]:
    """Attach a test card (pm_card_...) to Ada and make it her default."""

    def attach(name: str) -> Any:
        method = client.v1.payment_methods.attach(name, {"customer": ada.id})
        client.v1.customers.update(ada.id, {"invoice_settings": {"default_payment_method": method.id}})
        return method

    return attach


@pytest.fixture
def price_of(client: stripe_sdk.StripeClient, pro: Any) -> Callable[..., Any]:
    """Make a price of Pro's product: `price_of(9900)`, `price_of(29000, "year")`."""

    def make(cents: int, interval: str = "month", **params: Any) -> Any:
        recurring = {"interval": interval}
        return client.v1.prices.create(
            {"product": pro.product, "currency": "usd", "unit_amount": cents, "recurring": recurring, **params}
        )

    return make


@pytest.fixture
def types(stripe: SandboxServer) -> Callable[[], list[str]]:
    """The types of the events made since the last call, in their order."""
    return lambda: [delivery.type for delivery in stripe.take_deliveries()]


@pytest.fixture
def happened(stripe: SandboxServer) -> Callable[[], list[tuple[str, int]]]:
    """The same with the moment of each: [(type, created)]."""
    return lambda: [(delivery.type, delivery.event["created"]) for delivery in stripe.take_deliveries()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A live endpoint for webhooks, not yet registered."""
    receiver = Receiver()
    yield receiver
    receiver.hold.set()
    receiver.stop()


@pytest.fixture(scope="module")
def sandbox(stripe_recorder: Recorder) -> Iterator[InProcess]:
    """A local Stripe without a wire, for tests with hypothesis, whose traffic keeps to the contract as well."""
    seen = len(stripe_recorder.problems)
    yield InProcess()
    assert stripe_recorder.problems[seen:] == []
