"""Plans in the admin: a preview of the card, a question before anything that is sold changes, no silent price."""

import pytest

from billing.catalog import create_plan
from billing.checkout import start_checkout
from billing.models import Plan
from billing.sync import sync_user

pytestmark = pytest.mark.django_db
PLANS = "/admin/billing/plan/"
YES = {"_confirmed": "Yes"}


@pytest.fixture
def save(admin):
    """Send the change form of a plan with these values changed."""

    def send(plan, **changes):
        page = f"{PLANS}{plan.pk}/change/"
        context = admin.get(page).context
        form = context["adminform"].form
        data = {name: form[name].value() for name in form.fields}
        for formset in context["inline_admin_formsets"]:
            management = formset.formset.management_form
            data |= {management.add_prefix(name): management[name].value() for name in management.fields}
            for row in formset.formset.initial_forms:
                data |= {row.add_prefix(name): row[name].value() for name in row.fields}
        data = {name: "" if value is None else value for name, value in (data | changes).items()}
        return admin.post(page, data)

    return send


@pytest.fixture
def two_subscribers(alice, bob, plans, stripe):
    for user in (alice, bob):
        stripe.pay(start_checkout(user, plans["pro"].pk, 1).rsplit("/", 1)[-1])
        sync_user(user.pk)


def test_the_form_says_how_features_are_written_and_how_a_draft_goes_on_sale(admin):
    page = admin.get(f"{PLANS}add/").content.decode()
    assert '"seats": 5' in page and "the action “Publish”" in page and "AI token price per million" in page


def test_a_changed_price_shows_who_pays_what_before_anything_changes(save, plans, stripe, two_subscribers):
    prices = len(stripe.objects("price"))
    page = save(plans["pro"], price_monthly="39.00").content.decode()
    assert "Change DataPilot Pro?" in page
    assert "<del>$29.00</del>" in page and "<ins>$39.00</ins>" in page
    assert "New buyers pay $39.00 a month instead of $29.00." in page
    assert "2 subscribers keep $29.00 a month" in page
    assert Plan.objects.get(pk=plans["pro"].pk).price_monthly == 29
    assert len(stripe.objects("price")) == prices


def test_confirmed_it_changes_here_and_at_stripe_and_subscribers_keep_theirs(
    save, alice, plans, stripe, two_subscribers
):
    answer = save(plans["pro"], price_monthly="39.00", name="DataPilot Max", **YES)
    assert answer.status_code == 302
    plan = Plan.objects.get(pk=plans["pro"].pk)
    assert (plan.price_monthly, plan.name) == (39, "DataPilot Max")
    assert stripe.get(plan.stripe_product_id)["name"] == "DataPilot Max"
    assert plan.prices.filter(months=1, amount_cents=3900).exists()
    assert stripe.objects("price")[-1]["unit_amount"] == 3900
    assert sync_user(alice.pk).amount_cents == 2900


def test_when_stripe_does_not_answer_nothing_changes_and_it_can_be_pressed_again(save, admin, plans, stripe):
    stripe.chaos(no_answer=1)
    answer = save(plans["pro"], price_monthly="39.00", **YES)
    assert answer.status_code == 503
    assert "Nothing was changed." in answer.content.decode()
    assert 'name="price_monthly" value="39.00"' in answer.content.decode()
    assert Plan.objects.get(pk=plans["pro"].pk).price_monthly == 29
    stripe.heal()
    assert save(plans["pro"], price_monthly="39.00", **YES).status_code == 302


def test_a_limit_says_whom_it_reaches(save, plans, two_subscribers):
    page = save(plans["pro"], file_limit="50").content.decode()
    assert "The limits hold at once, also for 2 subscribers who have it." in page
    assert "<del>100</del>" in page


def test_the_trial_is_edited_and_says_for_whom_it_is(save, plans):
    assert "who buys from now on" in save(plans["pro"], trial_days="14").content.decode()
    save(plans["pro"], trial_days="14", **YES)
    assert Plan.objects.get(pk=plans["pro"].pk).trial_days == 14
    assert "less than or equal to 90" in save(plans["pro"], trial_days="91", **YES).content.decode()


def test_the_place_on_the_page_and_a_draft_change_without_a_question(save, plans, stripe):
    assert save(plans["pro"], display_order="5").status_code == 302
    draft = create_plan(publish=False, name="Secret", price_monthly=5)
    assert save(draft, price_monthly="6.00").status_code == 302
    assert Plan.objects.get(pk=draft.pk).price_monthly == 6


def test_what_is_not_well_formed_is_said_at_the_form(save, plans):
    answer = save(plans["pro"], price_monthly="-1")
    assert answer.status_code == 200
    assert "Change DataPilot Pro?" not in answer.content.decode()
    assert "greater than or equal to 0" in answer.content.decode()


def test_an_archived_plan_asks_too_and_leaves_stripe_alone(save, plans, stripe):
    Plan.objects.filter(pk=plans["pro"].pk).update(state=Plan.State.ARCHIVED)
    assert "Change DataPilot Pro?" in save(plans["pro"], name="Old Pro").content.decode()
    events = len(stripe.objects("event"))
    assert save(plans["pro"], name="Old Pro", **YES).status_code == 302
    assert len(stripe.objects("event")) == events
    assert Plan.objects.get(pk=plans["pro"].pk).state == Plan.State.ARCHIVED


def test_the_list_counts_subscribers(admin, plans, two_subscribers):
    row = admin.get(PLANS).context["cl"].queryset.get(pk=plans["pro"].pk)
    assert row.live == 2


def test_the_card_is_previewed_before_anybody_else_sees_it(admin, plans):
    draft = create_plan(publish=False, name="Secret", price_monthly=5, price_yearly=50, file_limit=7)
    page = admin.get(f"{PLANS}{draft.pk}/preview/").content.decode()
    for said in ("Preview of Secret", "$5.00", "7</strong> files", "This plan is draft", "DataPilot Pro"):
        assert said in page
    assert "$50.00" in admin.get(f"{PLANS}{draft.pk}/preview/?interval=year").content.decode()
    assert "Preview the card" in admin.get(f"{PLANS}{draft.pk}/change/").content.decode()
    assert admin.get(f"{PLANS}999999/preview/").status_code == 404
    admin.logout()
    assert admin.get(f"{PLANS}{draft.pk}/preview/").status_code == 302


def test_a_plan_that_was_sold_is_not_deleted(admin, plans):
    assert admin.post(f"{PLANS}{plans['pro'].pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(PLANS, {"action": "delete_selected", "_selected_action": [plans["pro"].pk], "post": "yes"})
    assert Plan.objects.filter(pk=plans["pro"].pk).exists()
