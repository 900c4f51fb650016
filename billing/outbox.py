"""The mails that wait in our database, and how each leaves it once.

A row is written in the transaction of the change that it tells of (`write`), so that a mail is neither sent for what
was rolled back nor lost with a process that dies. After the commit the queue is rung, and a sweep sends what is left:
a mail server that is down never reaches a customer as an error. Who dies between handing a mail over and noting it
leaves a mail that is sent once more when its lease has run out; its Message-ID is the same, so that mail programs that
look at it show it once.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from billing import emails
from billing.models import BillingAccount, BillingMail
from datilio.celery import ring
from datilio.mailer import MAIL_SERVER_FAILED, send

logger = logging.getLogger(__name__)

# A worker that died is given up after this long; a mail server that takes longer is one that failed.
LEASE = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=6)
# About three days with the waits of `_wait`; then somebody has to look.
MAX_ATTEMPTS = 20
SWEEP_AT_MOST = 500


@dataclass(frozen=True)
class Event:
    """Something that is worth a mail. tell: called only when nothing was written for `key` yet; returns the kind of
    mail and the facts that it is written from (see billing/emails.py), or None when it turns out to be nothing."""

    key: str
    tell: Callable[[], tuple[str, dict[str, Any]] | None]


def write(account: BillingAccount, events: Iterable[Event]) -> None:
    """Put a mail into the outbox for each event that was not told yet, and ring. Call it inside the transaction of the
    change; what is rolled back is not told. A closed account is told nothing more."""
    events = list(events)
    if not events or account.closed_at:
        return
    told = set(BillingMail.objects.filter(key__in=[event.key for event in events]).values_list("key", flat=True))
    for event in events:
        if event.key in told or (mail := event.tell()) is None:
            continue
        kind, facts = mail
        # Two at once (a reminder by two workers): the second finds the key taken and writes nothing.
        BillingMail.objects.bulk_create(
            [BillingMail(user_id=account.user_id, kind=kind, key=event.key, facts=facts)], ignore_conflicts=True
        )
        told.add(event.key)
        _ring(event.key)


def deliver(key: str) -> bool:
    """Send the mail if it is due and nobody else is at it. Never raises for a mail server; True when it was sent."""
    if not _claim(key):
        return False
    # The address of now: it may have been changed since.
    mail = BillingMail.objects.select_related("user__billing_account").get(key=key)
    if mail.user.billing_account.closed_at:
        # Its address is gone, and closing it has sent a mail of its own.
        mail.delete()
        return False
    written = emails.write(mail.kind, mail.facts)
    try:
        send(written.subject, written.text, written.html, [mail.user.email], message_id=_message_id(mail))
    except MAIL_SERVER_FAILED:
        _put_off(mail)
        return False
    BillingMail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())
    return True


def due_keys(now: datetime) -> list[str]:
    """The mails that should have left by now, oldest first."""
    due = BillingMail.objects.filter(sent_at__isnull=True, try_after__lte=now, attempts__lt=MAX_ATTEMPTS)
    return list(due.order_by("try_after", "pk").values_list("key", flat=True)[:SWEEP_AT_MOST])


def try_again(mails: QuerySet[BillingMail]) -> int:
    """Give those that were not sent a fresh start, the given up ones too; returns how many."""
    left = list(mails.filter(sent_at__isnull=True).values_list("key", flat=True))
    BillingMail.objects.filter(key__in=left, sent_at__isnull=True).update(attempts=0, try_after=timezone.now())
    for key in left:
        _ring(key)
    return len(left)


def _ring(key: str) -> None:
    from billing.tasks import send_billing_mail

    ring(send_billing_mail, key)


def _claim(key: str) -> bool:
    """Take the mail for the time of a lease: of many workers one gets it. No lock is held while a mail server talks."""
    now = timezone.now()
    due = BillingMail.objects.filter(key=key, sent_at__isnull=True, try_after__lte=now, attempts__lt=MAX_ATTEMPTS)
    return bool(due.update(attempts=F("attempts") + 1, try_after=now + LEASE))


def _put_off(mail: BillingMail) -> None:
    if mail.attempts >= MAX_ATTEMPTS:
        logger.exception("The mail %s could not be sent and is given up", mail.pk)
    else:
        logger.warning("The mail %s could not be sent (try %s); the sweep tries again", mail.pk, mail.attempts)
    BillingMail.objects.filter(pk=mail.pk).update(try_after=timezone.now() + _wait(mail.attempts))


def _wait(attempts: int) -> timedelta:
    """1, 2, 4, ... minutes after so many tries, six hours at most."""
    return min(timedelta(minutes=2 ** (attempts - 1)), LONGEST_WAIT)


def _message_id(mail: BillingMail) -> str:
    """Made of the event, so that a mail that has to be sent twice is the same mail."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{hashlib.sha256(mail.key.encode()).hexdigest()[:40]}@{domain}>"
