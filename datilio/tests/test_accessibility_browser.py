"""Every page in a real Chromium: axe finds nothing, nothing overflows at 390 px, everything is large enough to press.

Walked narrow and wide, each in light and dark, by a stranger and by a customer whose limits are nearly used up.
"""

import itertools
import os
import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings as project_settings
from django.test import Client
from django.utils import timezone

from billing.models import Plan, UserPlan
from billing.subscriptions import cancel_plan, purchase_plan
from billing.sync import sync_user
from usage.features import FEATURES
from usage.metering import record
from usage.models import UsageCounter
from usage.spending import set_spend_cap
from usage.windows import window_at

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FOR_ANYBODY = [
    "/",
    "/pricing",
    "/pricing?interval=year&plan={plan}",
    "/styleguide",
    "/styleguide/mails",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
    "/accounts/password/reset/key/1-abc/",
    "/accounts/confirm-email/",
    "/accounts/inactive/",
    "/nowhere",
]
FOR_CUSTOMERS = [
    "/",
    "/pricing",
    "/account",
    "/account/cancel",
    "/account/close",
    "/account/usage",
    "/account/ai-costs",
    "/account/ai-costs/receipt?period_start=2026-01-01T00:00:00Z",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/logout/",
    "/billing/checkout/return?session_id=cs_test_nobody",
]
_shots = itertools.count()
WIDTHS = [390, 1280]
# What is told of the rules that a page keeps costs axe as long as finding those that it breaks.
ALL_RULES = {"resultTypes": ["violations"]}
# Those that look at colours: all that another theme can break.
OF_COLOURS = {**ALL_RULES, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}

# Links within a sentence are as high as their line (WCAG 2.5.8); a choice is pressed by its label.
TOO_SMALL = """() => [...document.querySelectorAll("a, button, summary, select, textarea, input:not([type=hidden])")]
    .filter((it) => it.checkVisibility() && !it.matches(".skip-link, [type=radio], [type=checkbox]"))
    .filter((it) => it.matches(".button, .text-link, .nav-link") || !it.closest("p, dd, td"))
    .filter((it) => { const box = it.getBoundingClientRect(); return box.width < 43.9 || box.height < 43.9 })
    .map((it) => it.outerHTML.slice(0, 120))"""


@pytest.fixture
def on_sale(db):
    from billing.catalog import seed_plans

    plans = seed_plans()
    for plan in plans:
        plan.state, plan.stripe_product_id = Plan.State.PUBLISHED, f"prod_{plan.pk}"
        # A tick in the last column: its text for screen readers must not stick out of the scrolling table.
        plan.features = {**plan.features, "sso": plan.name == "Datilio Team"}
        plan.save()
    return plans


@pytest.fixture
def customer(alice, on_sale):
    """The session of Alice, who is on DataPilot Pro and has used 34 %, 83 % and all of its limits."""
    now = timezone.now()
    plan = UserPlan.objects.create(
        user=alice,
        plan=on_sale[1],
        stripe_subscription_id="sub_1",
        stripe_price_id="price_1",
        duration_months=1,
        amount_cents=2900,
        status="active",
        is_live=True,
        start_date=now,
        current_period_start=now,
        current_period_end=now + timedelta(days=30),
        token_price_cents=400,
    )
    # Nearly all of her own cap of five dollars.
    for model, tokens in (("opus", 1_001_234), ("mini", 217)):
        record(alice.pk, "ai_token", tokens, model=model, key=model, source="test", now=now)
    set_spend_cap(alice.pk, 500, timezone.now())
    for feature, used in {"file_upload": 34, "ai_prompt": 166, "synthetic_rows": 50_000}.items():
        start, _ = window_at(FEATURES[feature].window, now, plan.start_date)
        UsageCounter.objects.create(user=alice, feature=feature, window_start=start, used=used)
    client = Client()
    client.force_login(alice)
    return client.cookies[project_settings.SESSION_COOKIE_NAME].value


def problems_of(page, address):
    """What is wrong with a page, in light and in dark, in words. SCREENSHOTS: a folder that keeps what was seen."""
    # Without motion: colours on their way from one theme to the other are nobody's.
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    problems = _seen_in(page, "light", ALL_RULES)
    if not page.title().endswith(" · Datilio") or page.locator("h1").count() != 1:
        problems.append(f"title {page.title()!r}, {page.locator('h1').count()} h1")
    page.emulate_media(color_scheme="dark")
    return problems + [f"in dark, {problem}" for problem in _seen_in(page, "dark", OF_COLOURS)]


def _seen_in(page, scheme, axe_options):
    if folder := os.environ.get("SCREENSHOTS"):
        path = page.url.partition("://")[2].partition("/")[2]
        name = re.sub(r"\W+", "-", f"{path}-{page.viewport_size['width']}-{scheme}")
        page.screenshot(path=f"{folder}/{next(_shots):03}-{name}.png", full_page=True)
    violations = Axe().run(page, options=axe_options).response["violations"]
    problems = [f"{v['id']}: {[node['target'] for node in v['nodes']]}" for v in violations]
    wider_by = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wider_by > 0:
        problems.append(f"overflows by {wider_by} px")
    return problems + [f"too small: {it}" for it in page.evaluate(TOO_SMALL)]


