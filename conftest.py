"""The cast, the local Stripe and a clean slate between tests.

Alice and Bob are customers, neither of whom may see what the other has; Staff works at Datilio. `stripe` is the real
local Stripe in this process (stripe_sandbox/testing.py), with the project pointed at it.
"""

import copy
import os
import shutil
import uuid
from pathlib import Path

import pytest
import stripe as stripe_sdk


@pytest.fixture(autouse=True, scope="session")
def static_files_are_looked_for_once():
    """Every test's client makes the middleware anew, and WhiteNoise looks through all folders each time: 25 ms."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    look, found = WhiteNoiseMiddleware.add_files_from_finders, {}

    def look_once(self):
        if not found:
            look(self)
            found.update(self.files)
        self.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", look_once)
        yield


@pytest.fixture(autouse=True)
def clean_slate(settings):
    """Nothing that one test counted or cached reaches the next; passwords are hashed cheaply."""
    from usage import plan_facts

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Each test counts under names of its own: workers that share a Redis must not flush each other's counters.
    default = {**settings.CACHES["default"], "KEY_PREFIX": f"test-{uuid.uuid4().hex}"}
    settings.CACHES = {**settings.CACHES, "default": default}
    plan_facts._remembered.clear()


# Made with the tables, the same for every test.
_KEPT = {"django_content_type", "auth_permission"}


@pytest.fixture(autouse=True, scope="session")
def only_tables_with_rows_are_emptied():
    """After a test with transactions of its own Django truncates all tables, which takes PostgreSQL most of a second,
    and makes all permissions anew, 60 ms."""
    from django.core.management.commands import flush
    from django.utils import timezone

    from usage.partitions import prepare_event_table

    def delete_what_is_there(style, connection, **options):
        names = sorted(set(connection.introspection.django_table_names()) - _KEPT)
        tables = {name: connection.ops.quote_name(name) for name in names}
        looks = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {table})" for name, table in tables.items()]
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(looks))
            return [f"DELETE FROM {tables[name]}" for (name,) in cursor.fetchall()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", delete_what_is_there)
        # Only a test of partitions takes any away.
        patch.setattr(flush, "emit_post_migrate_signal", lambda *args: prepare_event_table(timezone.now()))
        yield


@pytest.fixture
def alice(db, django_user_model):
    return django_user_model.objects.create_user("alice@example.com", "alice's long password")


@pytest.fixture
def bob(db, django_user_model):
    return django_user_model.objects.create_user("bob@example.com", "bob's long password")


@pytest.fixture
def staff(db, django_user_model):
    return django_user_model.objects.create_superuser("staff@example.com", "staff's long password")


@pytest.fixture
def admin(client, staff):
    """A browser in which Staff is logged in."""
    client.force_login(staff)
    return client


@pytest.fixture
def stripe(stripe, settings, monkeypatch):
    """The local Stripe, empty, with gateway and dj-stripe pointed at it. Its webhooks wait to be delivered by the test
    (`deliver`), so that each test says what arrives, in which order, how often."""
    settings.STRIPE_API_HOST = stripe.url
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = stripe.secret_key
    settings.STRIPE_WEBHOOK_SECRET = stripe.webhook_secret
    monkeypatch.setattr(stripe_sdk, "api_base", stripe.url)
    monkeypatch.setattr(stripe_sdk.RequestsClient, "request", stripe.short_cut(stripe_sdk.RequestsClient.request))
    # The SDK waits before it tries again; no test shows more for waiting with it.
    monkeypatch.setattr(stripe_sdk.HTTPClient, "_sleep_time_seconds", lambda self, retries: 0)
    return stripe


@pytest.fixture(scope="session")
def published():
    """What publishing the first plans made in our tables and at Stripe, kept by the first test that needed it."""
    return {}


@pytest.fixture
def plans(db, stripe, published):
    """The three plans on sale, by their short names: plans["explorer"], plans["pro"], plans["team"].

    Published once in a session, and laid out as that left them from then on: two milliseconds instead of forty.
    """
    from billing.catalog import publish_plan, seed_plans
    from billing.models import MeteredPrice, Plan, PlanPrice

    tables = (Plan, PlanPrice, MeteredPrice)
    nothing_happened_yet = not stripe.objects("event") and not stripe.sandbox.clock.offset
    if nothing_happened_yet and published:
        for model in tables:
            model.objects.bulk_create([model(**row) for row in copy.deepcopy(published[model])])
        stripe.sandbox.restore_state(published["stripe"])
    else:
        for plan in seed_plans():
            publish_plan(plan)
        if nothing_happened_yet:
            published.update({model: list(model.objects.values()) for model in tables})
            published["stripe"] = stripe.sandbox.save_state()
    explorer, pro, team = Plan.objects.order_by("pk")
    return {"explorer": explorer, "pro": pro, "team": team}


@pytest.fixture
def purchase(alice, plans, stripe):
    """purchase(plan="pro", months=1, **how Stripe's page is paid): Alice buys it there; returns her UserPlan."""
    from billing.checkout import start_checkout
    from billing.sync import sync_user

    def buy(plan="pro", months=1, **how):
        stripe.pay(start_checkout(alice, plans[plan].pk, months).rsplit("/", 1)[-1], **how)
        return sync_user(alice.pk)

    return buy


@pytest.fixture
def post_event(client, stripe):
    """Post a delivery (`stripe.take_deliveries()`) to our webhook, signed anew as Stripe does; returns the response."""

    def post(delivery, using=client):
        body, headers = stripe.signed(delivery.event)
        return using.post("/api/stripe/webhook", body, content_type="application/json", headers=headers)

    return post


@pytest.fixture
def deliver(post_event, stripe):
    """Deliver every event that has not been delivered yet, in Stripe's order; returns the deliveries."""

    def deliver_all():
        deliveries = stripe.take_deliveries()
        for delivery in deliveries:
            response = post_event(delivery)
            assert response.status_code == 200, (delivery.type, response.content)
        return deliveries

    return deliver_all


def chromium_path() -> str | None:
    """A Chromium to drive: CHROMIUM_PATH, Debian's, the PATH's, Playwright's own."""
    for candidate in (os.environ.get("CHROMIUM_PATH"), "/usr/bin/chromium", shutil.which("chromium")):
        if candidate and Path(candidate).exists():
            return candidate
    own = sorted(
        Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "~/.cache/ms-playwright"))
        .expanduser()
        .glob("chromium-*/chrome-linux*/chrome")
    )
    return str(own[-1]) if own else None


