"""The hosted page, as a browser without JavaScript uses it."""

from __future__ import annotations

import re

import pytest

GOOD = {"number": "4242 4242 4242 4242", "expiry": "12 / 40", "cvc": "123", "name": "Ada Lovelace"}


@pytest.fixture
def page(checkout):
    """The path of an open session's page."""
    return "/c/pay/" + checkout().id


def session_at(stripe, page):
    return stripe.get(page.removeprefix("/c/pay/"))


def test_it_shows_what_is_bought_and_for_how_much(http, page):
    answer = http.get(page)
    assert answer.status_code == 200
    for text in ("Pro", "$29.00", "per month", "Total due today", "ada@example.com", "no money moves"):
        assert text in answer.text
    assert 'href="https://shop.example/pricing"' in answer.text


def test_the_interval_is_told_in_words(client, http, checkout, pro):
    half_year = client.v1.prices.create(
        {
            "product": pro.product,
            "currency": "usd",
            "unit_amount": 150000,
            "recurring": {"interval": "month", "interval_count": 6},
        }
    )
    session = checkout(line_items=[{"price": half_year.id, "quantity": 1}])
    text = http.get(f"/c/pay/{session.id}").text
    assert "$1,500.00" in text
    assert "every 6 months" in text


def test_every_field_has_a_label(http, page):
    text = http.get(page).text
    fields = re.findall(r"<(?:input|select)[^>]*\bid=\"(\w+)\"", text)
    assert set(fields) >= {"number", "expiry", "cvc", "name", "country", "postal_code"}
    for field in fields:
        assert f'for="{field}"' in text


def test_a_good_card_leads_back_to_the_shop(stripe, http, page):
    answer = http.post(page, data={**GOOD, "country": "GB", "postal_code": "SW1Y 4LE"})
    session = session_at(stripe, page)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"https://shop.example/done?session={session['id']}"
    assert session["status"] == "complete"
    assert session["customer_details"]["address"]["postal_code"] == "SW1Y 4LE"
    [charge] = stripe.objects("charge")
    assert charge["billing_details"]["name"] == "Ada Lovelace"


def test_sending_the_form_twice_buys_once(stripe, http, page):
    http.post(page, data=GOOD)
    again = http.post(page, data=GOOD)
    assert again.status_code == 303
    assert len(stripe.objects("subscription")) == 1


def test_a_decline_is_told_on_the_page_and_the_next_card_works(stripe, http, page):
    answer = http.post(page, data={**GOOD, "number": "4000000000009995"})
    assert answer.status_code == 402
    assert 'role="alert"' in answer.text
    assert "Your card has insufficient funds." in answer.text
    assert "Nothing was charged." in answer.text
    assert 'value="Ada Lovelace"' in answer.text  # what was typed stays, but for the CVC
    assert 'value="123"' not in answer.text
    assert session_at(stripe, page)["status"] == "open"
    assert http.post(page, data=GOOD).status_code == 303


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"number": ""}, "number", "Enter the card number."),
        ({"number": "4242 4242 4242 4241"}, "number", "Your card number is incorrect."),
        ({"number": "４２４２"}, "number", "Your card number is incorrect."),
        ({"expiry": "soon"}, "expiry", "Enter the expiry date as MM / YY."),
        ({"expiry": "13 / 40"}, "expiry", "expiration month is invalid"),
        ({"expiry": "01 / 20"}, "expiry", "expiration year is invalid"),
        ({"cvc": ""}, "cvc", "Enter the security code."),
        ({"cvc": "12"}, "cvc", "security code is invalid"),
        ({"name": " "}, "name", "Enter the name on the card."),
    ],
)
def test_what_is_wrong_stands_at_its_field(stripe, http, page, change, field, says):
    answer = http.post(page, data={**GOOD, **change})
    assert answer.status_code in (400, 402)
    assert re.search(rf'id="{field}-error">[^<]*{re.escape(says)}'.replace("'", "(&#39;|')"), answer.text)
    assert f'aria-describedby="{field}-error"' in answer.text
    assert not stripe.objects("charge")


