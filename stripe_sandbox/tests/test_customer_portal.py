"""Sequence 11: what a customer does in the Customer Portal, and the events that tell it."""

from __future__ import annotations

import pytest
import stripe as sdk

from stripe_sandbox.testing import CardDeclined

NEW_CARD = ["setup_intent.created", "setup_intent.succeeded", "payment_method.attached"]


@pytest.fixture
def configure(client, pro, team, starter):
    """Make a configuration that offers all three plans; keyword arguments replace features."""

    def make(**features):
        prices = [pro, team, starter]
        return client.v1.billing_portal.configurations.create(
            {
                "features": {
                    "invoice_history": {"enabled": True},
                    "payment_method_update": {"enabled": True},
                    "subscription_cancel": {"enabled": True},
                    "subscription_update": {
                        "enabled": True,
                        "default_allowed_updates": ["price"],
                        "proration_behavior": "always_invoice",
                        "products": [{"product": price.product, "prices": [price.id]} for price in prices],
                        "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
                    },
                    **features,
                }
            }
        )

    return make


@pytest.fixture
def portal(stripe, client, ada):
    """Open the portal for Ada; its events have been taken."""

    def open_portal(configuration=None, **params):
        given = {"customer": ada.id, "return_url": "https://shop.example/account", **params}
        if configuration:
            given["configuration"] = configuration.id
        session = client.v1.billing_portal.sessions.create(given)
        stripe.take_deliveries()
        return stripe.portal(session)

    return open_portal


def types(stripe):
    return [delivery.type for delivery in stripe.take_deliveries()]


# ------------------------------------------------------------------------------- the session
def test_the_first_session_makes_the_default_configuration_and_the_second_does_not(stripe, client, subscription, ada):
    first = client.v1.billing_portal.sessions.create({"customer": ada.id, "return_url": "https://shop.example/account"})
    assert types(stripe) == ["billing_portal.configuration.created", "billing_portal.session.created"]
    second = client.v1.billing_portal.sessions.create({"customer": ada.id})
    assert types(stripe) == ["billing_portal.session.created"]
    assert first.configuration == second.configuration
    assert first.return_url == "https://shop.example/account"
    assert first.url.startswith(f"{stripe.url}/p/session/test_")
    assert first.id not in first.url
    assert client.v1.billing_portal.configurations.retrieve(first.configuration).is_default


# ------------------------------------------------------------------------------------- ending
def test_canceling_a_flexible_subscription_sets_only_cancel_at(stripe, portal, subscription):
    end = subscription["items"].data[0].current_period_end
    canceled = portal().cancel(feedback="too_expensive", comment="It was good")
    assert types(stripe) == ["customer.subscription.updated"]
    assert canceled["cancel_at"] == end
    assert canceled["cancel_at_period_end"] is False
    assert canceled["status"] == "active"
    assert canceled["cancellation_details"]["feedback"] == "too_expensive"
    assert canceled["cancellation_details"]["comment"] == "It was good"
    assert canceled["cancellation_details"]["reason"] == "cancellation_requested"


def test_a_canceled_subscription_ends_at_the_periods_end_without_an_invoice(stripe, portal, subscription):
    portal().cancel()
    stripe.take_deliveries()
    stripe.advance(to=subscription["items"].data[0].current_period_end)
    assert types(stripe) == ["customer.subscription.deleted"]
    assert stripe.get(subscription.id)["status"] == "canceled"
    assert len(stripe.objects("invoice")) == 1


def test_the_customer_changes_their_mind(stripe, portal, subscription):
    visit = portal()
    visit.cancel()
    stripe.take_deliveries()
    kept = visit.keep()
    assert types(stripe) == ["customer.subscription.updated"]
    assert kept["cancel_at"] is None
    assert kept["canceled_at"] is None
    stripe.advance(months=1, days=1)
    assert stripe.get(subscription.id)["status"] == "active"


def test_a_second_cancellation_is_refused(portal, subscription):
    visit = portal()
    visit.cancel()
    with pytest.raises(Exception, match="already set to be canceled"):
        visit.cancel()


def test_canceling_at_once_where_the_configuration_says_so(stripe, portal, configure, subscription):
    at_once = configure(subscription_cancel={"enabled": True, "mode": "immediately"})
    assert portal(at_once).cancel()["status"] == "canceled"
    assert types(stripe) == ["customer.subscription.deleted"]


def test_canceling_at_once_gives_the_rest_back_where_the_configuration_says_so(stripe, portal, configure, subscription):
    feature = {"enabled": True, "mode": "immediately", "proration_behavior": "always_invoice"}
    stripe.advance(days=10)
    visit = portal(configure(subscription_cancel=feature))
    visit.cancel()
    assert stripe.objects("invoice")[-1]["total"] < 0


