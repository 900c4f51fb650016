"""How a mail leaves the outbox: after the commit, once, and in the end also when the mail server was down."""

import smtplib
import threading
from datetime import timedelta

import pytest
from django.core import mail as django_mail
from django.db import connections
from django.test import TestCase
from django.utils import timezone

from billing import outbox
from billing.models import BillingAccount, BillingMail
from billing.subscriptions import purchase_plan
from billing.tasks import send_billing_mail, sweep_billing_mails
from datilio.mailer import send

FREE = {"plan": "Explorer", "months": 1, "cents": 0}


@pytest.fixture
def waiting(alice):
    """A mail to Alice that was written and not sent."""
    BillingAccount.objects.create(user=alice)
    return BillingMail.objects.create(user=alice, kind="started", key="started:sub_1", facts=FREE)


@pytest.fixture
def server(monkeypatch):
    """A mail server: `server.down` is what it raises, `server.sent` what it took."""

    class Server:
        down = None
        sent: list = []

    Server.sent = []

    def send_or_fail(*args, **kwargs):
        if Server.down:
            raise Server.down
        Server.sent.append(args)
        send(*args, **kwargs)

    monkeypatch.setattr(outbox, "send", send_or_fail)
    return Server


def let_pass(monkeypatch, **time):
    later = timezone.now() + timedelta(**time)
    monkeypatch.setattr(timezone, "now", lambda: later)


def committed():
    """The block's transaction commits where the block ends (a test's own transaction never does)."""
    return TestCase.captureOnCommitCallbacks(execute=True)


def sweep():
    with committed():
        sweep_billing_mails()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_is_sent_after_the_commit_to_the_address_of_the_log_in(alice, plans, mailoutbox):
    purchase_plan(alice, plans["explorer"].pk, 1)
    [mail] = mailoutbox
    assert (mail.to, mail.subject) == ([alice.email], "You are on Explorer")
    assert mail.alternatives[0].mimetype == "text/html"
    assert BillingMail.objects.get().sent_at


@pytest.mark.django_db
def test_nothing_is_sent_before_the_commit(alice, plans, mailoutbox):
    purchase_plan(alice, plans["explorer"].pk, 1)
    assert BillingMail.objects.get().sent_at is None
    assert mailoutbox == []


@pytest.mark.django_db
def test_it_goes_to_the_address_that_is_theirs_when_it_is_sent(alice, waiting, mailoutbox):
    alice.email = "alice@new.example"
    alice.save()
    assert outbox.deliver(waiting.key)
    assert mailoutbox[0].to == ["alice@new.example"]


@pytest.mark.django_db
@pytest.mark.parametrize("failure", [ConnectionRefusedError(), TimeoutError(), smtplib.SMTPServerDisconnected()])
def test_a_mail_server_that_is_down_breaks_no_purchase_and_the_sweep_sends(
    alice, plans, server, mailoutbox, monkeypatch, failure
):
    server.down = failure
    with committed():
        assert purchase_plan(alice, plans["explorer"].pk, 1).plan == plans["explorer"]
    assert BillingMail.objects.get().attempts == 1
    server.down = None
    sweep()
    assert mailoutbox == []  # not before its time
    let_pass(monkeypatch, minutes=2)
    sweep()
    sweep()
    assert len(mailoutbox) == 1
    assert BillingMail.objects.get().sent_at


@pytest.mark.django_db
def test_a_queue_that_is_down_breaks_no_purchase_and_the_sweep_sends(alice, plans, mailoutbox, monkeypatch):
    def refuse(*args):
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(send_billing_mail, "delay", refuse)
        with committed():
            purchase_plan(alice, plans["explorer"].pk, 1)
    assert mailoutbox == []
    sweep()
    assert len(mailoutbox) == 1


