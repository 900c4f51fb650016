"""The usage page in a real Chromium: it follows what is used while somebody looks, and tells times in their zone."""

from datetime import UTC, timedelta

import pytest
from django.conf import settings as project_settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from billing.models import Plan, UserPlan
from datilio.tests.browsing import press, words
from datilio.tests.test_accessibility_browser import WIDTHS, problems_of
from usage.holds import hold
from usage.metering import record
from usage.spending import set_spend_cap

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATH = "/account/usage"


@pytest.fixture
def use(alice):
    """use(feature, amount, days=0): so many days ago. Alice's plan allows 100 files, 200 prompts, 50,000 rows."""
    now = timezone.now()
    plan = Plan.objects.create(
        name="DataPilot Pro",
        price_monthly=29,
        file_limit=100,
        file_size_limit_mb=25,
        ai_prompts_per_day=200,
        synthetic_rows_per_month=50_000,
        state=Plan.State.PUBLISHED,
        stripe_product_id="prod_1",
    )
    UserPlan.objects.create(
        user=alice,
        plan=plan,
        stripe_subscription_id="sub_1",
        stripe_price_id="price_1",
        duration_months=1,
        amount_cents=2900,
        token_price_cents=1_000,
        status="active",
        is_live=True,
        start_date=now - timedelta(days=45),
        current_period_start=now - timedelta(days=15),
        current_period_end=now + timedelta(days=15),
    )
    count = iter(range(10_000))

    def record_one(feature, amount, days=0, **more):
        key, at = f"k{next(count)}", timezone.now()
        record(alice.pk, feature, amount, source="test", key=key, timestamp=at - timedelta(days=days), now=at, **more)

    return record_one