def test_what_the_configuration_does_not_enable_cannot_be_done(portal, configure, subscription, starter):
    nothing = configure(
        subscription_cancel={"enabled": False},
        payment_method_update={"enabled": False},
        subscription_update={"enabled": False},
    )
    visit = portal(nothing)
    for act in (visit.cancel, visit.change_card, lambda: visit.change_plan(starter)):
        with pytest.raises(Exception, match="cannot be"):
            act()


# -------------------------------------------------------------------------------------- cards
def test_a_new_card_takes_over_the_subscription_that_has_a_card_of_its_own(stripe, portal, subscription):
    card = portal().change_card("5555555555554444")
    assert types(stripe) == [*NEW_CARD, "customer.subscription.updated"]
    assert stripe.get(subscription.id)["default_payment_method"] == card["id"]


def test_a_new_card_becomes_the_customers_where_the_customer_has_one(stripe, portal, client, ada, pro, card_of_ada):
    card_of_ada("pm_card_visa")
    client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}]})
    card = portal().change_card("5555555555554444")
    assert types(stripe) == [*NEW_CARD, "customer.updated"]
    assert stripe.get(ada.id)["invoice_settings"]["default_payment_method"] == card["id"]


def test_a_card_can_be_added_without_paying(stripe, portal, subscription):
    portal().change_card("5555555555554444", pays=False)
    assert types(stripe) == NEW_CARD
    assert stripe.get(subscription.id)["default_payment_method"] == subscription.default_payment_method


def test_a_declined_card_is_not_saved(stripe, portal, subscription):
    with pytest.raises(CardDeclined) as caught:
        portal().change_card("4000000000000002")
    assert caught.value.decline_code == "generic_decline"
    assert types(stripe) == ["setup_intent.created", "setup_intent.setup_failed"]
    assert len([one for one in stripe.objects("payment_method") if one["customer"]]) == 1


def test_a_card_with_3d_secure_is_saved_after_the_challenge(stripe, portal, subscription):
    card = portal().change_card("4000002760003184")
    assert types(stripe) == [
        "setup_intent.created",
        "setup_intent.requires_action",
        "setup_intent.succeeded",
        "payment_method.attached",
        "customer.subscription.updated",
    ]
    assert stripe.get(subscription.id)["default_payment_method"] == card["id"]


def test_a_card_whose_challenge_fails_is_not_saved(stripe, portal, subscription):
    with pytest.raises(CardDeclined) as caught:
        portal().change_card("4000002760003184", challenge="fail")
    assert caught.value.code == "setup_intent_authentication_failure"
    assert types(stripe)[-1] == "setup_intent.setup_failed"
    assert stripe.get(subscription.id)["default_payment_method"] == subscription.default_payment_method


def test_another_saved_card_is_made_the_default_and_the_old_one_removed(stripe, portal, subscription):
    visit = portal()
    new = visit.change_card("5555555555554444", pays=False)
    stripe.take_deliveries()
    visit.make_default(new)
    assert types(stripe) == ["customer.subscription.updated"]
    visit.remove_card(subscription.default_payment_method)
    assert types(stripe) == ["payment_method.detached"]
    assert stripe.get(subscription.id)["default_payment_method"] == new["id"]


def test_the_card_that_pays_a_subscription_cannot_be_removed(portal, subscription):
    with pytest.raises(Exception, match="pays your subscription"):
        portal().remove_card(subscription.default_payment_method)


def test_a_new_card_and_the_open_invoice_recover_a_past_due_plan(stripe, portal, subscription):
    stripe.card_starts_failing(subscription.customer)
    stripe.advance(months=1, days=1)
    assert stripe.get(subscription.id)["status"] == "past_due"
    portal().change_card()
    stripe.pay_invoice(stripe.get(subscription.id)["latest_invoice"])
    assert stripe.get(subscription.id)["status"] == "active"


# ------------------------------------------------------------------------------ change of plan
def test_an_upgrade_is_charged_at_once(stripe, portal, configure, subscription, team):
    stripe.advance(days=10)
    visit = portal(configure())
    changed = visit.change_plan(team)
    assert types(stripe) == [
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "invoiceitem.created",
        "invoiceitem.created",
        "invoice_payment.paid",
    ]
    assert changed["items"]["data"][0]["price"]["id"] == team.id
    invoice = stripe.get(changed["latest_invoice"])
    assert invoice["billing_reason"] == "subscription_update"
    assert invoice["status"] == "paid"
    assert [line["amount"] < 0 for line in invoice["lines"]["data"]] == [True, False]


def test_a_declined_upgrade_changes_nothing(stripe, portal, configure, subscription, team):
    stripe.card_starts_failing(subscription.customer)
    before = stripe.get(subscription.id)
    visit = portal(configure())
    with pytest.raises(CardDeclined):
        visit.change_plan(team)
    assert stripe.get(subscription.id) == before
    assert types(stripe) == []


