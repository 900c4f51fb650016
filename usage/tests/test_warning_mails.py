"""The mails about thresholds: each once per window, through the outbox of billing."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from billing.models import BillingAccount, BillingMail, UserPlan
from usage import tasks, warning_mails
from usage.batches import record_batch
from usage.holds import hold, settle
from usage.limits import limits_of
from usage.models import UsageAlert
from usage.tests.conftest import NOON
from usage.uses import use_of
from usage.warning_choices import Choice, set_warning_choices


@pytest.fixture
def customer(alice, give_plan):
    BillingAccount.objects.create(user=alice)
    give_plan(alice, start=NOON - timedelta(days=20))
    return alice


def test_each_threshold_is_told_once(customer, use, tell):
    use(customer, "synthetic_rows", 800)
    assert tell() == ["Your synthetic rows: 80 % of the monthly limit"]
    use(customer, "synthetic_rows", 100)
    assert tell() == []
    use(customer, "synthetic_rows", 50)
    assert tell() == ["Your synthetic rows: 95 % of the monthly limit"]
    use(customer, "synthetic_rows", 50)
    assert tell() == ["Your synthetic rows have reached the monthly limit"]
    assert tell() == []


def test_the_use_that_reaches_it_rings_for_the_mail(customer, use, django_capture_on_commit_callbacks):
    """Without waiting for the sweep, and without a word of the mail in the transaction of the use."""
    now = timezone.now()
    with django_capture_on_commit_callbacks(execute=True):
        use(customer, "synthetic_rows", 850, now=now)
    assert [one.subject for one in mail.outbox] == ["Your synthetic rows: 80 % of the monthly limit"]
    assert mail.outbox[0].to == ["alice@example.com"]
    assert "You have used 850 of the 1,000 rows that Small allows." in mail.outbox[0].body


def test_a_batch_and_a_hold_that_is_settled_ring_as_well(customer, django_capture_on_commit_callbacks):
    now = timezone.now()
    with django_capture_on_commit_callbacks(execute=True):
        event = use_of(customer.pk, "synthetic_rows", 800, source="test", key="of-a-batch")
        record_batch([event], source="test", now=now)
    assert len(mail.outbox) == 1
    with django_capture_on_commit_callbacks(execute=True):
        held = hold(customer.pk, "synthetic_rows", 200, source="test", key="h", now=now)
        settle(held.hold["id"], 160, source="test", now=now)
    assert mail.outbox[1].subject == "Your synthetic rows: 95 % of the monthly limit"


def test_the_sweep_tells_what_nobody_rang_for(customer, use, django_capture_on_commit_callbacks):
    now = timezone.now()
    use(customer, "synthetic_rows", 850, now=now)  # its bell is lost: this transaction is never committed
    assert warning_mails.users_to_tell() == [customer.pk]
    with django_capture_on_commit_callbacks(execute=True):
        tasks.sweep_usage_warnings()
    assert len(mail.outbox) == 1
    assert warning_mails.users_to_tell() == []


def test_a_leap_is_told_once_by_the_highest(customer, use, tell):
    use(customer, "synthetic_rows", 1000)
    assert tell() == ["Your synthetic rows have reached the monthly limit"]
    assert UsageAlert.objects.filter(told_at=NOON).count() == 3


def test_features_are_told_one_by_one(customer, use, tell):
    use(customer, "synthetic_rows", 800)
    use(customer, "file_upload", 10)
    assert tell() == ["Your files have reached the limit", "Your synthetic rows: 80 % of the monthly limit"]


def test_the_next_window_is_told_anew(customer, use, tell):
    use(customer, "ai_prompt", 3)
    assert tell() == ["Your AI prompts have reached the daily limit"]
    tomorrow = NOON + timedelta(days=1)
    use(customer, "ai_prompt", 3, now=tomorrow)
    assert tell(tomorrow) == ["Your AI prompts have reached the daily limit"]


def test_what_is_over_or_no_longer_so_is_no_news(customer, use, tell):
    use(customer, "ai_prompt", 3)
    use(customer, "file_upload", 9)
    use(customer, "file_upload", -5)
    assert tell(NOON + timedelta(days=1)) == []
    assert not UsageAlert.objects.filter(told_at=None).exists()


def test_who_wants_no_mails_gets_none_and_still_a_threshold_of_their_own(customer, use, tell):
    set_warning_choices(customer.pk, {"synthetic_rows": Choice(own_threshold=50, mails=False)})
    use(customer, "synthetic_rows", 500)
    assert tell() == ["Your synthetic rows: 50 % of the monthly limit"]
    use(customer, "synthetic_rows", 500)
    assert tell() == []
    assert limits_of(customer.pk, NOON)[3]["status"] == "exceeded"


def test_a_mail_is_written_in_the_transaction_that_notes_it(customer, use, tell, monkeypatch):
    use(customer, "synthetic_rows", 800)

    def broken(*args):
        raise RuntimeError

    monkeypatch.setattr(warning_mails, "write", broken)
    with pytest.raises(RuntimeError):
        tell()
    assert UsageAlert.objects.filter(told_at=None).count() == 1
    monkeypatch.undo()
    assert len(tell()) == 1


def test_an_alert_that_is_looked_at_again_is_not_told_again(customer, use, tell):
    use(customer, "synthetic_rows", 800)
    tell()
    UsageAlert.objects.update(told_at=None)
    assert tell() == []
    assert BillingMail.objects.count() == 1


def test_a_closed_account_is_told_nothing(customer, use, tell):
    use(customer, "synthetic_rows", 800)
    BillingAccount.objects.filter(user=customer).update(closed_at=NOON)
    assert (tell(), BillingMail.objects.count()) == ([], 0)


def test_a_plan_that_has_ended_is_told_nothing(customer, use, tell):
    use(customer, "synthetic_rows", 800)
    UserPlan.objects.update(is_live=False, status="canceled", ended_at=NOON)
    assert (tell(NOON + timedelta(minutes=1)), BillingMail.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_outside_of_any_transaction_the_mail_leaves_with_the_use(alice, give_plan, use):
    """Where one statement is all there is."""
    BillingAccount.objects.create(user=alice)
    now = timezone.now()
    give_plan(alice, start=now - timedelta(days=2))
    use(alice, "synthetic_rows", 850, now=now)
    assert [one.subject for one in mail.outbox] == ["Your synthetic rows: 80 % of the monthly limit"]
    use(alice, "synthetic_rows", 20, now=now)
    assert len(mail.outbox) == 1
    assert UsageAlert.objects.exclude(told_at=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_tell_once(alice, give_plan, use, at_once):
    BillingAccount.objects.create(user=alice)
    give_plan(alice, start=NOON - timedelta(days=20))
    use(alice, "synthetic_rows", 800)
    UsageAlert.objects.update(told_at=None)
    BillingMail.objects.all().delete()
    at_once(4, lambda n: warning_mails.write_mails(alice.pk, NOON))
    assert BillingMail.objects.filter(kind="usage_warning").count() == 1