@pytest.fixture
def looking(browser, live_server, alice, use):
    """looking(**options of the browser's context): the usage page, opened by Alice."""
    contexts = []

    def open_page(**options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        client = Client()
        client.force_login(alice)
        cookie = project_settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": cookie, "value": client.cookies[cookie].value, "url": live_server.url}])
        page = context.new_page()
        page.problems = []
        page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(live_server.url + PATH)
        return page

    yield open_page
    for context in contexts:
        context.close()


LOOK = "document.dispatchEvent(new Event('visibilitychange'))"
ASKED = lambda response: "/account/usage/live" in response.url  # noqa: E731


def ask_now(page):
    """What happens every ten seconds, at once."""
    with page.expect_response(ASKED):
        page.evaluate(LOOK)


def test_it_shows_what_is_used_meanwhile_without_a_shift(looking, use):
    use("ai_prompt", 20)
    page = looking()
    assert "20 of 200" in words(page)
    page.evaluate(
        """() => { window.shift = 0; new PerformanceObserver(
            (list) => list.getEntries().forEach((entry) => window.shift += entry.value)
        ).observe({type: "layout-shift", buffered: false}); }"""
    )
    use("ai_prompt", 5)
    ask_now(page)
    page.get_by_text("25 of 200").wait_for()
    assert page.evaluate("window.shift") == 0
    assert page.problems == []


def test_with_the_first_use_the_call_that_records_it_goes(looking, use):
    page = looking()
    assert "Nothing is counted yet" in words(page)
    use("ai_prompt", 1)
    ask_now(page)
    page.get_by_text("1 of 200").wait_for()
    page.get_by_text("Nothing is counted yet").wait_for(state="detached")
    assert page.locator("#usage-empty").is_hidden()
    assert page.problems == []


def test_it_leaves_alone_what_has_not_changed(looking, use):
    use("ai_prompt", 20)
    page = looking()
    page.evaluate("document.getElementById('usage-live').mark = 'the same element'")
    before = page.locator("#usage-as-of").inner_text()
    page.wait_for_timeout(1_100)
    ask_now(page)
    expect(page.locator("#usage-as-of")).not_to_have_text(before)
    assert page.evaluate("document.getElementById('usage-live').mark") == "the same element"


def test_an_opened_table_stays_open_and_is_fresh(looking, use):
    page = looking()
    page.get_by_text("The 30 days as a table").click()
    use("synthetic_rows", 12_345)
    ask_now(page)
    page.locator("#usage-days").get_by_text("12,345").wait_for()
    assert page.locator("details[open] #usage-days").is_visible()


def test_it_asks_every_ten_seconds_and_never_in_a_hidden_tab(looking, live_server):
    page = looking()
    page.clock.install()
    page.goto(live_server.url + PATH)
    asked = []
    page.on("request", lambda request: ASKED(request) and asked.append(request.url))
    with page.expect_response(ASKED):
        page.clock.fast_forward(10_000)
    assert len(asked) == 1
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    page.clock.run_for(60_000)
    assert len(asked) == 1
    page.evaluate("delete document.visibilityState")
    ask_now(page)
    assert len(asked) == 2


# --- the history follows ----------------------------------------------------------------------------------------------


def amounts(page):
    return [int(text.replace(",", "")) for text in page.locator(".history tbody .amount").all_inner_texts()]


def test_new_uses_appear_above_those_that_stand_there(looking, use):
    for amount in (1, 2):
        use("ai_token", amount)
    page = looking()
    page.locator(".history tbody tr").first.evaluate("(row) => { row.mark = 'the same element'; }")
    page.locator("#history .table-frame").focus()
    use("ai_token", 4)
    use("synthetic_rows", 3, days=1)  # came late: it stands where its time is
    ask_now(page)
    expect(page.locator(".history tbody tr")).to_have_count(4)
    assert amounts(page) == [4, 2, 1, 3]
    assert page.locator(".history tbody tr").nth(1).evaluate("(row) => row.mark") == "the same element"
    assert page.evaluate("document.activeElement.className") == "table-frame"
    assert page.problems == []


def test_new_uses_are_said_politely_and_once_a_minute(looking, use):
    use("ai_token", 1)
    page = looking()
    said = page.locator("#history-said")
    assert (said.get_attribute("role"), said.inner_text()) == ("status", "")
    for amount in (2, 3):
        use("ai_token", amount)
    ask_now(page)
    expect(said).to_have_text("New in the history: 2 uses.")
    use("ai_token", 4)
    ask_now(page)
    expect(page.locator(".history tbody tr")).to_have_count(4)
    expect(said).to_have_text("New in the history: 2 uses.")


def test_the_filter_stays_and_keeps_out_what_it_keeps_out(looking, use, live_server):
    use("ai_token", 1)
    page = looking()
    page.goto(f"{live_server.url}{PATH}?feature=synthetic_rows")
    page.get_by_text("Nothing was used of this in these days.").wait_for()
    page.get_by_label("From").focus()
    use("ai_token", 2)
    use("synthetic_rows", 3)
    ask_now(page)
    expect(page.locator(".history tbody tr")).to_have_count(1)
    assert amounts(page) == [3]
    assert page.get_by_label("Feature").input_value() == "synthetic_rows"
    assert page.evaluate("document.activeElement.name") == "from"
    assert page.get_by_role("link", name="Download as CSV").is_visible()
    assert page.problems == []


def test_an_older_page_stays_as_it_is(looking, use):
    for amount in range(1, 23):
        use("ai_token", amount)
    page = looking()
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newest").wait_for()
    use("ai_token", 99)
    ask_now(page)
    page.wait_for_timeout(200)
    assert amounts(page) == [2, 1]


def test_more_than_a_page_of_new_uses_leaves_no_gap(looking, use):
    for amount in range(1, 4):
        use("ai_token", amount)
    page = looking()
    for amount in range(4, 31):
        use("ai_token", amount)
    ask_now(page)
    expect(page.locator(".history tbody tr")).to_have_count(20)
    assert amounts(page) == list(range(30, 10, -1))
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newest").wait_for()
    assert amounts(page) == list(range(10, 0, -1))


@pytest.mark.parametrize("scrolled", [True, False])
def test_who_reads_further_down_is_not_moved(looking, use, scrolled):
    for amount in range(1, 20):
        use("ai_token", amount)
    page = looking()
    page.set_viewport_size({"width": 390, "height": 500})
    rows = page.locator(".history tbody tr")
    if scrolled:
        rows.nth(10).evaluate("(row) => window.scrollBy(0, row.getBoundingClientRect().top - 100)")
        where = "(row) => row.getBoundingClientRect().top"
        before = rows.nth(10).evaluate(where)
    else:
        page.locator("#history").evaluate("(card) => window.scrollBy(0, card.getBoundingClientRect().top)")
        before = page.evaluate("scrollY")
    for amount in (20, 21, 22):
        use("ai_token", amount)
    ask_now(page)
    expect(rows).to_have_count(22)
    if scrolled:
        assert abs(rows.nth(13).evaluate(where) - before) < 1
    else:
        assert abs(page.evaluate("scrollY") - before) < 1
    assert page.problems == []


def test_nothing_is_put_in_while_the_tab_is_hidden(looking, use):
    use("ai_token", 1)
    page = looking()
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    use("ai_token", 2)
    page.evaluate(LOOK)
    page.wait_for_timeout(300)
    assert amounts(page) == [1]
    page.evaluate("delete document.visibilityState")
    ask_now(page)
    expect(page.locator(".history tbody tr")).to_have_count(2)


def test_only_a_new_warning_is_said_aloud(looking, use):
    page = looking()
    said = page.locator("#usage-said")
    use("ai_prompt", 20)
    ask_now(page)
    page.get_by_text("20 of 200").wait_for()
    assert said.inner_text() == ""
    use("ai_prompt", 150)
    ask_now(page)
    expect(said).to_contain_text("170 of 200 prompts")
    assert page.get_by_label("About your plan").get_by_text("170 of 200 prompts").is_visible()


def test_who_was_logged_out_meanwhile_is_led_to_the_door(looking):
    page = looking()
    page.context.clear_cookies(name=project_settings.SESSION_COOKIE_NAME)
    page.evaluate(LOOK)
    page.wait_for_url("**/accounts/login/**")


def test_the_browsers_zone_is_proposed_and_kept(looking):
    page = looking(timezone_id="Asia/Kolkata")
    # Chromium knows it by its older name.
    assert page.locator("#zone").input_value() in ("Asia/Kolkata", "Asia/Calcutta")
    assert "Resets" in words(page) and "00:00 UTC" in words(page) and "05:30 IST" not in words(page)
    press(page, "Use this zone")
    page.get_by_text("05:30 IST (00:00 UTC)").first.wait_for()
    assert "Your browser is in" not in words(page)
    assert page.problems == []


def test_a_zone_is_chosen_without_scripts(looking):
    page = looking(java_script_enabled=False, timezone_id="Asia/Kolkata")
    assert page.locator("#zone").input_value() == "UTC"
    page.locator("#zone").select_option("America/New_York")
    press(page, "Use this zone")
    assert "EST" in words(page) or "EDT" in words(page)


def test_the_history_is_saved_as_a_file_with_a_click(looking, use):
    use("ai_prompt", 3)
    use("synthetic_rows", 40)
    page = looking()
    page.get_by_label("Feature").select_option("synthetic_rows")
    press(page, "Show")
    page.get_by_role("link", name="Show everything").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename.startswith("datilio-usage-")
    _, line, end = download.value.path().read_bytes().decode().split("\r\n")
    assert ",synthetic_rows,40," in line and end == ""


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_full_of_usage_meets_no_barrier(looking, alice, use, live_server, width):
    for days in range(28):
        use("ai_prompt", (days * 37) % 120 + 3, days)
        use("ai_token", (days * 7919) % 90_000 + 500, days, model="claude-sonnet-5")
        if days % 4 == 0:
            use("synthetic_rows", 2_000 + days * 150, days)
        use("file_upload", 2, days)
    use("file_upload", -9)
    use("ai_prompt", 165)
    set_spend_cap(alice.pk, 2_000, timezone.now())
    hold(alice.pk, "ai_prompt", 1, tokens=40_000, source="test", key="h", now=timezone.now())
    page = looking()
    page.set_viewport_size({"width": width, "height": 844})
    assert problems_of(page, live_server.url + PATH) == []
    page.get_by_text("The 30 days as a table").click()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.problems == []
    today = f"{timezone.now().astimezone(UTC):%-d %b %Y}"
    assert today in page.locator("#usage-days").inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_without_any_usage_meets_no_barrier(looking, live_server, width):
    page = looking()
    page.set_viewport_size({"width": width, "height": 844})
    assert problems_of(page, live_server.url + PATH) == []
    assert "Nothing is counted yet" in words(page)
