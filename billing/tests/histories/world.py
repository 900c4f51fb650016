"""A few users, our services and the local Stripe, all living in the same time, and every step that can happen there.

A step is a method `do_<name>(**arguments)`. Any step may come at any moment: what cannot be done then (no session to
pay, nothing to cancel) is refused or does nothing. A refusal is a DomainError; anything else is a broken promise.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import stripe as stripe_sdk
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client, override_settings
from djstripe.models import WebhookEventTrigger

from billing import checkout, invoices, portal, stripe_gateway, subscriptions, webhooks
from billing.catalog import publish_plan, seed_plans
from billing.errors import AuthenticationRequired, PaymentFailed, StripeRefused, StripeUnavailable
from billing.models import BillingAccount, Plan, PlanPrice
from billing.sync import sync_locked, sync_user
from billing.tasks import sweep_webhooks
from billing.tests.histories.wire import Killed, NoWire
from datilio.errors import DomainError
from stripe_sandbox import deliveries, ids
from stripe_sandbox.errors import StripeError
from stripe_sandbox.lifecycle import checkout_sessions as session_life
from stripe_sandbox.testing import CardDeclined, Delivery, SandboxServer

# The catalogue is made here; histories begin some days later.
EPOCH = int(datetime(2026, 12, 1, 12, 0, tzinfo=UTC).timestamp())
LIVE = ("trialing", "active", "past_due", "unpaid", "paused")
USERS = 3


class BrokenPromise(AssertionError):
    """Something that must never be was."""


class World:
    """`with World() as world: world.begin(start, seed); world.do_buy(...); world.heal()`.

    Needs a database to write to. `begin` forgets what the history before did at Stripe; the database is rolled back by
    the caller. mirror: events go through our webhook as it is, signatures, inbox and dj-stripe included; that takes
    most of the time.
    """

    def __init__(self, *, mirror: bool = False) -> None:
        self._mirror = mirror
        self.server = SandboxServer()
        self.sandbox = self.server.sandbox
        self.now = EPOCH
        self.users: list[Any] = []
        self.plans: dict[str, Plan] = {}
        self._wire = NoWire(self.sandbox, lambda: self.now, on_call=self._count_down_to_death)
        self._client = stripe_sdk.StripeClient(
            self.server.secret_key,
            base_addresses={"api": self.server.url},
            http_client=self._wire,
            max_network_retries=2,
        )
        # Stripe's own pages, and people in its dashboard.
        self.office = stripe_sdk.StripeClient(
            self.server.secret_key,
            base_addresses={"api": self.server.url},
            http_client=NoWire(self.sandbox, lambda: self.now, calm=True),
        )
        self._random = random.Random(0)
        self._stack = contextlib.ExitStack()
        self._template: Any = None
        self.sandbox.event_observers.append(self._note_event)

    # ------------------------------------------------------------------------------------------ begin and end
    def __enter__(self) -> "World":
        enter = self._stack.enter_context
        enter(mock.patch("django.utils.timezone.now", self.time))
        enter(mock.patch.object(stripe_gateway, "_client_for", lambda key, host: self._client))
        # dj-stripe calls through the SDK's module.
        enter(mock.patch.object(stripe_sdk, "default_http_client", self._wire))
        enter(mock.patch.object(stripe_sdk, "api_base", self.server.url))
        # Stripe forgets an Idempotency-Key after a day of this time, too.
        enter(mock.patch.object(self.sandbox.clock, "wall", lambda: float(self.now)))
        # The same seed gives the same ids.
        enter(mock.patch.object(ids, "token", self._token))
        enter(
            override_settings(
                STRIPE_SECRET_KEY=self.server.secret_key,
                STRIPE_TEST_SECRET_KEY=self.server.secret_key,
                STRIPE_WEBHOOK_SECRET=self.server.webhook_secret,
                STRIPE_API_HOST=self.server.url,
                EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
                PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
            )
        )
        if not self._mirror:
            # The mails stay in the outbox: to write and send them takes longer than all the rest.
            enter(mock.patch("billing.outbox.ring"))
        self._reset()
        self._set_the_scene()
        self._template = self.sandbox.save_state()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.close()
        self.server._listener.close()
        self.sandbox.store.close()

    def _set_the_scene(self) -> None:
        """The catalogue (Team with a trial), a promotion code, and users who have bought nothing yet."""
        self.plans = dict(zip(("explorer", "pro", "team"), seed_plans(), strict=True))
        Plan.objects.filter(pk=self.plans["team"].pk).update(trial_days=14)
        for plan in self.plans.values():
            plan.refresh_from_db()
            publish_plan(plan)
        coupon = self.office.v1.coupons.create({"percent_off": 25, "duration": "repeating", "duration_in_months": 2})
        self.office.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "AUTUMN"})
        self.users = [
            get_user_model().objects.create_user(f"user{number}@example.com", "a long password")
            for number in range(USERS)
        ]

    def begin(self, start: int, seed: int) -> None:
        """A new history: nobody has anything. start: Unix seconds, not before EPOCH."""
        self.sandbox.restore_state(self._template)
        self._reset()
        self.now = start
        # Another stream than that of the scene, whose ids are taken.
        self._random.seed(f"history {seed}")

    def _reset(self) -> None:
        self.sandbox.chaos.forget_everything()
        self._fresh: list[dict[str, Any]] = []
        self.server._late = []
        self._processed: set[str] = set()
        self._customers: dict[int, str] = {}
        self._tabs: list[list[str]] = [[] for _ in range(USERS)]
        self._dies_at: tuple[int, str] | None = None
        self.forfeited: set[str] = set()  # subscriptions that the user has ended before what was paid was over

    def time(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def _token(self, length: int) -> str:
        return "".join(self._random.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz", k=length))

    def _note_event(self, event: dict[str, Any]) -> None:
        self._fresh.append(event)

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        """At Stripe, now; what fell due has happened."""
        with self.sandbox.clock.at(self.now):
            self.sandbox.run_due_work()
            yield

    # ------------------------------------------------------------------------------------------ looking
    def customer(self, user: int) -> str | None:
        """Their id at Stripe; None: they have never bought anything."""
        if user not in self._customers:
            account = BillingAccount.objects.filter(user_id=self.users[user].pk, stripe_customer_id__isnull=False)
            for customer_id in account.values_list("stripe_customer_id", flat=True):
                self._customers[user] = customer_id
        return self._customers.get(user)

    def found(self, object_type: str, **equal: Any) -> list[dict[str, Any]]:
        """Stripe's objects as they are now, oldest first."""
        with self._present():
            return [self.sandbox.render(document) for document in self.sandbox.store.find(object_type, equal)]

    def subscriptions(self, user: int) -> list[dict[str, Any]]:
        customer = self.customer(user)
        return self.found("subscription", customer=customer) if customer else []

    def charges(self, user: int) -> list[dict[str, Any]]:
        customer = self.customer(user)
        return [charge for charge in self.found("charge", customer=customer) if charge["paid"]] if customer else []

    def paid_cents(self, user: int) -> int:
        return sum(charge["amount"] for charge in self.charges(user))

    def _state(self, user: int) -> Any:
        """What a refused payment must leave as it was."""
        schedules = {one["id"]: one for one in self.found("subscription_schedule", customer=self.customer(user))}
        shown = []
        for one in self.subscriptions(user):
            if one["status"] in LIVE:
                item = next(i for i in one["items"]["data"] if i["price"]["recurring"]["usage_type"] == "licensed")
                schedule = schedules.get(one["schedule"] or "")
                phases = [phase["items"][0]["price"] for phase in schedule["phases"]] if schedule else []
                shown.append((one["id"], one["status"], item["price"]["id"], one["cancel_at"], phases[-1:]))
        return self.paid_cents(user), shown

    # ------------------------------------------------------------------------------------------ our services
    def _press(self, user: int, call: Callable[[], Any], again: int = 0, *, pays: bool = False) -> Any:
        """What a request does, pressed `again` times more while no answer comes. Returns the result, or the refusal.

        pays: it may be refused for the card's sake, and then must have changed nothing.
        """
        outcome: Any = None
        for _ in range(again + 1):
            before = self._state(user) if pays else None
            try:
                return call()
            except Killed as death:
                self._dies_at, outcome = None, death
            except StripeUnavailable as error:
                outcome = error
            except StripeRefused as error:
                raise BrokenPromise(f"Stripe refused what we asked of it: {error.__cause__}") from error
            except DomainError as error:
                self._keep_page(user, error)
                if isinstance(error, PaymentFailed) and not isinstance(error, AuthenticationRequired):
                    after = self._state(user) if pays else "a refusal of a card that nobody used"
                    if after != before:
                        raise BrokenPromise(f"A declined payment has changed something: {before} -> {after}") from error
                return error
            except BrokenPromise:
                raise
            except Exception as error:
                raise BrokenPromise(f"A request was answered 500: {type(error).__name__}: {error}") from error
        return outcome

    def _keep_page(self, user: int, error: DomainError) -> None:
        url = str(error.details.get("checkout_url") or "")
        if "/c/pay/" in url:
            self._tabs[user].append(url.rsplit("/", 1)[-1])

    def _count_down_to_death(self, moment: str) -> None:
        if self._dies_at is None:
            return
        calls_left, when = self._dies_at
        if when == moment and calls_left <= 1:
            raise Killed()
        if moment == "after":
            self._dies_at = (calls_left - 1, when)

    def do_checkout(self, user: int, plan: str, months: int, again: int = 0) -> None:
        """ "Buy" on the pricing page: a tab with Stripe's page opens."""
        wanted = self.plans[plan].pk
        url = self._press(user, lambda: checkout.start_checkout(self.users[user], wanted, months), again)
        if isinstance(url, str):
            self._tabs[user].append(url.rsplit("/", 1)[-1])

    def do_buy(self, user: int, plan: str, months: int, quote: int | None = None, again: int = 0) -> None:
        """Choose a plan in the account; quote: the preview is confirmed that many seconds later. None: no preview."""
        person, wanted = self.users[user], self.plans[plan].pk
        token, total = "", None
        if quote is not None:
            preview = self._press(user, lambda: subscriptions.preview_purchase(person, wanted, months), again)
            if isinstance(preview, DomainError | Killed):
                return
            token, total = preview.token, preview.total_cents
            self.now += quote
        before = self.paid_cents(user)
        plan_now = self._press(
            user, lambda: subscriptions.purchase_plan(person, wanted, months, quote=token), again, pays=True
        )
        if total is not None and not isinstance(plan_now, DomainError | Killed):
            charged = self.paid_cents(user) - before
            if charged != total:
                raise BrokenPromise(f"The quote said {total} cents, {charged} were charged")

    def do_cancel(self, user: int, immediately: bool = False, again: int = 0) -> None:
        before = {one["id"] for one in self.subscriptions(user) if one["status"] in LIVE}
        self._press(user, lambda: subscriptions.cancel_plan(self.users[user], immediately=immediately), again)
        over = {one["id"] for one in self.subscriptions(user) if one["status"] not in LIVE}
        self.forfeited |= before & over

    def do_resume(self, user: int, again: int = 0) -> None:
        self._press(user, lambda: subscriptions.resume_plan(self.users[user]), again)

    def do_come_back(self, user: int, tab: int = -1) -> None:
        """The way back from Stripe's page, also reloaded later."""
        if self._tabs[user]:
            session = self._tabs[user][tab % len(self._tabs[user])]
            self._press(user, lambda: checkout.confirm_checkout(self.users[user], session))

    def do_look(self, user: int) -> None:
        """The account page's invoices and the portal's link."""
        self._press(user, lambda: invoices.list_invoices(self.users[user]))
        self._press(user, lambda: portal.portal_url(self.users[user]))

    def do_reconcile(self, user: int) -> None:
        self._press(user, lambda: sync_user(self.users[user].pk, disputes=True))

    def do_kill(self, calls: int, moment: str) -> None:
        """The process dies at the n-th call to Stripe from now, before it was sent or after it was answered."""
        self._dies_at = (calls, moment)

    # ------------------------------------------------------------------------------------------ Stripe's pages
    def do_pay(
        self,
        user: int,
        card: str = "4242424242424242",
        challenge: str = "succeed",
        tab: int = -1,
        code: str = "",
        returns: bool = True,
    ) -> None:
        """Pay in one of the open tabs; returns: the browser comes back to us."""
        if not self._tabs[user]:
            return
        session = self._tabs[user][tab % len(self._tabs[user])]
        with self._at_stripe():
            if code:
                with contextlib.suppress(StripeError), self.sandbox.transaction():
                    session_life.enter_code(self.sandbox, self.sandbox.get("checkout.session", session), code)
            self.server.pay(session, card=card, challenge=challenge)
        if returns:
            self.do_come_back(user, tab)

    @contextlib.contextmanager
    def _at_stripe(self) -> Iterator[None]:
        """Somebody uses Stripe's own pages: what they refuse there is between the two."""
        with self._present(), contextlib.suppress(StripeError, CardDeclined, stripe_sdk.StripeError):
            yield

    def do_card(self, user: int, card: str) -> None:
        """Another card takes the place of the default."""
        customer = self.customer(user)
        if customer:
            with self._at_stripe():
                self.server.card_works_again(customer, card)

    def do_pay_bill(self, user: int, card: str | None = None, challenge: str = "succeed", newest: bool = True) -> None:
        """Pay an open invoice on its page."""
        customer = self.customer(user)
        waiting = self.found("invoice", customer=customer, status="open") if customer else []
        if waiting:
            with self._at_stripe():
                self.server.pay_invoice(waiting[-1 if newest else 0], card, challenge=challenge)

    def do_portal(self, user: int, what: str) -> None:
        """cancel: sets only cancel_at. keep: takes it back. card: another card."""
        customer = self.customer(user)
        if not customer:
            return
        with self._at_stripe(), contextlib.suppress(ValueError):  # none, or two, to choose from
            session = self.office.v1.billing_portal.sessions.create({"customer": customer})
            visit = self.server.portal(session.id)
            {"cancel": visit.cancel, "keep": visit.keep, "card": visit.change_card}[what]()

    # ------------------------------------------------------------------------------------------ Stripe's dashboard
    def do_refund(self, user: int, half: bool) -> None:
        """Staff give back the last payment, or half of it."""
        charges = [one for one in self.charges(user) if not one["refunded"]]
        if charges:
            left = charges[-1]["amount"] - charges[-1]["amount_refunded"]
            with self._at_stripe():
                amount = max(1, left // 2 if half else left)
                self.office.v1.refunds.create({"charge": charges[-1]["id"], "amount": amount})

    def do_sell_by_hand(self, user: int, plan: str) -> None:
        """Staff start a subscription in the dashboard, whatever there is already."""
        customer = self.customer(user)
        price = PlanPrice.objects.filter(plan=self.plans[plan], months=1).first()
        cards = self.found("payment_method", customer=customer) if customer else []
        if customer and price and cards:
            with self._at_stripe():
                self.office.v1.subscriptions.create(
                    {
                        "customer": customer,
                        "items": [{"price": price.stripe_price_id}],
                        "default_payment_method": cards[-1]["id"],
                        "payment_behavior": "error_if_incomplete",
                    }
                )

    def do_dispute_ends(self, user: int, won: bool) -> None:
        evidence = "winning_evidence" if won else "losing_evidence"
        mine = {charge["id"] for charge in self.charges(user)}
        for dispute in self.found("dispute"):
            if dispute["charge"] in mine:
                with self._at_stripe():
                    self.office.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": evidence}})

    # ------------------------------------------------------------------------------------------ time and chaos
    def do_wait(self, seconds: int) -> None:
        self.now += seconds
        with self._present():
            pass

    def do_wait_for_the_period_end(self, user: int, seconds: int) -> None:
        """Until so many seconds after (or before) the user's period ends."""
        ends = [
            item["current_period_end"]
            for one in self.subscriptions(user)
            if one["status"] in LIVE
            for item in one["items"]["data"]
        ]
        if ends:
            self.do_wait(max(0, max(ends) + seconds - self.now))

    def do_chaos(self, seed: int, **switches: float) -> None:
        self.server.chaos(seed=seed, **switches)

    def do_deliver(self, most: int = 3) -> None:
        """Stripe's events arrive, as chaos lets them. most: of a burst about one customer only that many are posted;
        each says no more than "look", so those left out are as good as dropped."""
        self._deliver(self._arriving(), most)

    def _arriving(self) -> list[Delivery]:
        fresh, self._fresh = self._fresh, []
        with self._present():
            return [Delivery(event, b"", {}) for event in self.server._disturbed(fresh)]

    def _deliver(self, deliveries: list[Delivery], most: int) -> None:
        rung: dict[Any, int] = {}
        for delivery in deliveries:
            thing = delivery.event["data"]["object"]
            about = thing.get("customer") or thing.get("id")
            if not delivery.type.startswith(tuple(webhooks.FAMILIES)) or rung.get(about, 0) >= most:
                continue
            rung[about] = rung.get(about, 0) + 1
            self.post(delivery.event)

    def post(self, event: dict[str, Any]) -> None:
        """One event at our door. Without the mirror: webhooks.process with nothing in it but our look."""
        if event["id"] in self._processed:
            return

        def post() -> None:
            # Signatures keep to real time: our webhook checks them against its own clock.
            body, headers = deliveries.signed(event, int(time.time()), self.server.webhook_secret)
            answer = Client().post("/api/stripe/webhook", body, content_type="application/json", headers=headers)
            if answer.status_code not in (200, 503):
                raise BrokenPromise(f"{event['type']} was answered {answer.status_code}: {answer.content!r}")

        def look() -> None:
            with webhooks._lock_of(event) as account, transaction.atomic():
                if account:
                    sync_locked(account, disputes=event["type"].startswith("charge.dispute."))
            self._processed.add(event["id"])

        try:
            (post if self._mirror else look)()
        except Killed:
            self._dies_at = None
        except StripeUnavailable:
            pass
        except BrokenPromise:
            raise
        except StripeRefused as error:
            raise BrokenPromise(f"Stripe refused what a webhook asked of it: {error.__cause__}") from error
        except Exception as error:
            raise BrokenPromise(f"A webhook was answered 500: {type(error).__name__}: {error}") from error

    # ------------------------------------------------------------------------------------------ healing
    def heal(self) -> None:
        """Everything works again; then the sweep of the inbox, and what the night does: one look per user. Nothing is
        repeated."""
        self.server.heal()
        self._dies_at = None
        if self._mirror:
            self._sweep()
        for user in range(USERS):
            if self.customer(user):
                refused = self._press(user, lambda user=user: sync_user(self.users[user].pk, disputes=True))
                if isinstance(refused, DomainError):
                    raise BrokenPromise(f"The reconcile was refused: {refused!r}") from refused

    def _sweep(self) -> None:
        self.do_wait(60)
        sweep_webhooks()
        for left in WebhookEventTrigger.objects.filter(valid=True, processed=False):
            raise BrokenPromise(f"{left.json_body['type']} cannot be processed: {left.exception} {left.traceback}")
