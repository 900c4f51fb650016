"""The Customer Portal's pages, as a browser without JavaScript uses them."""

from __future__ import annotations

import html
import re

import pytest

GOOD = {"number": "5555 5555 5555 4444", "expiry": "12 / 40", "cvc": "123", "name": "Ada Lovelace", "pays": "1"}


@pytest.fixture
def page(stripe, client, ada, everything):
    """Open the portal; returns the path of its page."""

    def open_portal(**params):
        given = {
            "customer": ada.id,
            "configuration": everything.id,
            "return_url": "https://shop.example/account",
            **params,
        }
        return client.v1.billing_portal.sessions.create(given).url.removeprefix(stripe.url)

    return open_portal


def text_of(answer):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def test_home_tells_plan_next_bill_card_details_and_invoices(stripe, http, page, subscription):
    answer = http.get(page())
    assert answer.status_code == 200
    text = text_of(answer)
    invoice = stripe.get(subscription.latest_invoice)
    for part in ("Pro", "$29.00 per month", "next bill is $29.00 on", "Visa ending in 4242", "ada@example.com"):
        assert part in text
    assert f'href="/i/{invoice["id"]}"' in answer.text
    assert f'href="/i/{invoice["id"]}/pdf"' in answer.text
    assert 'href="https://shop.example/account"' in answer.text


def test_a_customer_without_anything_sees_that(http, page):
    text = text_of(http.get(page()))
    for part in ("You have no plan.", "No card is saved.", "There are no invoices yet."):
        assert part in text


def test_only_what_is_enabled_is_there(stripe, client, http, page, subscription):
    bare = client.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": False}}})
    answer = http.get(page(configuration=bare.id))
    for part in ("Cancel plan", "Change plan", "Add payment method", "Update information", "Invoices"):
        assert part not in answer.text


def test_canceling_and_changing_ones_mind(stripe, http, page, subscription):
    here = page()
    form = http.get(f"{here}/subscriptions/{subscription.id}/cancel")
    assert "It is too expensive" in form.text
    assert "Quality was less" not in form.text  # not among the configuration's reasons
    answer = http.post(f"{here}/subscriptions/{subscription.id}/cancel", data={"feedback": "too_expensive"})
    assert answer.status_code == 303
    home = http.get(answer.headers["Location"])
    assert 'role="status"' in home.text
    assert "Don’t cancel plan" in home.text
    assert stripe.get(subscription.id)["cancellation_details"]["feedback"] == "too_expensive"
    assert stripe.get(subscription.id)["cancel_at_period_end"] is False

    kept = http.post(f"{here}/subscriptions/{subscription.id}/renew")
    assert "goes on as before" in http.get(kept.headers["Location"]).text
    assert stripe.get(subscription.id)["cancel_at"] is None


def test_pressing_twice_is_told_and_harmless(stripe, http, page, subscription):
    here = page()
    http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    again = http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    assert again.status_code == 400
    assert "already set to be canceled" in again.text


def test_a_plan_change_costs_what_the_page_said(stripe, http, page, subscription, team):
    stripe.advance(days=10)
    here = page()
    plans = http.get(f"{here}/subscriptions/{subscription.id}/update")
    assert "$99.00 per month" in text_of(plans)
    confirm = http.get(f"{here}/subscriptions/{subscription.id}/update?price={team.id}")
    quoted = re.search(r"Due today \$([\d.]+)", text_of(confirm))[1]
    at = re.search(r'name="at" value="(\d+)"', confirm.text)[1]
    stripe.advance(seconds=600)
    answer = http.post(f"{here}/subscriptions/{subscription.id}/update", data={"price": team.id, "at": at})
    assert answer.status_code == 303
    assert "Your plan was changed." in http.get(answer.headers["Location"]).text
    assert f"{stripe.objects('invoice')[-1]['amount_paid'] / 100:.2f}" == quoted
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == team.id