def test_an_upgrade_waits_for_3d_secure(stripe, portal, configure, subscription, team):
    visit = portal(configure())
    visit.change_card("4000002760003184")
    changed = visit.change_plan(team)
    assert changed["items"]["data"][0]["price"]["id"] == team.id
    assert changed["pending_update"] is None
    assert types(stripe)[-2:] == ["customer.subscription.pending_update_applied", "invoice_payment.paid"]


def test_an_upgrade_whose_3d_secure_fails_keeps_the_old_plan(stripe, portal, configure, subscription, team, pro):
    visit = portal(configure())
    visit.change_card("4000002760003184")
    with pytest.raises(CardDeclined):
        visit.change_plan(team, challenge="fail")
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == pro.id


def test_a_downgrade_waits_for_the_periods_end(stripe, portal, configure, subscription, starter, pro):
    visit = portal(configure())
    changed = visit.change_plan(starter)
    assert types(stripe) == [
        "subscription_schedule.created",
        "customer.subscription.updated",
        "subscription_schedule.updated",
    ]
    assert changed["items"]["data"][0]["price"]["id"] == pro.id
    stripe.advance(months=1, days=1)
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == starter.id
    assert stripe.objects("invoice")[-1]["total"] == 900


def test_the_newest_choice_wins(stripe, portal, configure, subscription, starter, team):
    visit = portal(configure())
    visit.change_plan(starter)
    stripe.take_deliveries()
    changed = visit.change_plan(team)
    assert types(stripe)[:2] == ["subscription_schedule.released", "customer.subscription.updated"]
    assert changed["schedule"] is None
    assert changed["items"]["data"][0]["price"]["id"] == team.id


def test_a_waiting_downgrade_is_undone(stripe, portal, configure, subscription, starter, pro):
    visit = portal(configure())
    visit.change_plan(starter)
    stripe.take_deliveries()
    kept = visit.keep_plan()
    assert types(stripe) == ["subscription_schedule.released", "customer.subscription.updated"]
    assert kept["schedule"] is None
    stripe.advance(months=1, days=1)
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == pro.id


def test_canceling_lets_a_waiting_downgrade_go(stripe, portal, configure, subscription, starter):
    visit = portal(configure())
    visit.change_plan(starter)
    canceled = visit.cancel()
    assert canceled["schedule"] is None
    assert canceled["cancel_at"]


def test_a_subscription_that_somebody_elses_schedule_leads_keeps_its_plan(
    client, portal, configure, subscription, team
):
    client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    with pytest.raises(Exception, match="managed by a schedule"):
        portal(configure()).change_plan(team)


def test_an_unoffered_price_is_refused(client, portal, configure, subscription, pro):
    other = client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "year"}}
    )
    with pytest.raises(Exception, match="not one that the portal configuration offers"):
        portal(configure()).change_plan(other)


def test_a_trial_ends_with_the_change_where_the_configuration_says_so(
    stripe, client, portal, configure, ada, pro, team, card_of_ada
):
    card_of_ada("pm_card_visa")
    client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}], "trial_period_days": 14})
    changed = portal(configure()).change_plan(team)
    assert changed["status"] == "active"
    assert stripe.objects("invoice")[-1]["total"] == 9900


def updating(prices, **settings):
    """The feature subscription_update between these prices."""
    return {
        "enabled": True,
        "default_allowed_updates": ["price"],
        "products": [{"product": price.product, "prices": [price.id]} for price in prices],
        **settings,
    }


def test_a_shorter_interval_waits_where_the_configuration_says_so(
    stripe, client, portal, configure, ada, pro, card_of_ada
):
    card_of_ada("pm_card_visa")
    yearly = client.v1.prices.create(
        {"product": pro.product, "currency": "usd", "unit_amount": 100, "recurring": {"interval": "year"}}
    )
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": yearly.id}]})
    conditions = {"conditions": [{"type": "shortening_interval"}]}
    changed = portal(configure(subscription_update=updating([pro], schedule_at_period_end=conditions))).change_plan(pro)
    assert changed["items"]["data"][0]["price"]["id"] == yearly.id
    stripe.advance(to=subscription["items"].data[0].current_period_end + 7200)
    assert stripe.get(subscription.id)["items"]["data"][0]["price"]["id"] == pro.id
    assert stripe.objects("invoice")[-1]["total"] == 2900


def test_prorations_wait_for_the_next_bill_where_the_configuration_says_so(
    stripe, portal, configure, subscription, pro, team
):
    feature = updating([pro, team], proration_behavior="create_prorations")
    portal(configure(subscription_update=feature)).change_plan(team)
    assert types(stripe) == ["customer.subscription.updated", "invoiceitem.created", "invoiceitem.created"]
    stripe.advance(months=1, days=1)
    assert stripe.objects("invoice")[-1]["total"] == 9900 + 9900 - 2900


