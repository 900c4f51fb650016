"""Each button that needs Stripe, while Stripe is slow, asks us to wait, fails, is down, or dies with the answer.

The answer is a 503 that says when to come back; nothing is half done; and pressing again, once Stripe works, does it
once.
"""

import pytest

from billing import stripe_gateway
from billing.customers import ensure_customer
from billing.subscriptions import cancel_plan, purchase_plan

pytestmark = pytest.mark.django_db


class Buttons:
    """Alice's API calls, by name; each answers a response."""

    def __init__(self, client, plans):
        self._client, self._plans = client, plans

    def _post(self, path, **body):
        return self._client.post(f"/api/{path}", body, content_type="application/json")

    def _choose(self, path, plan):
        return self._post(path, plan_id=self._plans[plan].pk, duration_months=1)

    def checkout(self):
        return self._choose("create-checkout-session", "pro")

    def preview(self):
        return self._choose("purchase/preview", "team")

    def start(self):
        return self._choose("purchase/plan", "pro")

    def start_free(self):
        return self._choose("purchase/plan", "explorer")

    def upgrade(self):
        return self._choose("purchase/plan", "team")

    def downgrade(self):
        return self._choose("purchase/plan", "explorer")

    def cancel(self):
        return self._post("user/cancel_plan")

    def cancel_now(self):
        return self._post("user/cancel_plan", immediately=True)

    def resume(self):
        return self._post("user/resume_plan")

    def portal(self):
        return self._post("billing-portal-session")

    def invoices(self):
        return self._client.get("/api/user/invoices")


# What alice has before she presses, and the state in which Stripe is left when it was done once.
NOTHING, PRO, ENDING = "nothing", "pro", "ending"
BUTTONS = {
    "checkout": (NOTHING, {"sessions": ["open"]}),
    "start": (NOTHING, {"plans": ["pro"], "charged": 2900}),
    "start_free": (NOTHING, {"plans": ["explorer"]}),
    "preview": (PRO, {"plans": ["pro"]}),
    "upgrade": (PRO, {"plans": ["team"]}),
    "downgrade": (PRO, {"plans": ["pro"], "next": "explorer"}),
    "cancel": (PRO, {"plans": ["pro"], "ends": True}),
    "cancel_now": (PRO, {"plans": None}),
    "resume": (ENDING, {"plans": ["pro"]}),
    "portal": (PRO, {"plans": ["pro"]}),
    "invoices": (PRO, {"plans": ["pro"]}),
}
# Pressing again finds it done.
DONE_ALREADY = {"already_subscribed", "no_active_plan", "nothing_to_resume"}


@pytest.fixture
def stand(alice, plans, stripe, client):
    """stand(what): alice has a card on file and this plan. Returns what there is at Stripe, told by `seen`."""
    client.force_login(alice)
    customer = ensure_customer(alice)
    card = stripe.client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe.client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": card.id}})

    def prepare(what):
        if what != NOTHING:
            purchase_plan(alice, plans["pro"].pk, 1)
        if what == ENDING:
            cancel_plan(alice)

    return prepare


@pytest.fixture
def seen(plans, stripe):
    """What there is at Stripe, in the words of BUTTONS."""

    def look():
        short = {plan.stripe_product_id: name for name, plan in plans.items()}
        live = [one for one in stripe.objects("subscription") if one["status"] == "active"]
        # What bills AI tokens has no quantity.
        prices = [item["price"] for one in live for item in one["items"]["data"] if "quantity" in item]
        product_of = {price["id"]: price["product"] for price in stripe.objects("price")}
        schedules = [one for one in stripe.objects("subscription_schedule") if one["status"] == "active"]
        coming = [phase["items"][0]["price"] for one in schedules for phase in one["phases"][1:]]
        there = {
            "sessions": [one["status"] for one in stripe.objects("checkout.session")],
            "plans": [short[price["product"]] for price in prices],
            "charged": sum(charge["amount"] for charge in stripe.objects("charge") if charge["paid"]),
            "ends": any(one["cancel_at"] for one in live),
            "next": short[product_of[coming[0]]] if coming else None,
        }
        return {name: value for name, value in there.items() if value}

    return look