@pytest.mark.django_db
def test_it_waits_longer_each_time_and_is_given_up_in_the_end(waiting, server, monkeypatch, caplog):
    server.down = ConnectionRefusedError()
    waits = []
    for _ in range(outbox.MAX_ATTEMPTS + 2):
        outbox.deliver(waiting.key)
        waiting.refresh_from_db()
        waits.append(waiting.try_after - timezone.now())
        let_pass(monkeypatch, hours=7)
    assert waiting.attempts == outbox.MAX_ATTEMPTS
    assert waits[0] < waits[1] < waits[2]
    assert max(waits) <= outbox.LONGEST_WAIT
    assert "given up" in caplog.text
    assert "alice@example.com" not in caplog.text
    server.down = None
    sweep()
    assert server.sent == []


@pytest.mark.django_db
def test_staff_can_have_it_tried_again(client, staff, waiting, mailoutbox):
    BillingMail.objects.update(attempts=outbox.MAX_ATTEMPTS)
    client.force_login(staff)
    with committed():
        client.post("/admin/billing/billingmail/", {"action": "send_now", "_selected_action": [waiting.pk]})
    assert len(mailoutbox) == 1
    page = client.get(f"/admin/billing/billingmail/{waiting.pk}/change/").content.decode()
    assert "You are on Explorer" in page
    assert client.get("/admin/billing/billingmail/?sent_at__isempty=1").status_code == 200


@pytest.mark.django_db
def test_one_bad_address_does_not_keep_the_others_waiting(alice, bob, waiting, mailoutbox, monkeypatch):
    BillingAccount.objects.create(user=bob)
    BillingMail.objects.create(user=bob, kind="started", key="started:sub_2", facts=FREE)

    def refuse_alice(subject, text, html, recipients, **rest):
        if recipients == [alice.email]:
            raise smtplib.SMTPRecipientsRefused({})
        send(subject, text, html, recipients, **rest)

    monkeypatch.setattr(outbox, "send", refuse_alice)
    sweep()
    assert [mail.to for mail in mailoutbox] == [[bob.email]]


@pytest.mark.django_db
def test_who_dies_before_noting_it_sends_the_same_mail_once_more(waiting, mailoutbox, monkeypatch):
    """At worst a mail comes twice, and then as the same one: its Message-ID says so."""

    class Killed(BaseException):
        pass

    def send_and_die(*args, **kwargs):
        send(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(outbox, "send", send_and_die)
        with pytest.raises(Killed):
            outbox.deliver(waiting.key)
    sweep()
    assert len(mailoutbox) == 1  # the lease still runs
    let_pass(monkeypatch, minutes=6)
    sweep()
    sweep()
    assert len(mailoutbox) == 2
    assert mailoutbox[0].extra_headers["Message-ID"] == mailoutbox[1].extra_headers["Message-ID"]


@pytest.mark.django_db
def test_a_closed_account_is_told_nothing_more(alice, waiting, mailoutbox):
    BillingAccount.objects.update(closed_at=timezone.now())
    assert not outbox.deliver(waiting.key)
    assert not BillingMail.objects.exists()
    account = BillingAccount.objects.get()
    outbox.write(account, [outbox.Event("started:sub_2", lambda: ("started", FREE))])
    assert not BillingMail.objects.exists()
    assert mailoutbox == []


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_send_it_once(waiting, mailoutbox):
    start, sent = threading.Barrier(8), []

    def work():
        start.wait(30)
        try:
            sent.append(outbox.deliver(waiting.key))
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(sent) == [False] * 7 + [True]
    assert len(mailoutbox) == 1
    assert django_mail.outbox[0].subject == "You are on Explorer"


@pytest.mark.django_db
def test_a_mail_that_waits_is_no_reason_to_write_it_again(alice, plans, stripe, waiting):
    account = BillingAccount.objects.get(user=alice)
    calls = []
    event = outbox.Event(waiting.key, lambda: calls.append("asked") or ("started", FREE))
    outbox.write(account, [event, event])
    assert (BillingMail.objects.count(), calls) == (1, [])
