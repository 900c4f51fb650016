"""One customer all the way through, in a real Chromium, against the running server and the local Stripe.

Sign up, see the prices, buy through Checkout with 4242, come back, use, reach a limit, cancel.
"""

import re

import pytest

from billing.models import UserPlan
from billing.subscriptions import live_plan
from datilio.tests.browsing import fill_card

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery staple"


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def page(open_page, request):
    return open_page(scripts=request.param == "with JavaScript")


def test_the_journey(page, site, stripe, django_user_model):
    # Sign up
    page.goto(site)
    page.get_by_role("link", name="Sign up").first.click()
    page.get_by_label("Email").fill("Carol@Example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign up").click()
    page.wait_for_url(lambda url: "signup" not in url)
    carol = django_user_model.objects.get(email="carol@example.com")

    # Prices, by the year and back, then buy
    page.goto(f"{site}/pricing")
    choose_interval(page, "Yearly")
    page.wait_for_url("**interval=year**")
    assert "$290.00" in page.get_by_role("main").inner_text()
    choose_interval(page, "Monthly")
    page.wait_for_url("**interval=month**")
    page.get_by_role("button", name=re.compile("Buy.*DataPilot Pro")).click()

    # Checkout, with a card that is declined first
    page.wait_for_url(f"{stripe.url}/c/pay/**")
    fill_card(page, "4000 0000 0000 0002")
    page.get_by_role("button", name=re.compile("pay")).click()
    assert "did not go through" in page.get_by_role("alert").inner_text()
    assert not UserPlan.objects.exists()
    fill_card(page, "4242 4242 4242 4242")
    page.get_by_role("button", name=re.compile("pay")).click()

    # Back, active
    page.wait_for_url(f"{site}/billing/checkout/return**")
    page.get_by_role("heading", name="You are on DataPilot Pro").wait_for()
    plan = live_plan(carol.pk)
    assert (plan.plan.name, plan.status) == ("DataPilot Pro", "active")

    # Three uses; the meters move
    page.goto(f"{site}/account")
    assert "DataPilot Pro" in page.get_by_role("main").inner_text()
    meter(page, "Files: 0 of 100 files used").wait_for()
    page.get_by_label("A file", exact=True).set_input_files(
        {"name": "orders.csv", "mimeType": "text/csv", "buffer": b"id,total\n1,2\n" * 100}
    )
    page.get_by_role("button", name="Upload").click()
    meter(page, "Files: 1 of 100 files used").wait_for()
    page.get_by_role("button", name="Send").click()
    meter(page, "AI prompts: 1 of 200 prompts used").wait_for()
    page.get_by_label("Synthetic rows", exact=True).fill("41000")
    page.get_by_role("button", name="Generate").click()
    meter(page, "Synthetic rows: 41,000 of 50,000 rows used").wait_for()

    # A warning on every page, then the limit, refused with the way to upgrade
    page.goto(f"{site}/pricing")
    assert "41,000 of 50,000" in page.locator("body").inner_text()
    page.goto(f"{site}/account")
    page.get_by_label("Synthetic rows", exact=True).fill("9001")
    page.get_by_role("button", name="Generate").click()
    refusal = page.get_by_text(re.compile(r"41,000 of 50,000 rows are used, and this takes 9,001 more"))
    refusal.first.wait_for()
    assert "Datilio Team has room for it" in refusal.first.inner_text()
    assert page.get_by_role("main").locator("a[href*='/pricing']").count()

    # Cancel: the confirmation and the account name the day until which there is access
    page.goto(f"{site}/account")
    page.get_by_role("link", name=re.compile("Cancel")).first.click()
    until = f"{plan.current_period_end:%-d %B %Y}"
    assert until in page.get_by_role("main").inner_text()
    page.get_by_role("main").get_by_role("button", name=re.compile("Cancel")).click()
    page.wait_for_url(f"{site}/account")
    assert until in page.get_by_role("main").inner_text()
    assert live_plan(carol.pk).is_ending

    # The declined payment is a 402 page of Stripe's: the only error that a console may name.
    assert [problem for problem in page.problems if "402" not in problem] == []


def choose_interval(page, word):
    page.get_by_label(word, exact=True).check()
    if not page.scripts:
        page.get_by_role("button", name="Show").click()


def meter(page, words):
    """What a screen reader says of a meter."""
    return page.get_by_label(words, exact=True)