@pytest.fixture
def trouble(settings, stripe):
    """trouble(kind): from now on; trouble(None): over."""
    works, patience = settings.STRIPE_API_HOST, settings.STRIPE_TIMEOUT_SECONDS

    def begin(kind):
        stripe.latency, settings.STRIPE_API_HOST, settings.STRIPE_TIMEOUT_SECONDS = 0, works, patience
        stripe.heal()
        match kind:
            case "slow":
                settings.STRIPE_TIMEOUT_SECONDS, stripe.latency = 0.15, 0.3
            case "asks us to wait":
                stripe.chaos(rate_limited=1)
            case "fails":
                stripe.chaos(server_error=1)
            case "is down":
                settings.STRIPE_API_HOST = "http://127.0.0.1:9"  # nothing listens on the discard port
            case "dies with the answer":
                stripe.chaos(die_after_write=1)
        stripe_gateway._client_for.cache_clear()  # a client keeps its time-out

    yield begin
    begin(None)


def is_a_503_that_says_when_to_come_back(answer):
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "stripe_unavailable"), problem
    assert answer["Content-Type"] == "application/problem+json"
    assert int(answer["Retry-After"]) > 0
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slow", "asks us to wait", "fails", "is down"])
@pytest.mark.parametrize("button", BUTTONS)
def test_nothing_is_done_and_pressing_again_does_it(client, plans, stand, seen, trouble, button, kind):
    before, wanted = BUTTONS[button]
    stand(before)
    there = seen()
    trouble(kind)
    press = getattr(Buttons(client, plans), button)
    for _ in range(2):  # impatient people
        assert is_a_503_that_says_when_to_come_back(press())
    trouble(None)
    assert seen() == there
    assert press().status_code == 200
    left = seen()
    assert {name: left.get(name) for name in wanted} == wanted, left
    assert left.get("charged", 0) <= 9900


@pytest.mark.slow
@pytest.mark.parametrize("button", [name for name in BUTTONS if name not in ("preview", "portal", "invoices")])
def test_an_answer_that_is_lost_is_not_done_twice(client, plans, stand, seen, trouble, button):
    before, wanted = BUTTONS[button]
    stand(before)
    trouble("dies with the answer")
    press = getattr(Buttons(client, plans), button)
    assert is_a_503_that_says_when_to_come_back(press())
    trouble(None)
    again = press()
    assert again.status_code == 200 or again.json()["code"] in DONE_ALREADY, again.content
    left = seen()
    assert {name: left.get(name) for name in wanted} == wanted, left
    assert left.get("charged", 0) <= 9900


def test_a_call_that_ran_into_its_time_out_is_not_repeated(client, plans, stand, stripe, trouble):
    stand(PRO)
    asked = []
    stripe.sandbox.observers.append(lambda exchange: asked.append(exchange.path))
    try:
        trouble("slow")
        assert is_a_503_that_says_when_to_come_back(Buttons(client, plans).cancel())
        trouble(None)
        stripe.client.v1.customers.list({"limit": 1})  # what came before it has been answered by now
        stripe.client.v1.customers.list({"limit": 1})
    finally:
        stripe.sandbox.observers.pop()
    assert len([path for path in asked if path == "/v1/subscriptions"]) <= 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_pages_say_so_and_lead_on(client, plans, stand, trouble):
    stand(PRO)
    for kind in ("slow", "asks us to wait", "fails", "is down"):
        trouble(kind)
        page = client.get("/account/change", {"plan": plans["team"].pk, "months": 1})
        assert page.status_code == 503
        assert int(page["Retry-After"]) > 0
        assert "you will not be charged twice" in page.content.decode()
        assert client.get("/account").status_code == 200  # it shows what we know