@pytest.fixture(scope="session")
def browser():
    """A real headless Chromium. Without one the browser tests are skipped loudly; REQUIRE_BROWSER=1 makes that fail."""
    path = chromium_path()
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("REQUIRE_BROWSER=1 and no Chromium was found.")
        pytest.skip("NO CHROMIUM FOUND: the browser tests did not run. Install one or set CHROMIUM_PATH.")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread. The database is only used between its calls, never from within.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def live_server(transactional_db, settings, stripe, browser):
    """The running site, for this one test. It ends before what it stands on (settings, Stripe, the tables' rows) does:
    first nobody asks any more, neither a page nor a webhook, then the last request has been answered."""
    from datilio.tests.live_server import OneTestsServer

    server = OneTestsServer()
    yield server
    for context in browser.contexts:
        context.close()
    stripe.pause_webhooks()
    server.stop()


def pytest_collection_modifyitems(config, items):
    """Leave out what is about another kind of database. Not skipped: such a run has nothing to show of it."""
    from django.db import connection

    def belongs(item):
        mark = item.get_closest_marker("only_on")
        return mark is None or mark.args[0] == connection.vendor

    others = [item for item in items if not belongs(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if belongs(item)]


def pytest_terminal_summary(terminalreporter):
    """Say loudly, at the very end, that the browser tests did not run."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "NO CHROMIUM FOUND" in str(r.longrepr)]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} BROWSER TESTS DID NOT RUN: no Chromium found", red=True)