def test_a_test_card_link_fills_in_the_form(http, page):
    text = http.get(page).text
    link = re.search(r'href="([^"]*card=4000002500003155)"', text)[1]
    filled = http.get(link).text
    assert 'value="4000 0025 0000 3155"' in filled
    assert 'aria-current="true"' in filled


def test_3d_secure_asks_on_its_own_page(stripe, http, page):
    answer = http.post(page, data={**GOOD, "number": "4000002760003184"})
    challenge = answer.headers["Location"]
    assert (answer.status_code, challenge) == (303, f"{page}/challenge")
    shown = http.get(challenge)
    assert "Complete authentication" in shown.text
    assert "$29.00" in shown.text

    failed = http.post(challenge, data={"outcome": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text

    http.post(page, data={**GOOD, "number": "4000002760003184"})
    done = http.post(challenge, data={"outcome": "complete"})
    assert done.status_code == 303
    assert done.headers["Location"].startswith("https://shop.example/done")
    assert session_at(stripe, page)["status"] == "complete"


def test_the_challenge_page_without_a_challenge_leads_to_the_form(http, page):
    assert http.get(f"{page}/challenge").headers["Location"] == page
    assert http.post(f"{page}/challenge", data={"outcome": "complete"}).status_code == 303


def test_a_free_plan_has_no_card_form(stripe, http, checkout, free):
    session = checkout(line_items=[{"price": free.id, "quantity": 1}], payment_method_collection="if_required")
    text = http.get(f"/c/pay/{session.id}").text
    assert "Start plan" in text
    assert 'id="number"' not in text
    assert "Test cards" not in text
    assert http.post(f"/c/pay/{session.id}").status_code == 303
    assert stripe.get(session.id)["status"] == "complete"


def test_an_unknown_customer_is_asked_for_an_address(stripe, http, checkout):
    page = "/c/pay/" + checkout(customer=None).id
    assert 'id="email"' in http.get(page).text
    assert "Enter an email address." in http.post(page, data=GOOD).text
    assert http.post(page, data={**GOOD, "email": "new@example.com"}).status_code == 303
    assert stripe.objects("customer")[-1]["email"] == "new@example.com"


def test_a_completed_session_says_so_with_a_way_back(stripe, http, page):
    stripe.pay(page.removeprefix("/c/pay/"))
    text = http.get(page).text
    assert "This checkout is complete" in text
    assert "https://shop.example/done?session=" in text
    assert "<form" not in text


def test_an_expired_session_says_so_with_a_way_back(client, http, page):
    client.v1.checkout.sessions.expire(page.removeprefix("/c/pay/"))
    for answer in (http.get(page), http.post(page, data=GOOD)):
        assert "This checkout has expired" in answer.text
        assert 'href="https://shop.example/pricing"' in answer.text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/c/pay/cs_test_nothing", "/c/pay/cs_test_nothing/challenge"])
def test_an_unknown_session_is_a_404_page(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 404
    assert "text/html" in answer.headers["Content-Type"]


@pytest.mark.parametrize("body", [b"number=%ff", b"\xff\xfe", b"number=%00", b"x" * 30_000, b"&".join([b"a=b"] * 100)])
def test_a_form_that_cannot_be_read(stripe, http, page, body):
    answer = http.post(page, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
    assert session_at(stripe, page)["status"] == "open"


def test_names_are_escaped(client, http, checkout, pro):
    client.v1.products.update(pro.product, {"name": "<script>alert(1)</script>"})
    text = http.get("/c/pay/" + checkout().id).text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_strict_policy_guards_every_page(http, page):
    for path in (page, "/c/pay/nothing"):
        policy = http.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
    # the browser applies form-action to the redirect back as well
    assert "form-action 'self' https://shop.example" in http.get(page).headers["Content-Security-Policy"]
    assert http.get("/c/checkout.css").headers["Content-Type"].startswith("text/css")
