"""What a customer does in a browser, on our pages and on Stripe's."""

import contextlib

from playwright.sync_api import Error as PlaywrightError


def fill_card(page, number):
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiry").fill("12 / 40")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Name on card").fill("Carol Customer")


def press(page, name):
    page.get_by_role("main").get_by_role("button", name=name).first.click()


def words(page):
    """What the content of the page says."""
    return " ".join(page.get_by_role("main").inner_text().split())


def look_until(page, address, text):
    """Look at a page of ours again and again until it says this: Stripe's webhook is on its way."""
    for _ in range(60):
        # A click just before may still be on its way to another page, and breaks this one off.
        with contextlib.suppress(PlaywrightError):
            page.goto(address)
            if text in " ".join(page.locator("body").inner_text().split()):
                return
        page.wait_for_timeout(100)
    raise AssertionError(f"{text!r} is not on {address}: {words(page)}")