@pytest.mark.parametrize("at", ["", "1", "9" * 11, "-5", "soon", "٣"])
def test_a_moment_that_was_not_quoted_is_now(stripe, http, page, subscription, team, at):
    here = page()
    stripe.advance(days=10)
    http.get(page())
    answer = http.post(f"{page()}/subscriptions/{subscription.id}/update", data={"price": team.id, "at": at})
    assert answer.status_code == 303
    [credit, _] = stripe.objects("invoice")[-1]["lines"]["data"]
    assert credit["period"]["start"] == stripe.now
    assert http.get(here).status_code == 410


def test_a_declined_change_is_told_and_nothing_changes(stripe, http, page, subscription, team):
    stripe.card_starts_failing(subscription.customer)
    answer = http.post(f"{page()}/subscriptions/{subscription.id}/update", data={"price": team.id})
    assert answer.status_code == 402
    assert 'role="alert"' in answer.text
    assert "Your card was declined." in answer.text
    assert len(stripe.objects("invoice")) == 1


def test_a_change_through_3d_secure(stripe, http, page, subscription, team):
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    here = page()
    answer = http.post(f"{here}/subscriptions/{subscription.id}/update", data={"price": team.id})
    challenge = answer.headers["Location"]
    assert challenge.startswith("/c/authenticate/pi_")
    assert "$70.00" in http.get(challenge).text
    back = http.post(challenge, data={"outcome": "complete"}).headers["Location"]
    done = http.get(http.get(back).headers["Location"])
    assert "Your plan was changed." in done.text
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == team.id


def test_a_failed_3d_secure_leaves_the_plan_and_says_so(stripe, http, page, subscription, team, pro):
    stripe.card_starts_failing(subscription.customer, "4000002760003184")
    here = page()
    challenge = http.post(f"{here}/subscriptions/{subscription.id}/update", data={"price": team.id}).headers["Location"]
    back = http.post(challenge, data={"outcome": "fail"}).headers["Location"]
    home = http.get(back)
    assert home.status_code == 402
    assert "unable to authenticate" in home.text
    assert "Pay for the change" in home.text
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == pro.id


def test_a_downgrade_is_shown_and_can_be_undone(stripe, client, http, page, subscription, pro, team):
    client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": subscription["items"].data[0].id, "price": team.id}]}
    )
    here = page()
    assert "from the end of this period" in http.get(f"{here}/subscriptions/{subscription.id}/update").text
    confirm = http.get(f"{here}/subscriptions/{subscription.id}/update?price={pro.id}")
    assert "Due today $0.00" in text_of(confirm)
    answer = http.post(f"{here}/subscriptions/{subscription.id}/update", data={"price": pro.id})
    home = http.get(answer.headers["Location"])
    assert "at the end of the period" in home.text
    assert "Changes to Pro" in home.text
    http.post(f"{here}/subscriptions/{subscription.id}/keep-plan")
    assert "Changes to Pro" not in http.get(here).text


def test_adding_a_card(stripe, http, page, subscription):
    here = page()
    form = http.get(f"{here}/payment-methods/add")
    for field in re.findall(r"<(?:input|select)[^>]*\bid=\"(\w+)\"", form.text):
        assert f'for="{field}"' in form.text
    answer = http.post(f"{here}/payment-methods/add", data=GOOD)
    home = http.get(answer.headers["Location"])
    assert "pays your next bills" in home.text
    assert "Mastercard ending in 4444" in home.text
    assert stripe.get(stripe.get(subscription.id)["default_payment_method"])["card"]["last4"] == "4444"


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"number": "4242 4242 4242 4241"}, 400, "Your card number is incorrect."),
        ({"number": "4000000000000002"}, 402, "Your card was declined."),
        ({"cvc": ""}, 400, "Enter the security code."),
    ],
)
def test_a_card_that_cannot_be_added(stripe, http, page, subscription, change, status, says):
    answer = http.post(f"{page()}/payment-methods/add", data={**GOOD, **change})
    assert answer.status_code == status
    assert says in answer.text
    assert 'value="123"' not in answer.text
    assert len([one for one in stripe.objects("payment_method") if one["customer"]]) == 1


