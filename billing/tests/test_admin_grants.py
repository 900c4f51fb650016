"""Staff give, move and end plans in the admin: they see what happens before it does."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from billing.models import UserPlan
from billing.subscriptions import live_plan

pytestmark = pytest.mark.django_db
GRANT = "/admin/billing/userplan/grant/"
YES = {"_confirmed": "Yes"}


@pytest.fixture
def wish(plans):
    day = (timezone.now() + timedelta(days=30)).date()
    return {
        "email": "Alice@example.com",
        "plan": plans["pro"].pk,
        "until": day.isoformat(),
        "reason": "Speaks at our conference",
    }


def test_they_see_what_happens_and_then_it_does(admin, alice, wish, stripe):
    page = admin.post(GRANT, wish).content.decode()
    assert "Give this plan?" in page
    assert "No card is asked for or charged." in page
    assert 'name="reason" value="Speaks at our conference"' in page
    assert not stripe.objects("subscription")
    answer = admin.post(GRANT, wish | YES, follow=True)
    assert "Alice@example.com has DataPilot Pro until" in answer.content.decode()
    plan = live_plan(alice.pk)
    assert plan.grant_reason == "Speaks at our conference"
    # The last day is served to its end.
    midnight = datetime.fromisoformat(wish["until"]).replace(tzinfo=UTC) + timedelta(days=1)
    assert plan.cancel_at == midnight


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"email": "nobody@example.com"}, "no user with this address"),
        ({"reason": " "}, "This field is required."),
        ({"reason": "x" * 201}, "at most 200 characters"),
        ({"until": "2020-01-01"}, "A grant ends in the future."),
        ({"until": "2999-01-01"}, "two years"),
        ({"until": "9999-12-31"}, "valid date"),
        ({"plan": "0"}, "valid choice"),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, YES])
def test_what_cannot_be_is_said_at_the_form(admin, alice, wish, stripe, change, said, confirmed):
    page = admin.post(GRANT, wish | change | confirmed).content.decode()
    assert said in page
    assert not stripe.objects("subscription")


def test_for_who_pays_it_says_what_to_do(admin, wish, purchase):
    purchase()
    assert "Cancel it first" in admin.post(GRANT, wish).content.decode()


def test_when_stripe_does_not_answer_the_form_says_so(admin, alice, wish, stripe):
    stripe.chaos(no_answer=1)
    assert "does not answer" in admin.post(GRANT, wish | YES).content.decode()
    stripe.heal()
    assert live_plan(alice.pk) is None


@pytest.fixture
def grant(admin, alice, wish):
    admin.post(GRANT, wish | YES)
    return live_plan(alice.pk)


def test_its_end_is_moved(admin, alice, grant):
    page = f"/admin/billing/userplan/{grant.pk}/move-grant/"
    assert "Given because: Speaks at our conference" in admin.get(page).content.decode()
    later = {"act": "move", "until": (timezone.now() + timedelta(days=60)).date().isoformat()}
    assert "Yes, move it" in admin.post(page, later).content.decode()
    assert live_plan(alice.pk).cancel_at == grant.cancel_at
    assert admin.post(page, later | YES).status_code == 302
    assert live_plan(alice.pk).cancel_at == grant.cancel_at + timedelta(days=30)
    assert "Choose the new last day." in admin.post(page, {"act": "move"}).content.decode()


def test_it_is_ended_after_a_question(admin, alice, grant):
    page = f"/admin/billing/userplan/{grant.pk}/move-grant/"
    assert "Yes, end it now" in admin.post(page, {"act": "end"}).content.decode()
    assert live_plan(alice.pk)
    admin.post(page, {"act": "end"} | YES)
    assert live_plan(alice.pk) is None
    assert admin.get(page).status_code == 404


def test_the_list_and_the_page_of_a_plan_show_it(admin, grant):
    listed = admin.get("/admin/billing/userplan/", {"up": "given"}).content.decode()
    assert "alice@example.com" in listed
    assert "given: Speaks at our conference · ends " in listed
    assert "alice@example.com" not in admin.get("/admin/billing/userplan/", {"up": "owed"}).content.decode()
    assert "Give a plan" in listed
    page = admin.get(f"/admin/billing/userplan/{grant.pk}/change/").content.decode()
    assert "Speaks at our conference" in page
    assert "Move or end the grant" in page


def test_it_takes_a_right_of_its_own(client, alice, wish, django_user_model, stripe):
    helper = django_user_model.objects.create_user("helper@example.com", "x", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_userplan"))
    client.force_login(helper)
    assert client.get("/admin/billing/userplan/").status_code == 200
    assert "Give a plan" not in client.get("/admin/billing/userplan/").content.decode()
    assert client.get(GRANT).status_code == 403
    assert client.post(GRANT, wish | YES).status_code == 403
    assert not UserPlan.objects.exists()
    helper.user_permissions.add(Permission.objects.get(codename="grant_plan"))
    assert client.get(GRANT).status_code == 200
