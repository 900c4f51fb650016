"""Compare everything with Stripe, in small steps: how far a run is stands in its row, so it goes on after any end.

docs/decisions/0011-how-reconcile-goes-on.md. What is compared and healed: billing/drift.py.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from djstripe.models import WebhookEventTrigger

from billing import stripe_gateway
from billing.customers import locked_account
from billing.drift import Found, check_plan, check_subscriptions, check_trigger, check_user
from billing.errors import StripeUnavailable
from billing.models import BillingAccount, Drift, Plan, ReconcileRun
from billing.usage_drift import check_usage

logger = logging.getLogger(__name__)

Stage = ReconcileRun.Stage
COMMAND, NIGHTLY, ADMIN = ReconcileRun.Source.values
ORDER = [Stage.USERS, Stage.SUBSCRIPTIONS, Stage.CATALOG, Stage.WEBHOOKS, Stage.DONE]
# A worker that has shown no sign of life for so long is gone. (One step is a few calls of ten seconds at most.)
GONE_AFTER = timedelta(minutes=3)
# So many in a row that Stripe does not answer: it is down, and going on would only list everybody.
STRIPE_IS_DOWN = 5
# An event that came this moment is about to be processed.
EVENT_IS_LATE = timedelta(minutes=5)
KEPT_FOR = timedelta(days=90)
BATCH = 200

_sleep = time.sleep


class RunAtWork(Exception):
    """Somebody else is at this run right now."""


def begin(source: str, *, dry_run: bool = False, only_user: AbstractBaseUser | None = None) -> ReconcileRun:
    """A new run. Those of long ago are forgotten; unfinished ones of this kind are given up."""
    ReconcileRun.objects.filter(started_at__lt=timezone.now() - KEPT_FOR).delete()
    if only_user is None:
        _unfinished(source, dry_run).update(finished_at=timezone.now(), worker="")
    return ReconcileRun.objects.create(source=source, is_dry_run=dry_run, only_user=only_user)


def unfinished(source: str, *, dry_run: bool = False) -> ReconcileRun | None:
    """The run of this kind that was not carried to its end."""
    return _unfinished(source, dry_run).order_by("-pk").first()


def _unfinished(source: str, dry_run: bool) -> Any:
    return ReconcileRun.objects.filter(
        source=source, is_dry_run=dry_run, only_user__isnull=True, finished_at__isnull=True
    )


def work(
    run: ReconcileRun, *, seconds: float | None = None, on_step: Callable[[ReconcileRun], None] | None = None
) -> bool:
    """Go on with a run, for so many seconds or to its end. True: it is finished.

    Calls to Stripe keep to settings.RECONCILE_CALLS_PER_SECOND. One user who cannot be checked is told (`not_checked`)
    and does not stop the others. Raises RunAtWork; StripeUnavailable when Stripe is down: the run goes on from there.
    """
    _claim(run)
    until = None if seconds is None else time.monotonic() + seconds
    try:
        with stripe_gateway.paced(stripe_gateway.Pace(settings.RECONCILE_CALLS_PER_SECOND)):
            _Walk(run, until, on_step).go()
    finally:
        run.worker = ""
        run.save(update_fields=["worker"])
    return run.finished_at is not None


def check_one(user: AbstractBaseUser, *, source: str, dry_run: bool = False) -> ReconcileRun:
    """Compare one user, to the end of the run. Raises StripeUnavailable."""
    run = begin(source, dry_run=dry_run, only_user=user)
    work(run)
    return run


def users_to_check() -> int:
    return _accounts().count()


# --- one worker at a time ---------------------------------------------------------------------------------------------


def _claim(run: ReconcileRun) -> None:
    me = f"{socket.gethostname()}:{os.getpid()}"
    with transaction.atomic():
        row = ReconcileRun.objects.select_for_update().get(pk=run.pk)
        if row.worker not in ("", me) and not _is_gone(row):
            raise RunAtWork(row.worker)
        row.worker, row.seen_at = me, timezone.now()
        row.save(update_fields=["worker", "seen_at"])
    run.refresh_from_db()


def _is_gone(run: ReconcileRun) -> bool:
    host, _, pid = run.worker.rpartition(":")
    if host == socket.gethostname():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True  # killed: whoever starts it again need not wait
        except PermissionError:
            pass
    return run.seen_at < timezone.now() - GONE_AFTER


# --- the walk ---------------------------------------------------------------------------------------------------------


def _accounts() -> Any:
    return BillingAccount.objects.filter(stripe_customer_id__isnull=False)


class _Walk:
    """Through the stages, a step at a time. A step's findings and the cursor behind it are written together."""

    def __init__(self, run: ReconcileRun, until: float | None, on_step: Callable[[ReconcileRun], None] | None) -> None:
        self.run, self.until, self.on_step = run, until, on_step
        self.heal = not run.is_dry_run
        self.unanswered: list[str] = []  # the cursors before the steps that Stripe did not answer, in a row

    def go(self) -> None:
        steps: dict[Any, Callable[[], Iterator[tuple[str, Callable[[], None]]]]] = {
            Stage.USERS: self._users,
            Stage.SUBSCRIPTIONS: self._subscriptions,
            Stage.CATALOG: self._plans,
            Stage.WEBHOOKS: self._events,
        }
        while self.run.stage != Stage.DONE:
            for cursor, step in steps[self.run.stage]():
                if self.until is not None and time.monotonic() >= self.until:
                    return
                self._try(cursor, step)
                if self.on_step:
                    self.on_step(self.run)
            self._next_stage()

    def _next_stage(self) -> None:
        run = self.run
        # One user's run has one stage.
        run.stage = Stage.DONE if run.only_user_id else ORDER[ORDER.index(Stage(run.stage)) + 1]
        run.cursor, run.seen_at = "", timezone.now()
        run.finished_at = timezone.now() if run.stage == Stage.DONE else None
        run.save(update_fields=["stage", "cursor", "seen_at", "finished_at"])

    def _try(self, cursor: str, step: Callable[[], None]) -> None:
        before = self.run.cursor
        try:
            try:
                step()
            except StripeUnavailable:
                _sleep(2)
                step()
            self.unanswered = []
        except StripeUnavailable:
            self.unanswered.append(before)
            if len(self.unanswered) >= STRIPE_IS_DOWN:
                self._back_to(self.unanswered[0])
                raise
            self._could_not(cursor, "Stripe did not answer.")
        except Exception as exc:
            logger.exception("Reconcile could not check %s %s", self.run.stage, cursor)
            self._could_not(cursor, f"{type(exc).__name__}. The log says more.")

    def _could_not(self, cursor: str, reason: str) -> None:
        self.run.refresh_from_db()
        is_user = self.run.stage == Stage.USERS
        found = Found(
            "not_checked", f"{self.run.stage} {cursor}"[:255], reason, user_id=int(cursor) if is_user else None
        )
        with transaction.atomic():
            self._record([found], cursor)

    def _back_to(self, cursor: str) -> None:
        """Those that were not answered in a row are checked when the run goes on."""
        run = self.run
        skipped = run.drifts.filter(kind="not_checked", reason="Stripe did not answer.").order_by("-pk")
        run.drifts.filter(pk__in=list(skipped.values_list("pk", flat=True)[: STRIPE_IS_DOWN - 1])).delete()
        if run.stage == Stage.USERS:
            run.users_checked -= STRIPE_IS_DOWN - 1
        run.cursor = cursor
        run.save(update_fields=["cursor", "users_checked"])

    def _record(self, found: Iterable[Found], cursor: str) -> None:
        """In the transaction of the step: what it has found, and that it is done."""
        run = self.run
        Drift.objects.bulk_create(
            [
                Drift(
                    run=run,
                    kind=one.kind,
                    user_id=one.user_id,
                    subject=one.subject,
                    changes=one.changes,
                    reason=one.reason[:500],
                    is_healed=one.is_healed,
                )
                for one in found
            ],
            ignore_conflicts=True,
        )
        checked = run.users_checked + (run.stage == Stage.USERS)
        ReconcileRun.objects.filter(pk=run.pk).update(cursor=cursor, seen_at=timezone.now(), users_checked=checked)
        run.cursor, run.users_checked = cursor, checked

    # --- the stages: each yields (cursor behind the step, step) ---

    def _users(self) -> Iterator[tuple[str, Callable[[], None]]]:
        accounts = _accounts()
        if self.run.only_user_id:
            accounts = accounts.filter(user_id=self.run.only_user_id)
        after = int(self.run.cursor or 0)
        while ids := list(accounts.filter(user_id__gt=after).order_by("user_id").values_list("pk", flat=True)[:BATCH]):
            for after in ids:
                yield str(after), lambda user_id=after: self._user(user_id)  # type: ignore[misc]

    def _user(self, user_id: int) -> None:
        with locked_account(user_id) as account:
            found = check_user(account, heal=self.heal)
            # Of a customer whom Stripe does not know it says nothing else either.
            if all(one.kind != "customer_missing" for one in found):
                found += check_usage(account, heal=self.heal)
            self._record(found, str(user_id))

    def _subscriptions(self) -> Iterator[tuple[str, Callable[[], None]]]:
        while True:
            page: list[Any] = []

            def step(page: list[Any] = page) -> None:
                page[:] = self._page()
                found = check_subscriptions(page, heal=self.heal)
                with transaction.atomic():
                    self._record(found, page[-1]["id"] if page else self.run.cursor)

            before = self.run.cursor
            yield before, step
            if not page or self.run.cursor == before:
                return

    def _page(self) -> list[Any]:
        try:
            return stripe_gateway.page_of_subscriptions(after=self.run.cursor).data
        except stripe_gateway.ResourceMissing:
            # The one that we stopped at is gone: once more from the beginning.
            return stripe_gateway.page_of_subscriptions().data

    def _plans(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for plan in Plan.objects.filter(pk__gt=int(self.run.cursor or 0)).order_by("pk"):
            yield str(plan.pk), lambda plan=plan: self._plan(plan)  # type: ignore[misc]

    def _plan(self, plan: Plan) -> None:
        found = check_plan(plan, heal=self.heal)
        with transaction.atomic():
            self._record(found, str(plan.pk))

    def _events(self) -> Iterator[tuple[str, Callable[[], None]]]:
        late = WebhookEventTrigger.objects.filter(
            valid=True, processed=False, created__lt=timezone.now() - EVENT_IS_LATE
        )
        after = int(self.run.cursor or 0)
        while ids := list(late.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH]):
            for after in ids:
                yield str(after), lambda trigger_id=after: self._event(trigger_id)  # type: ignore[misc]

    def _event(self, trigger_id: int) -> None:
        found: list[Found] = []
        with suppress(WebhookEventTrigger.DoesNotExist):
            found = check_trigger(WebhookEventTrigger.objects.get(pk=trigger_id), heal=self.heal)
        with transaction.atomic():
            self._record(found, str(trigger_id))