@pytest.mark.parametrize(("outcome", "status", "says"), [("complete", 200, "was saved"), ("fail", 402, "unable to")])
def test_adding_a_card_with_3d_secure(stripe, http, page, subscription, outcome, status, says):
    answer = http.post(f"{page()}/payment-methods/add", data={**GOOD, "number": "4000002760003184"})
    challenge = answer.headers["Location"]
    assert challenge.startswith("/c/authenticate/seti_")
    assert "confirm this card" in http.get(challenge).text
    answer = http.post(challenge, data={"outcome": outcome})
    while answer.status_code == 303:
        answer = http.get(answer.headers["Location"])
    assert answer.status_code == status
    assert says in answer.text


def test_another_default_and_removing_a_card(stripe, http, page, subscription):
    here = page()
    http.post(f"{here}/payment-methods/add", data={key: value for key, value in GOOD.items() if key != "pays"})
    new = next(one["id"] for one in stripe.objects("payment_method") if one["card"]["last4"] == "4444")
    old = subscription.default_payment_method
    refused = http.post(f"{here}/payment-methods/{old}/remove")
    assert refused.status_code == 400
    assert "Make another card the default first" in refused.text
    http.post(f"{here}/payment-methods/{new}/default")
    assert http.post(f"{here}/payment-methods/{old}/remove").status_code == 303
    assert "4242" not in http.get(here).text


def test_billing_information(stripe, http, page, ada):
    here = page()
    assert 'value="ada@example.com"' in http.get(f"{here}/details").text
    wrong = http.post(f"{here}/details", data={"email": "nobody", "name": "Ada"})
    assert wrong.status_code == 400
    assert 'id="email-error"' in wrong.text
    form = {"email": "ada@example.org", "name": "Ada King", "phone": "", "line1": "", "country": "GB"}
    assert http.post(f"{here}/details", data=form).status_code == 303
    customer = stripe.get(ada.id)
    assert (customer["email"], customer["name"], customer["phone"]) == ("ada@example.org", "Ada King", None)
    assert customer["address"]["country"] == "GB"


def test_an_unpaid_invoice_is_announced_with_its_page(stripe, http, page, subscription):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(months=1, days=1)
    invoice = stripe.get(subscription.id)["latest_invoice"]
    answer = http.get(page())
    assert "$29.00 is not paid yet." in answer.text
    assert f'href="/i/{invoice}">Pay invoice' in answer.text
    assert "Past due" in answer.text


# -------------------------------------------------------------------------------------- flows
def cancel_flow(subscription, **after):
    flow = {"type": "subscription_cancel", "subscription_cancel": {"subscription": subscription.id}}
    return {**flow, **({"after_completion": after} if after else {})}


def test_a_flow_leads_to_its_page_and_then_home(http, page, subscription):
    here = page(flow_data=cancel_flow(subscription))
    assert http.get(here).headers["Location"] == f"{here}/subscriptions/{subscription.id}/cancel"
    form = http.get(f"{here}/subscriptions/{subscription.id}/cancel")
    assert 'href="https://shop.example/account"' in form.text  # the way out is the way back
    done = http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    assert http.get(done.headers["Location"]).status_code == 200


def test_a_flow_leads_back_to_the_shop(http, page, subscription):
    after = {"type": "redirect", "redirect": {"return_url": "https://shop.example/bye"}}
    here = page(flow_data=cancel_flow(subscription, **after))
    form = http.get(f"{here}/subscriptions/{subscription.id}/cancel")
    assert "form-action 'self' https://shop.example" in form.headers["Content-Security-Policy"]
    done = http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    assert done.headers["Location"] == "https://shop.example/bye"


