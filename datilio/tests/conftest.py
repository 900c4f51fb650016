"""The running site with the local Stripe behind it, and a customer's browser."""

import copy
import os
import re

import pytest
from django.conf import settings as project_settings
from django.test import Client


@pytest.fixture
def site(live_server, plans, stripe, settings):
    """The running server, with the local Stripe sending its webhooks to it. Returns its address."""
    settings.BASE_URL = live_server.url
    policy = copy.deepcopy(settings.CONTENT_SECURITY_POLICY)
    policy["DIRECTIVES"]["form-action"] = ["'self'", stripe.url]
    settings.CONTENT_SECURITY_POLICY = policy
    stripe.register_webhook(f"{live_server.url}/api/stripe/webhook")
    return live_server.url


@pytest.fixture
def open_page(browser, site):
    """Open a browser of one's own, logged in as `user` if one is given. `page.problems` is what its console said, and
    whom it asked that is not on this machine."""
    contexts = []

    def new_page(*, scripts=True, user=None):
        context = browser.new_context(java_script_enabled=scripts, viewport={"width": 1280, "height": 900})
        contexts.append(context)
        context.set_default_timeout(15_000)
        if user:
            client = Client()
            client.force_login(user)
            cookie = project_settings.SESSION_COOKIE_NAME
            context.add_cookies([{"name": cookie, "value": client.cookies[cookie].value, "url": site}])
        page = context.new_page()
        page.scripts = scripts
        page.problems = []
        page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        foreign = re.compile(r"^https?://(?!127\.0\.0\.1|localhost)")
        page.on("request", lambda req: foreign.match(req.url) and page.problems.append(f"asked {req.url}"))
        return page

    yield new_page
    for number, context in enumerate(contexts):
        if os.environ.get("SCREENSHOTS"):
            context.pages[0].screenshot(path=f"{os.environ['SCREENSHOTS']}/end-{number}.png", full_page=True)
        context.close()
