"""`manage.py reconcile`: compare users, subscriptions, plans and events with Stripe, heal, tell the rest."""

import sys
import time
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Q

from billing import reconcile
from billing.drift import KINDS, in_words
from billing.errors import StripeUnavailable
from billing.models import BillingAccount, Drift, ReconcileRun

# What a shell or a cron job can tell apart; 0: nothing is left. (2 is argparse's, for what was asked wrongly.)
DRIFT_LEFT, ASKED_WRONGLY, INTERRUPTED = 1, 2, 3
LINE_EVERY_SECONDS = 10
BAR = 30
MOST_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Compare everything with Stripe, heal what can be healed, report the rest with its reason. Stopped in the "
        "middle it goes on where it was. Exit code 0: nothing is left; 1: drift is left; 3: stopped, run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Change nothing, here or at Stripe; only report.")
        parser.add_argument("--user", metavar="EMAIL_OR_ID", help="This user only.")
        parser.add_argument("--restart", action="store_true", help="Begin anew instead of going on with a stopped run.")

    def handle(self, *args: Any, dry_run: bool, user: str | None, restart: bool, **options: Any) -> None:
        if user:
            run = reconcile.begin(reconcile.COMMAND, dry_run=dry_run, only_user=_find(user))
        else:
            known = None if restart else reconcile.unfinished(reconcile.COMMAND, dry_run=dry_run)
            run = known or reconcile.begin(reconcile.COMMAND, dry_run=dry_run)
            if known:
                self.stdout.write(f"Going on with the run of {run.started_at:%Y-%m-%d %H:%M} UTC.")
        progress = _Progress(self.stdout, 1 if user else reconcile.users_to_check())
        try:
            reconcile.work(run, on_step=progress.show)
        except reconcile.RunAtWork as error:
            raise CommandError(f"{error} is at it right now.", returncode=INTERRUPTED) from error
        except StripeUnavailable as error:
            progress.end()
            raise CommandError(
                f"Stripe does not answer at {settings.STRIPE_API_HOST}. Run the command again: it goes on from here.",
                returncode=INTERRUPTED,
            ) from error
        except KeyboardInterrupt:
            progress.end()
            raise CommandError("Stopped. Run it again: it goes on from here.", returncode=INTERRUPTED) from None
        progress.end()
        self._report(run)
        if run.drifts.filter(is_healed=False).exists():
            sys.exit(DRIFT_LEFT)

    def _report(self, run: ReconcileRun) -> None:
        self.stdout.write(f"{run.users_checked} user(s) checked{', nothing changed (dry run)' * run.is_dry_run}.")
        healed = Count("pk", Q(is_healed=True))
        for row in run.drifts.values("kind").order_by("kind").annotate(healed=healed, all=Count("pk")):
            left = row["all"] - row["healed"]
            self.stdout.write(f"{KINDS[row['kind']]}: {row['healed']} healed, {left} left")
        left_over = run.drifts.filter(is_healed=False).select_related("user").order_by("pk")
        for drift in left_over[:MOST_SHOWN]:
            self.stdout.write(f"  {_line(drift)}")
        if (more := left_over.count() - MOST_SHOWN) > 0:
            self.stdout.write(f"  and {more} more: see the admin, Drifts.")
        if not run.drifts.exists():
            self.stdout.write("Nothing differs.")


def _line(drift: Drift) -> str:
    who = f"{drift.user} " if drift.user else ""
    return f"{drift.kind}: {who}{drift.subject}. {drift.reason} {in_words(drift.changes)}".rstrip()


def _find(word: str) -> AbstractBaseUser:
    users = get_user_model().objects
    by = Q(pk=int(word)) if word.isdecimal() and len(word) < 19 else Q(email=word.lower())
    user = users.filter(by).first()
    if user is None:
        raise CommandError(f"There is no user {word}.", returncode=ASKED_WRONGLY)
    if not BillingAccount.objects.filter(user_id=user.pk, stripe_customer_id__isnull=False).exists():
        said = f"{word} has never bought anything: there is nothing at Stripe to compare with."
        raise CommandError(said, returncode=ASKED_WRONGLY)
    return user


class _Progress:
    """A bar on a terminal; elsewhere (cron, a log) a line every ten seconds."""

    def __init__(self, out: Any, total: int) -> None:
        self.out, self.total = out, total
        self.is_terminal = out.isatty()
        self.told_at = time.monotonic()
        self.is_drawn = False

    def show(self, run: ReconcileRun) -> None:
        now = time.monotonic()
        if now - self.told_at < (0.1 if self.is_terminal else LINE_EVERY_SECONDS):
            return
        self.told_at = now
        stage = ReconcileRun.Stage(run.stage).label
        done = run.users_checked
        # Somebody may have come since we counted.
        share = min(1.0, done / self.total) if self.total else 1.0
        if self.is_terminal:
            bar = "#" * round(BAR * share)
            self.out.write(f"\r[{bar:<{BAR}}] {share:4.0%} {done} users, {stage}\033[K", ending="")
            self.out.flush()
            self.is_drawn = True
        else:
            self.out.write(f"{share:.0%}: {done} of {self.total} users, {stage}")

    def end(self) -> None:
        if self.is_drawn:
            self.out.write("\r\033[K", ending="")