def test_a_flow_ends_with_a_word_of_its_own(http, page, subscription):
    after = {"type": "hosted_confirmation", "hosted_confirmation": {"custom_message": "Come back soon."}}
    here = page(flow_data=cancel_flow(subscription, **after))
    done = http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    assert "Come back soon." in http.get(done.headers["Location"]).text


def test_the_card_flow_and_the_confirming_flow_lead_to_their_pages(http, page, subscription, team):
    here = page(flow_data={"type": "payment_method_update"})
    assert http.get(here).headers["Location"] == f"{here}/payment-methods/add"
    item = subscription["items"].data[0].id
    confirm = {"subscription": subscription.id, "items": [{"id": item, "price": team.id}]}
    here = page(flow_data={"type": "subscription_update_confirm", "subscription_update_confirm": confirm})
    assert "Change to Team" in http.get(http.get(here).headers["Location"]).text


# ----------------------------------------------------------------------------------- the link
def test_an_unused_link_expires_after_five_minutes(stripe, http, page):
    here = page()
    stripe.advance(seconds=301)
    answer = http.get(here)
    assert answer.status_code == 410
    assert 'href="https://shop.example/account"' in answer.text
    assert "ada@example.com" not in answer.text


def test_a_used_link_lives_for_an_hour_from_each_visit(stripe, http, page):
    here = page()
    for _ in range(3):
        assert http.get(here).status_code == 200
        stripe.advance(seconds=3500)
    stripe.advance(seconds=200)
    assert http.get(here).status_code == 410


@pytest.mark.parametrize("path", ["", "/details", "/payment-methods/add", "/subscriptions/sub_1/cancel"])
def test_an_unknown_link_is_a_404_page(http, path):
    answer = http.get(f"/p/session/test_nothing{path}")
    assert answer.status_code == 404
    assert "text/html" in answer.headers["Content-Type"]


def test_another_customers_things_are_out_of_reach(stripe, client, http, page, subscription):
    stranger = client.v1.customers.create({})
    here = page(customer=stranger.id)
    for path in (
        f"/subscriptions/{subscription.id}/cancel",
        f"/payment-methods/{subscription.default_payment_method}/remove",
    ):
        assert http.post(here + path).status_code == 400
    assert stripe.get(subscription.id)["cancel_at"] is None
    assert http.post(f"{here}/subscriptions/sub_none/cancel").status_code == 404


def test_a_deleted_customers_portal_is_gone(client, http, page, ada):
    here = page()
    client.v1.customers.delete(ada.id)
    assert http.get(here).status_code == 404


def test_a_customer_on_a_test_clock_sees_its_time(client, http, page, pro):
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    customer = client.v1.customers.create({"test_clock": clock.id})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    subscription = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": pro.id}], "default_payment_method": card.id}
    )
    here = page(customer=customer.id)
    assert "next bill is $29.00 on 15 February 2027" in text_of(http.get(here))
    http.post(f"{here}/subscriptions/{subscription.id}/cancel")
    assert "Ends 15 February 2027" in text_of(http.get(here))


def test_a_change_without_a_card_says_what_to_do(client, http, page, ada, free, team):
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": free.id}]})
    answer = http.post(f"{page()}/subscriptions/{subscription.id}/update", data={"price": team.id})
    assert answer.status_code == 400
    assert "Add a payment method first" in answer.text
    assert "Pay $99.00 and change" in answer.text


@pytest.mark.parametrize("body", [b"number=%ff", b"number=%00", b"x" * 30_000])
def test_a_form_that_cannot_be_read(http, page, body):
    answer = http.post(f"{page()}/details", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
    assert "could not be read" in answer.text


def test_names_are_escaped_and_a_strict_policy_guards_every_page(client, http, page, subscription, pro):
    client.v1.products.update(pro.product, {"name": "<script>alert(1)</script>"})
    here = page()
    for path in ("", "/details", "/payment-methods/add", f"/subscriptions/{subscription.id}/cancel"):
        answer = http.get(here + path)
        assert "<script" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