def test_the_billing_cycle_begins_anew_where_the_configuration_says_so(
    stripe, portal, configure, subscription, pro, team
):
    stripe.advance(days=10)
    feature = updating([pro, team], proration_behavior="always_invoice", billing_cycle_anchor="now")
    changed = portal(configure(subscription_update=feature)).change_plan(team)
    assert changed["billing_cycle_anchor"] == stripe.now
    assert stripe.objects("invoice")[-1]["total"] == 9900 - round(2900 * 20 / 30)


def test_a_trial_goes_on_where_the_configuration_says_so(
    stripe, client, portal, configure, ada, pro, team, card_of_ada
):
    card_of_ada("pm_card_visa")
    client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": pro.id}], "trial_period_days": 14})
    feature = updating([pro, team], trial_update_behavior="continue_trial", proration_behavior="always_invoice")
    changed = portal(configure(subscription_update=feature)).change_plan(team)
    assert changed["status"] == "trialing"
    assert changed["items"]["data"][0]["price"]["id"] == team.id
    assert stripe.objects("charge") == []


def test_whoever_has_no_card_adds_one_before_a_change_that_costs(client, portal, configure, ada, free, pro):
    subscription = client.v1.subscriptions.create({"customer": ada.id, "items": [{"price": free.id}]})
    visit = portal(configure())
    with pytest.raises(Exception, match="Add a payment method first"):
        visit.change_plan(pro)
    visit.change_card()
    assert visit.change_plan(pro)["id"] == subscription.id


# -------------------------------------------------------------------------------- the customer
def test_billing_details_are_changed(stripe, portal, ada):
    address = {"line1": "1 St James Square", "city": "London", "country": "GB"}
    changed = portal().change_details(email="accounts@example.com", name="Lovelace Ltd", address=address)
    assert types(stripe) == ["customer.updated"]
    assert (changed["email"], changed["name"]) == ("accounts@example.com", "Lovelace Ltd")
    assert changed["address"] == {**address, "line2": None, "postal_code": None, "state": None}


def test_an_address_without_an_at_is_refused(portal, ada):
    with pytest.raises(Exception, match="Invalid email address"):
        portal().change_details(email="nobody")


def test_a_customer_on_a_test_clock_lives_in_its_time(stripe, client, portal, pro):
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    customer = client.v1.customers.create({"test_clock": clock.id})
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": pro.id}], "default_payment_method": card.id}
    )
    canceled = portal(customer=customer.id).cancel()
    assert canceled["canceled_at"] == 1_800_000_000
    assert canceled["cancel_at"] > 1_800_000_000


# -------------------------------------------------------------------------------- not allowed
@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ({"type": "subscription_cancel"}, "Missing required param"),
        ({"type": "subscription_update", "subscription_update": {"subscription": "{id}"}}, "feature in the portal"),
        (
            {
                "type": "subscription_cancel",
                "subscription_cancel": {
                    "subscription": "{id}",
                    "retention": {"type": "coupon_offer", "coupon_offer": {"coupon": "x"}},
                },
            },
            "not emulated",
        ),
        ({"type": "payment_method_update", "after_completion": {"type": "redirect"}}, "Missing required param"),
        ({"type": "payment_method_update", "subscription_cancel": {"subscription": "{id}"}}, "can only be set when"),
    ],
)
def test_flows_that_cannot_be(client, ada, subscription, flow, says):
    def filled(value):
        if isinstance(value, dict):
            return {key: filled(child) for key, child in value.items()}
        return value.replace("{id}", subscription.id)

    with pytest.raises(sdk.InvalidRequestError, match=says):
        client.v1.billing_portal.sessions.create({"customer": ada.id, "flow_data": filled(flow)})


def test_another_customers_subscription_is_no_flow(client, subscription):
    stranger = client.v1.customers.create({})
    with pytest.raises(sdk.InvalidRequestError, match="does not belong"):
        client.v1.billing_portal.sessions.create(
            {
                "customer": stranger.id,
                "flow_data": {
                    "type": "subscription_cancel",
                    "subscription_cancel": {"subscription": subscription.id},
                },
            }
        )


@pytest.mark.parametrize("params", [{"on_behalf_of": "acct_1"}, {"locale": "de"}])
def test_what_is_not_emulated_says_so(client, ada, params):
    with pytest.raises(sdk.InvalidRequestError, match="not emulated"):
        client.v1.billing_portal.sessions.create({"customer": ada.id, **params})


def test_a_return_url_must_be_one(client, ada):
    with pytest.raises(sdk.InvalidRequestError, match="Not a valid URL"):
        client.v1.billing_portal.sessions.create({"customer": ada.id, "return_url": "javascript:alert(1)"})
