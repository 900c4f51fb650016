"""Plans with small limits, given without Stripe: what usage does is the same however the plan was bought."""

import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from billing.models import Plan, UserPlan
from usage import warning_mails
from usage.api_keys import make_api_key
from usage.metering import record
from usage.partitions import make_partition_of

# A day in the middle of a month, for the tests that say what time it is.
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The tests live in March 2026: its months are made once, not by the first event of each test. No more of them:
    emptying the tables after a test costs something for each."""
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            for moment in (NOON - timedelta(days=35), NOON, NOON + timedelta(days=31)):
                make_partition_of(moment)


@pytest.fixture
def make_plan(db):
    """make_plan(name="Small", **fields): a published plan; 10 files of 5 MB, 3 prompts a day, 1,000 rows a month."""

    def make(name="Small", **fields):
        limits = {
            "file_limit": 10,
            "file_size_limit_mb": 5,
            "ai_prompts_per_day": 3,
            "synthetic_rows_per_month": 1000,
            "price_monthly": 10,
        }
        return Plan.objects.create(
            name=name, state=Plan.State.PUBLISHED, stripe_product_id=f"prod_{name}", **(limits | fields)
        )

    return make


@pytest.fixture
def give_plan(make_plan):
    """give_plan(user, plan=None, start=NOON - 3 days, **fields): the user's live subscription."""

    def give(user, plan=None, start=NOON - timedelta(days=3), **fields):
        defaults = {
            "stripe_subscription_id": f"sub_{next(_numbers)}",
            "stripe_price_id": "price_1",
            "duration_months": 1,
            "amount_cents": 1000,
            "status": "active",
            "is_live": True,
            "start_date": start,
            "current_period_start": start,
            "current_period_end": start + timedelta(days=31),
        }
        return UserPlan.objects.create(user=user, plan=plan or make_plan(), **(defaults | fields))

    return give


@pytest.fixture
def use():
    """use(user, feature, amount=1, **arguments of record): with a fresh key, at NOON, unless told otherwise."""

    def record_one(user, feature, amount=1, **arguments):
        defaults = {"source": "test", "key": f"key-{next(_numbers)}", "now": NOON}
        return record(getattr(user, "pk", user), feature, amount, **(defaults | arguments))

    return record_one


@pytest.fixture
def at_once(transactional_db):
    """at_once(n, function): call function(0) ... function(n - 1), each in its own thread and connection, let loose
    together; returns what each returned or raised, in order."""

    def run(n, function):
        barrier = threading.Barrier(n)
        outcomes = [None] * n

        def work(i):
            try:
                connection.ensure_connection()
                barrier.wait(timeout=30)
                outcomes[i] = function(i)
            except Exception as error:
                outcomes[i] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        return outcomes

    return run


# --- through the API --------------------------------------------------------------------------------------------------


@pytest.fixture
def api_key(db):
    """(row, key) that may write usage."""
    return make_api_key("worker", ["usage:write"])


@pytest.fixture
def backend(api_key):
    """A client that carries the API key."""
    return APIClient(headers={"authorization": f"Api-Key {api_key[1]}"})


@pytest.fixture
def an_event(alice, give_plan):
    """an_event(**changes): the body of an event that is accepted, for Alice, who has a plan since three days ago."""
    give_plan(alice, start=timezone.now() - timedelta(days=3))

    def body(**changes):
        return {"user_id": alice.pk, "feature": "synthetic_rows", "amount": 10, "key": "first"} | changes

    return body


@pytest.fixture
def tell(alice, django_capture_on_commit_callbacks):
    """tell(now=NOON): what the task does about Alice, mails sent; returns the subjects of the new ones."""

    def told(now=NOON):
        before = len(mail.outbox)
        with django_capture_on_commit_callbacks(execute=True):
            warning_mails.write_mails(alice.pk, now)
        return [one.subject for one in mail.outbox[before:]]

    return told


# --- tokens that Stripe bills -----------------------------------------------------------------------------------------


@pytest.fixture
def now(stripe):
    """now(): the moment at Stripe."""
    return lambda: datetime.fromtimestamp(stripe.now, UTC)


@pytest.fixture
def use_tokens(alice, now):
    """use_tokens(n, **arguments of record): Alice uses them now."""
    numbers = iter(range(1, 10**6))

    def use(tokens, **arguments):
        defaults = {"source": "test", "key": f"t{next(numbers)}", "now": now()}
        return record(alice.pk, "ai_token", tokens, **(defaults | arguments))

    return use
