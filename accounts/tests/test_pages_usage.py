"""The usage page: what it says is true, and it asks the database the same number of questions whatever there is."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from usage.features import Window
from usage.holds import hold
from usage.metering import record
from usage.models import UsageDay, UsageEvent
from usage.spending import set_spend_cap
from usage.windows import window_at

pytestmark = pytest.mark.django_db

PAGE, LIVE = "/account/usage", "/account/usage/live"


@pytest.fixture
def use(alice):
    numbers = iter(range(100_000))

    def record_one(feature, amount=1, ago=timedelta(), **more):
        now = timezone.now()
        key = f"k{next(numbers)}"
        return record(alice.pk, feature, amount, source="test", key=key, timestamp=now - ago, now=now, **more)

    return record_one


def words(page):
    [html] = re.findall(r"<main.*</main>", page.content.decode(), re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_a_stranger_logs_in_first(client):
    response = client.get(PAGE)
    assert (response.status_code, response["Location"]) == (302, f"/accounts/login/?next={PAGE}")


def test_account_page_and_menu_lead_there(customer):
    assert customer.get("/account").content.decode().count(f'href="{PAGE}"') == 3  # two menus and the card


def test_it_says_what_is_used_when_it_resets_and_as_of_when(customer, alice, subscribe, use):
    subscribe(alice)
    use("ai_prompt", 5)
    page = words(customer.get(PAGE))
    tomorrow = f"{timezone.now() + timedelta(days=1):%-d %B %Y}"
    assert "5 of 10" in page and f"Resets {tomorrow}, 00:00 UTC" in page
    assert re.search(r"As of \d\d:\d\d:\d\d UTC", page)


def test_times_are_told_in_the_visitors_zone_and_utc(customer, alice, subscribe, use):
    subscribe(alice)
    use("ai_prompt", 5)
    customer.cookies["zone"] = "Asia/Tokyo"
    page = words(customer.get(PAGE))
    assert "09:00 JST (00:00 UTC)" in page and re.search(r"As of \d\d:\d\d:\d\d JST", page)
    assert "09:00 JST (00:00 UTC)" in words(customer.get("/account"))


def test_what_is_held_is_said_when_there_is_any(customer, alice, subscribe, use):
    subscribe(alice)
    assert "held" not in words(customer.get(PAGE))
    hold(alice.pk, "ai_prompt", 2, source="test", key="h", now=timezone.now())
    assert "10 prompts left, 0 % used, 2 held for work that has begun" in words(customer.get(PAGE))


def test_without_a_plan_it_says_so_and_still_shows_the_history(customer, alice, subscribe, use):
    assert "Usage is counted once you have a plan." in words(customer.get(PAGE))
    plan = subscribe(alice)
    use("ai_prompt", 5)
    plan.is_live, plan.status, plan.ended_at = False, "canceled", timezone.now()
    plan.save()
    page = words(customer.get(PAGE))
    assert "Usage is counted once" not in page and "AI prompts 5" in page


def test_who_has_used_nothing_sees_the_call_that_records_the_first_use(customer, alice, subscribe, use):
    subscribe(alice)
    page = words(customer.get(PAGE))
    assert "/api/usage/events" in page and f'"user_id": {alice.pk}, "feature": "ai_prompt"' in page
    use("ai_prompt")
    assert "/api/usage/events" not in words(customer.get(PAGE))


@pytest.mark.slow
def test_the_same_number_of_queries_with_nothing_and_with_a_lot(customer, alice, subscribe, use):
    plan = subscribe(alice)
    plan.start_date = timezone.now() - timedelta(days=40)
    plan.save()
    counts = {}
    for path in (PAGE, LIVE, f"{LIVE}?rows=older", f"{PAGE}?feature=ai_token&from=2020-01-01"):
        customer.get(path)
        with CaptureQueriesContext(connection) as queries:
            customer.get(path)
        counts[path] = len(queries)
    for days in range(30):
        for _ in range(3):
            use("ai_token", 1000 + days, timedelta(days=days))
            use("synthetic_rows", 1, timedelta(days=days))
    for path, count in counts.items():
        with CaptureQueriesContext(connection) as queries:
            customer.get(path)
        assert len(queries) == count, path
    # Session, user, plan, counters, days, two for the costs; and on the page the choices and the history.
    assert (counts[PAGE], counts[LIVE], counts[f"{LIVE}?rows=older"]) == (9, 7, 8)


def test_charts_are_drawn_without_reading_an_event(customer, alice, subscribe, use):
    subscribe(alice)
    use("synthetic_rows", 123)
    use("synthetic_rows", 77, timedelta(days=3))
    UsageEvent.objects.all().delete()
    page = customer.get(PAGE).content.decode()
    assert page.count('<rect class="chart__bar') == 2
    assert "200 rows in all, 123 on the busiest day." in page
    assert " style=" not in page  # the Content-Security-Policy would drop it


# --- costs ----------------------------------------------------------------------------------------------------------


def test_costs_are_shown_with_what_the_month_will_cost(customer, alice, subscribe, use):
    plan = subscribe(alice)
    use("ai_token", 10_000)
    assert "AI costs this month" not in words(customer.get(PAGE))  # tokens of this plan cost nothing
    now = timezone.now()
    plan.start_date, plan.token_price_cents = now - timedelta(days=400), 1_000
    plan.save()
    use("ai_token", 1_000_000)
    set_spend_cap(alice.pk, 100_000, timezone.now())
    page = words(customer.get(PAGE))
    assert "$10.00 of $1,000.00" in page and "$990.00 left of your cap" in page
    assert "in 30 days, $10.00" in page
    start, end = window_at(Window.MONTH, now, plan.start_date)
    if (now - start) * 10 >= end - start:
        assert re.search(r"At this pace \$[\d,.]+ by then|At this pace your cap is reached on", page)
    else:
        assert "Too early to tell what the month will cost." in page
    set_spend_cap(alice.pk, 500, timezone.now())
    assert "Prompts are refused until it starts again" in words(customer.get(PAGE))


# --- history ----------------------------------------------------------------------------------------------------------


def amounts(page):
    return re.findall(r'<td class="amount">([^<]*)</td></tr>', page.content.decode().partition('id="history"')[2])


def test_the_history_goes_on_page_by_page(customer, alice, subscribe, use):
    subscribe(alice)
    for n in range(45):
        use("ai_token", n + 1, timedelta(minutes=n))
    seen, path = [], PAGE
    for _ in range(3):
        page = customer.get(path)
        seen += amounts(page)
        older = re.search(r'href="([^"#]*cursor=[^"#]*)#history"', page.content.decode())
        path = unescape(older[1]) if older else None
    assert seen == [str(n + 1) for n in range(45)] and path is None


def test_it_is_filtered_by_feature_and_by_days_of_the_visitors_zone(customer, alice, subscribe, use):
    subscribe(alice)
    use("ai_token", 1)
    now = timezone.now()
    UsageEvent.objects.update(timestamp=now.replace(hour=20, minute=0) - timedelta(days=2))
    use("ai_prompt", 2)
    day = f"{now - timedelta(days=2):%Y-%m-%d}"
    assert amounts(customer.get(PAGE, {"feature": "ai_prompt"})) == ["2"]
    assert amounts(customer.get(PAGE, {"from": day, "to": day})) == ["1"]
    # At 20:00 UTC it is the next day in Tokyo.
    customer.cookies["zone"] = "Asia/Tokyo"
    assert amounts(customer.get(PAGE, {"from": day, "to": day})) == []


def test_the_filter_goes_with_the_next_page_and_with_the_csv(customer, alice, subscribe, use):
    subscribe(alice)
    for n in range(25):
        use("ai_token", n + 1)
    use("ai_prompt", 1)
    page = customer.get(PAGE, {"feature": "ai_token", "from": "2020-01-01", "to": ""})
    html = unescape(page.content.decode())
    older = re.search(r'href="(/account/usage\?[^"#]*cursor=[^"#]*)', html)[1]
    assert amounts(customer.get(older)) == ["5", "4", "3", "2", "1"]
    csv = re.search(r'href="(/api/user/usage\.csv[^"]*)"', html)[1]
    assert csv == "/api/user/usage.csv?feature=ai_token&since=2020-01-01T00%3A00%3A00Z"
    assert customer.get(csv).getvalue().decode().count("\r\n") == 26


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"feature": "gold"}, "Select a valid choice"),
        ({"from": "yesterday"}, "A day, like 2026-11-25."),
        ({"from": "0001-01-01"}, "From 1970 to 9000."),
        ({"to": "9999-12-31"}, "From 1970 to 9000."),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "This is before the first day."),
        ({"from": "2026-03-01\x00"}, "A day, like 2026-11-25."),
    ],
)
def test_a_filter_that_makes_no_sense_is_said_at_its_field(customer, alice, subscribe, use, query, said):
    subscribe(alice)
    use("ai_prompt")
    page = customer.get(PAGE, query)
    assert page.status_code == 200
    assert said in words(page) and amounts(page) == []


def test_a_cursor_that_is_none_is_an_error_page(customer):
    assert customer.get(PAGE, {"cursor": "nonsense"}).status_code == 400


def test_nobody_sees_what_another_used(customer, alice, bob, subscribe, use):
    subscribe(bob)
    now = timezone.now()
    record(bob.pk, "synthetic_rows", 77, source="test", key="b", now=now)
    page = customer.get(PAGE).content.decode()
    assert "77" not in words(customer.get(PAGE)) and '<rect class="chart__bar' not in page
    assert UsageDay.objects.exists()


# --- while it is open -------------------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(customer, alice, subscribe, use):
    subscribe(alice)
    use("ai_prompt", 1)
    seen = re.search(r"seen=(\w+)", customer.get(PAGE).content.decode())[1]
    same = customer.get(LIVE, {"seen": seen})
    assert same["HX-Reswap"] == "none"
    assert "usage-as-of" in same.content.decode() and "<svg" not in same.content.decode()
    use("ai_prompt", 7)
    new = customer.get(LIVE, {"seen": seen})
    assert "HX-Reswap" not in new
    html = new.content.decode()
    assert "8</strong> of 10" in html
    for part in ("usage-as-of", "usage-days", "plan-warnings"):
        assert f'id="{part}" hx-swap-oob="true"' in html
    assert "You have used 8 of 10 prompts today" in html


def asked_with(page):
    """What the page sends to LIVE for its history; {} where it follows none."""
    asked = re.search(r'<div id="history-asked" hidden>(.*?)</div>', page.content.decode())
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', asked[1])) if asked else {}


def test_the_newest_page_of_the_history_is_followed_with_its_filter(customer, alice, subscribe, use):
    subscribe(alice)
    use("ai_prompt", 3)
    asked = asked_with(customer.get(PAGE, {"feature": "ai_prompt", "from": "2020-01-01"}))
    assert asked.keys() == {"rows", "feature", "from"}
    use("synthetic_rows", 40)
    assert "history-fresh" not in customer.get(LIVE, asked).content.decode()
    use("ai_prompt", 4)
    fresh = customer.get(LIVE, asked).content.decode()
    assert 'id="history-fresh" hidden hx-swap-oob="true"' in fresh
    assert re.findall(r'<tr data-id="\d+">.*?<td class="amount">(\d+)</td>', fresh) == ["4", "3"]


def test_a_change_of_the_history_alone_moves_nothing_else(customer, alice, subscribe, use):
    """A use that comes late changes no meter of today."""
    subscribe(alice)
    page = customer.get(PAGE)
    seen = re.search(r"seen=(\w+)", page.content.decode())[1]
    use("synthetic_rows", 40, timedelta(days=34))
    answer = customer.get(LIVE, asked_with(page) | {"seen": seen})
    assert answer["HX-Reswap"] == "none"
    assert "history-fresh" in answer.content.decode() and "<svg" not in answer.content.decode()


def test_an_older_page_and_a_wrong_filter_stay_as_they_are(customer, alice, subscribe, use):
    subscribe(alice)
    for _ in range(21):
        use("ai_token")
    page = customer.get(PAGE)
    cursor = re.search(r"\?cursor=([\w-]+)", page.content.decode())[1]
    assert asked_with(page) and not asked_with(customer.get(PAGE, {"cursor": cursor}))
    assert not asked_with(customer.get(PAGE, {"from": "never"}))
    for wrong in ({"from": "never"}, {"cursor": cursor}, {"feature": "\x00"}):
        answer = customer.get(LIVE, wrong | {"rows": "older"})
        assert answer.status_code == 200 and "history-fresh" not in answer.content.decode()


def test_nobody_follows_what_another_uses(customer, alice, bob, subscribe, use):
    subscribe(alice)
    use("ai_prompt", 7)
    customer.force_login(bob)
    assert 'class="amount">7<' not in customer.get(LIVE, {"rows": "older"}).content.decode()


def test_who_was_logged_out_loads_the_page_anew(client):
    response = client.get(LIVE)
    assert (response.status_code, response["HX-Refresh"]) == (204, "true")
