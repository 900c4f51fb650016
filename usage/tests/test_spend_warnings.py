"""Warnings of the customer's own cap in dollars: alert rows with the use that reaches them, one mail for each level."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from billing.models import BillingAccount, BillingMail
from usage import warning_mails
from usage.batches import record_batch
from usage.costs import SPEND
from usage.holds import hold, settle
from usage.limits import limits_of, warnings_of
from usage.metering import record_prompt
from usage.models import UsageAlert, UsageCounter
from usage.spending import remove_spend_cap, set_spend_cap
from usage.tests.conftest import NOON
from usage.uses import use_of
from usage.warning_choices import Choice, set_warning_choices

CENT = 2_500  # tokens for a cent, at 4 dollars a million
CAP = 100


@pytest.fixture
def paying(alice, give_plan):
    BillingAccount.objects.create(user=alice)
    give_plan(alice, start=NOON - timedelta(days=20), token_price_cents=400)
    set_spend_cap(alice.pk, CAP, NOON)
    return alice


@pytest.fixture
def spend(paying, use):
    """spend(cents, **arguments of record)."""
    return lambda cents, **arguments: use(paying, "ai_token", int(cents * CENT), **arguments)


def alerts():
    return list(UsageAlert.objects.order_by("threshold").values_list("feature", "threshold"))


AT_80, AT_95 = (f"Your AI costs: {percent} % of your cap of $1.00" for percent in (80, 95))
AT_100 = "Your AI costs have reached your cap of $1.00"


# --- the row comes with the use -----------------------------------------------------------------------------------


def test_one_event_after_the_other_reaches_them(spend):
    for cents, reached in [(79.99, []), (0.01, [80]), (15, [80, 95]), (5, [80, 95, 100])]:
        spend(cents)
        assert alerts() == [(SPEND, percent) for percent in reached]


def test_a_prompt_with_its_tokens_reaches_them(paying):
    record_prompt(paying.pk, 80 * CENT, source="test", key="p", now=NOON)
    assert alerts() == [(SPEND, 80)]


def test_a_batch_reaches_them(paying):
    events = [use_of(paying.pk, "ai_token", 48 * CENT, source="b", key=f"k{i}") for i in range(3)]
    assert [one.status for one in record_batch(events, source="b", now=NOON)] == ["accepted", "accepted", "refused"]
    assert alerts() == [(SPEND, 80), (SPEND, 95)]


def test_a_hold_reaches_nothing_until_it_is_settled(paying):
    made = hold(paying.pk, "ai_prompt", 1, tokens=100 * CENT, source="test", key="h", now=NOON)
    assert alerts() == []
    settle(made.hold["id"], 1, tokens=81 * CENT, source="test", now=NOON)
    assert alerts() == [(SPEND, 80)]


def test_a_hold_that_is_settled_is_told_by_the_cap_of_now(paying):
    """It was held below a cap that has been raised since."""
    made = hold(paying.pk, "ai_token", 100 * CENT, source="test", key="h", now=NOON)
    set_spend_cap(paying.pk, 10 * CAP, NOON)
    settle(made.hold["id"], 100 * CENT, source="test", now=NOON)
    assert alerts() == []


def test_a_hold_that_was_not_used_reaches_nothing(paying):
    set_spend_cap(paying.pk, 0, NOON)
    UsageCounter.objects.create(user=paying, feature=SPEND, window_start=NOON - timedelta(days=20), used=0)
    remove_spend_cap(paying.pk)
    made = hold(paying.pk, "ai_token", CENT, source="test", key="h", now=NOON)
    set_spend_cap(paying.pk, 0, NOON)
    settle(made.hold["id"], 0, source="test", now=NOON)
    assert alerts() == []


def test_without_a_cap_there_is_nothing_to_reach(paying, spend):
    remove_spend_cap(paying.pk)
    spend(10_000)
    assert alerts() == []


def test_more_than_a_bigint_holds_a_hundred_times_is_counted_all_the_same(paying, spend):
    """A million dollars are 10^17 nanocents."""
    set_spend_cap(paying.pk, 10_000 * 100, NOON)
    spend(10_000 * 100 * 0.9)
    assert alerts() == [(SPEND, 80)]
    UsageCounter.objects.filter(feature=SPEND).update(used=10**18)
    set_spend_cap(paying.pk, 10_000 * 100, NOON)
    assert [percent for _, percent in alerts()] == [80, 95, 100]


def test_a_threshold_of_ones_own_is_one_of_the_cap_too(paying, spend, tell):
    set_warning_choices(paying.pk, {SPEND: Choice(own_threshold=50)})
    spend(50)
    assert alerts() == [(SPEND, 50)]
    [warning] = warnings_of(limits_of(paying.pk, NOON))
    assert (warning["level"], warning["threshold"], warning["used"], warning["limit"]) == ("custom", 50, 0.5, 1.0)
    assert tell() == ["Your AI costs: 50 % of your cap of $1.00"]


# --- the mail -----------------------------------------------------------------------------------------------------


def test_each_level_is_told_once(spend, tell):
    for cents, told in [(80, [AT_80]), (10, []), (5, [AT_95]), (5, [AT_100])]:
        spend(cents)
        assert tell() == told
        assert tell() == []


def test_a_leap_is_told_once_by_the_highest(spend, tell):
    spend(100)
    assert tell() == [AT_100]
    assert BillingMail.objects.count() == 1


def test_the_next_month_is_told_anew(spend, tell):
    spend(80)
    assert tell() == [AT_80]
    later = NOON + timedelta(days=31)
    spend(80, now=later)
    assert tell(later) == [AT_80]


def test_it_says_what_is_spent_when_it_starts_again_and_what_to_do(spend, tell, settings):
    spend(95)
    tell()
    text = mail.outbox[0].body
    assert "You have spent $0.95 of the $1.00 that you let AI tokens cost in a month of Small." in text
    assert "Starts again: 23 March 2026, 00:00 UTC" in text
    assert f"Raise or remove the cap:\n{settings.BASE_URL}/account/ai-costs" in text


def test_the_use_that_reaches_it_rings_for_the_mail(alice, give_plan, use, django_capture_on_commit_callbacks):
    now = timezone.now()
    BillingAccount.objects.create(user=alice)
    give_plan(alice, start=now - timedelta(days=2), token_price_cents=400)
    set_spend_cap(alice.pk, CAP, now)
    with django_capture_on_commit_callbacks(execute=True):
        use(alice, "ai_token", 80 * CENT, now=now)
    with django_capture_on_commit_callbacks(execute=True):
        made = hold(alice.pk, "ai_token", 16 * CENT, source="test", key="h", now=now)
        settle(made.hold["id"], 16 * CENT, source="test", now=now)
    assert [one.subject for one in mail.outbox] == [AT_80, AT_95]


def test_who_wants_no_mails_of_it_gets_none(paying, spend, tell):
    set_warning_choices(paying.pk, {SPEND: Choice(mails=False)})
    spend(100)
    assert tell() == []
    assert [one["level"] for one in warnings_of(limits_of(paying.pk, NOON))] == ["exceeded"]


def test_limits_of_the_plan_are_told_beside_it(paying, spend, use, tell):
    spend(80)
    use(paying, "synthetic_rows", 800)
    assert tell() == [AT_80, "Your synthetic rows: 80 % of the monthly limit"]


# --- a cap that changes -------------------------------------------------------------------------------------------


def test_a_cap_that_was_raised_meanwhile_is_no_news(paying, spend, tell):
    spend(100)
    set_spend_cap(paying.pk, 2 * CAP, NOON)
    assert tell() == []


def test_what_was_no_news_is_told_when_it_comes_to_it(paying, spend, tell):
    spend(85)
    set_spend_cap(paying.pk, 2 * CAP, NOON)
    assert tell() == []
    spend(75)
    assert tell() == ["Your AI costs: 80 % of your cap of $2.00"]


def test_a_raised_cap_tells_no_level_a_second_time(paying, spend, tell):
    spend(80)
    assert tell() == [AT_80]
    set_spend_cap(paying.pk, 2 * CAP, NOON)
    spend(80)
    assert tell() == []


def test_a_cap_lowered_below_what_is_spent_is_told_at_once(paying, spend, django_capture_on_commit_callbacks):
    set_spend_cap(paying.pk, 10 * CAP, NOON)
    spend(150)
    assert alerts() == []
    set_spend_cap(paying.pk, CAP, NOON)
    assert alerts() == [(SPEND, 80), (SPEND, 95), (SPEND, 100)]
    with django_capture_on_commit_callbacks(execute=True):
        warning_mails.write_mails(paying.pk, NOON)
    assert [one.subject for one in mail.outbox] == [AT_100]
    assert "You have spent $1.50 of the $1.00" in mail.outbox[0].body


def test_a_cap_of_nothing_is_told_only_where_something_is_spent(paying, spend):
    set_spend_cap(paying.pk, 0, NOON)
    assert alerts() == []
    remove_spend_cap(paying.pk)
    spend(1)
    set_spend_cap(paying.pk, 0, NOON)
    assert [percent for _, percent in alerts()] == [80, 95, 100]


def test_a_cap_removed_before_the_mail_is_no_news(paying, spend, tell):
    spend(100)
    remove_spend_cap(paying.pk)
    assert tell() == []


def test_lowering_through_the_api_warns_in_the_same_request(
    alice, give_plan, use, client, django_capture_on_commit_callbacks
):
    now = timezone.now()
    BillingAccount.objects.create(user=alice)
    give_plan(alice, start=now - timedelta(days=3), token_price_cents=400)
    use(alice, "ai_token", 95 * CENT, now=now)
    client.force_login(alice)
    with django_capture_on_commit_callbacks(execute=True):
        client.put("/api/user/spend_cap", {"amount": 1}, content_type="application/json")
    assert [one.subject for one in mail.outbox] == [AT_95]


@pytest.mark.django_db(transaction=True)
def test_outside_of_any_transaction_the_row_comes_with_the_one_statement(alice, give_plan, use):
    """The way of production on PostgreSQL."""
    BillingAccount.objects.create(user=alice)
    now = timezone.now()
    give_plan(alice, start=now - timedelta(days=2), token_price_cents=400)
    set_spend_cap(alice.pk, CAP, now)
    use(alice, "ai_token", 80 * CENT, now=now)
    assert [one.subject for one in mail.outbox] == [AT_80]
    use(alice, "ai_token", CENT, now=now)
    assert len(mail.outbox) == 1
    assert alerts() == [(SPEND, 80)]


@pytest.mark.django_db(transaction=True)
def test_many_at_once_write_each_row_once(at_once, alice, give_plan, use):
    give_plan(alice, token_price_cents=400)
    set_spend_cap(alice.pk, CAP, NOON)
    at_once(8, lambda i: [use(alice, "ai_token", 2 * CENT) for _ in range(6)])
    assert alerts() == [(SPEND, 80), (SPEND, 95)]


# --- the choice on the usage page ---------------------------------------------------------------------------------


def test_the_form_has_it(client, alice):
    client.force_login(alice)
    client.post("/account/usage/warnings", {"ai_spend-own": "60"})
    page = client.get("/account/usage").content.decode()
    assert "AI costs" in page and 'name="ai_spend-own" value="60"' in page


@pytest.mark.parametrize("sample", ["spending-80", "spending-95", "spending-100"])
def test_the_style_guide_shows_it(client, staff, sample):
    client.force_login(staff)
    assert "Raise or remove the cap" in client.get(f"/styleguide/mails/{sample}").content.decode()