def walk(browser, site, paths, width, session=None):
    context = browser.new_context(viewport={"width": width, "height": 844})
    if session:
        context.add_cookies([{"name": project_settings.SESSION_COOKIE_NAME, "value": session, "url": site}])
    page = context.new_page()
    found = {path: problems for path in paths if (problems := problems_of(page, site + path))}
    context.close()
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_a_stranger_meets_no_barrier(browser, live_server, on_sale, width):
    paths = [path.format(plan=on_sale[1].pk) for path in FOR_ANYBODY]
    assert walk(browser, live_server.url, paths, width) == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_customer_meets_no_barrier(browser, live_server, customer, width):
    assert walk(browser, live_server.url, FOR_CUSTOMERS, width, customer) == {}


# What it takes to come into a state, and the pages that look different in it.
LIFE = {
    "paying": ["/account/change?plan={team}&months=1", "/account/change?plan={explorer}&months=1", "/account/billing"],
    "changing": [
        "/account",
        "/account/change?plan={team}&months=12",
        "/account/change?plan={pro}&months=1",
        "/pricing",
    ],
    "cancelled": ["/account", "/account/cancel", "/account/change?plan={team}&months=1"],
    "overdue": ["/account", "/account/cancel", "/account/change?plan={team}&months=1", "/account/billing"],
}


@pytest.fixture
def live(alice, plans, stripe, purchase, live_server, settings):
    """Bring Alice, who has bought DataPilot Pro and keeps 34 files, into a state of LIFE; returns her session."""
    settings.BASE_URL = live_server.url
    purchase()
    record(user_id=alice.pk, feature="file_upload", amount=34, key="k", source="test", now=timezone.now())

    def come_into(state):
        if state == "changing":
            purchase_plan(alice, plans["explorer"].pk, 1)
        elif state == "cancelled":
            cancel_plan(alice)
        elif state == "overdue":
            stripe.card_starts_failing(alice.billing_account.stripe_customer_id)
            stripe.advance(months=1, hours=2)
            sync_user(alice.pk)
        client = Client()
        client.force_login(alice)
        return client.cookies[project_settings.SESSION_COOKIE_NAME].value

    return come_into


# The parts are walked wide and narrow on /styleguide: here it is about how they stand together.
@pytest.mark.parametrize("state", LIFE)
def test_nobody_meets_a_barrier_in_any_state_of_a_plan(browser, live_server, plans, live, state):
    paths = [path.format(**{name: plan.pk for name, plan in plans.items()}) for path in LIFE[state]]
    assert walk(browser, live_server.url, paths, 390, live(state)) == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_a_chosen_theme_beats_the_systems_without_scripts_too(browser, live_server, on_sale, scripts):
    context = browser.new_context(color_scheme="light", java_script_enabled=scripts)
    page = context.new_page()
    page.goto(f"{live_server.url}/pricing")
    page.locator(".site-nav--wide summary").last.click()
    page.get_by_role("button", name="Dark").click()
    page.wait_for_url("**/pricing")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    if scripts:
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(14, 20, 19)"
    context.close()


def test_everything_can_be_reached_by_keyboard(browser, live_server, customer):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_cookies([{"name": project_settings.SESSION_COOKIE_NAME, "value": customer, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/account")

    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Change plan"  # the first thing within the content

    seen = []
    for _ in range(40):
        seen.append(focused(page))
        page.keyboard.press("Tab")
    for name in ("Change plan", "Cancel plan", "Upload", "Send", "Generate", "Change email", "Change password"):
        assert name in seen

    # The menu opens with Enter, its entries follow in the order of tabs, Escape closes it and gives the focus back.
    page.goto(f"{live_server.url}/account")
    page.locator(".site-nav--wide summary").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Plan and usage"
    page.keyboard.press("Tab")
    assert focused(page) == "Usage in detail"
    page.keyboard.press("Tab")
    assert focused(page) == "AI costs"
    page.keyboard.press("Tab")
    assert focused(page) == "Billing"
    page.keyboard.press("Escape")
    assert page.locator("details.menu[open]").count() == 0
    assert focused(page) == "alice@example.com"
    context.close()


def focused(page):
    return page.evaluate("document.activeElement.innerText || document.activeElement.name || ''").strip()


def test_the_prices_change_without_a_shift_of_focus(browser, live_server, on_sale):
    page = browser.new_page()
    page.goto(f"{live_server.url}/pricing")
    page.get_by_label("Yearly").check()
    page.get_by_text("$290.00 a year").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "interval-year"
    page.wait_for_url("**interval=year**")  # put there after the swap
    page.close()


@pytest.mark.parametrize("path", ["/", "/pricing", "/styleguide"])
def test_nothing_shifts_while_a_page_loads(browser, live_server, on_sale, path):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(live_server.url + path)
    shift = page.evaluate(
        """() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => list.getEntries().forEach((entry) => sum += entry.value))
                .observe({type: "layout-shift", buffered: true});
            setTimeout(() => done(sum), 300);
        })"""
    )
    assert shift == 0
    page.close()
