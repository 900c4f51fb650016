"""The hosted pages in a real Chromium, without JavaScript of their own: axe finds nothing, nothing overflows at 390 px,
everything is large enough to press, and the keyboard does it all. No request leaves this machine.
"""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VIEWS = [(390, "light"), (1280, "dark")]
# Links within a sentence are as high as their line (WCAG 2.5.8); a choice is pressed by its label.
TOO_SMALL = """() => [...document.querySelectorAll("a, button, summary, select, input:not([type=hidden])")]
    .filter((it) => it.checkVisibility() && !it.matches("[type=radio], [type=checkbox]"))
    .filter((it) => !it.closest("p, dd, .alert"))
    .filter((it) => { const box = it.getBoundingClientRect(); return box.width < 43.9 || box.height < 43.9 })
    .map((it) => it.outerHTML.slice(0, 120))"""


@pytest.fixture
def portal(client, ada, everything):
    """Open the portal of Ada, who may do everything there; returns its address."""
    given = {"customer": ada.id, "configuration": everything.id, "return_url": "https://shop.example/account"}
    return lambda: client.v1.billing_portal.sessions.create(given).url


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_every_page_can_be_read_and_pressed_by_everybody(
    browser, stripe, checkout, subscription, portal, team, width, scheme
):
    stripe.portal(portal_session(stripe, portal)).change_card("5555555555554444", pays=False)
    paid = stripe.get(subscription.latest_invoice)["hosted_invoice_url"]
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    stripe.advance(months=1, days=1)
    waiting = stripe.get(stripe.get(subscription.id)["latest_invoice"])["hosted_invoice_url"]
    [intent] = [one for one in stripe.objects("payment_intent") if one["status"] == "requires_action"]
    overdue = portal()
    pages = [paid, waiting, f"{stripe.url}/c/authenticate/{intent['id']}", f"{stripe.url}/i/in_nothing"]
    pages += [checkout(allow_promotion_codes=True).url, checkout(mode="setup", currency="usd", line_items=None).url]
    pages += [overdue]
    stripe.authenticate(intent)
    here = portal()
    of_subscription = f"{here}/subscriptions/{subscription.id}"
    pages += [here, f"{here}?done=cancel_scheduled", f"{here}/payment-methods/add", f"{here}/details"]
    pages += [f"{of_subscription}/cancel", f"{of_subscription}/update", f"{of_subscription}/update?price={team.id}"]
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        strangers = []
        page.on(
            "request", lambda request: request.url.startswith((stripe.url, "data:")) or strangers.append(request.url)
        )
        for address in pages:
            page.goto(address)
            found = Axe().run(page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert page.evaluate(TOO_SMALL) == [], address
        assert strangers == []
    finally:
        context.close()


def portal_session(stripe, portal):
    portal()
    return stripe.objects("billing_portal.session")[-1]


def test_the_keyboard_changes_the_card_cancels_and_changes_its_mind(browser, stripe, subscription, portal):
    context = browser.new_context(viewport={"width": 390, "height": 900}, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(portal())

        def press(role, name):
            """Tab until the focus is on it, then Enter."""
            wanted = page.get_by_role(role, name=re.compile(name), exact=False)
            for _ in range(60):
                page.keyboard.press("Tab")
                if page.locator(":focus").count() and wanted.and_(page.locator(":focus")).count():
                    with page.expect_navigation():
                        page.keyboard.press("Enter")
                    return
            raise AssertionError(f"the keyboard does not reach {name}")

        press("link", "Add payment method")
        page.get_by_label("Card number").focus()
        for text in ("4000002760003184", "12 / 40", "123", "Ada Lovelace"):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        press("button", "Save card")
        press("button", "Complete authentication")
        assert page.get_by_role("status").inner_text() == "Your card was saved and pays your next bills."
        assert page.get_by_text("Visa ending in 3184").is_visible()

        press("link", "Cancel plan")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        press("button", "Cancel plan")
        canceled = stripe.get(subscription.id)
        assert canceled["cancel_at"]
        assert canceled["cancellation_details"]["feedback"] == "too_expensive"
        press("button", "Don’t cancel plan")
        assert stripe.get(subscription.id)["cancel_at"] is None
    finally:
        context.close()
