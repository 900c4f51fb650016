"""Comparisons with Stripe in the admin: one user now, and the report of every run."""

import pytest
from django.contrib.auth.models import Permission

from billing import reconcile
from billing.models import BillingAccount, Drift, ReconcileRun, UserPlan
from billing.subscriptions import live_plan, purchase_plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def drifted(alice, plans):
    purchase_plan(alice, plans["explorer"].pk, 1)
    UserPlan.objects.update(status="past_due")
    return UserPlan.objects.get()


@pytest.mark.slow
@pytest.mark.parametrize("of", ["billing/userplan", "accounts/user"])
def test_a_user_is_compared_and_what_changed_is_said(admin, alice, drifted, of):
    row = {"billing/userplan": drifted.pk, "accounts/user": alice.pk}[of]
    answer = admin.post(f"/admin/{of}/", {"action": "compare", "_selected_action": [row]}, follow=True)
    assert "Alice@example.com: Our row said something else than Stripe. status: past_due → active" in (
        answer.content.decode()
    )
    assert live_plan(alice.pk).status == "active"
    answer = admin.post(f"/admin/{of}/", {"action": "compare", "_selected_action": [row]}, follow=True)
    assert "Alice@example.com: nothing differs." in answer.content.decode()


def test_somebody_who_never_bought_anything_is_not_asked_about(admin, bob, stripe):
    answer = admin.post("/admin/accounts/user/", {"action": "compare", "_selected_action": [bob.pk]}, follow=True)
    assert "nothing at Stripe to compare with" in answer.content.decode()


def test_a_stripe_that_does_not_answer_is_said(admin, alice, drifted, stripe, monkeypatch):
    monkeypatch.setattr(reconcile, "_sleep", lambda seconds: None)
    stripe.chaos(no_answer=1)
    answer = admin.post("/admin/accounts/user/", {"action": "compare", "_selected_action": [alice.pk]}, follow=True)
    stripe.heal()
    assert "Could not be checked" in answer.content.decode()


def test_the_report_tells_what_each_run_found_and_left(admin, alice, drifted):
    BillingAccount.objects.create(user_id=admin.session["_auth_user_id"], stripe_customer_id="cus_other")
    run = reconcile.begin(reconcile.NIGHTLY)
    reconcile.work(run)
    page = admin.get("/admin/billing/reconcilerun/").content.decode()
    assert "finished" in page
    assert f"?run__id__exact={run.pk}&is_healed__exact=0" in page
    report = admin.get(f"/admin/billing/reconcilerun/{run.pk}/change/").content.decode()
    assert "There is no such customer at Stripe: 0 healed, 1 left" in report
    drifts = admin.get("/admin/billing/drift/", {"run__id__exact": run.pk, "is_healed__exact": "0"}).content.decode()
    assert "cus_other" in drifts
    assert "status: past_due" not in drifts
    assert "cus_other" not in admin.get("/admin/billing/drift/", {"kind": "row_differs"}).content.decode()
    everything = admin.get("/admin/billing/drift/", {"run__id__exact": run.pk}).content.decode()
    assert "status: past_due → active" in everything
    assert admin.get(f"/admin/billing/drift/{Drift.objects.first().pk}/change/").status_code == 200


def test_a_run_that_was_stopped_says_where(admin, plans):
    reconcile.begin(reconcile.NIGHTLY)
    assert "stopped at: Users" in admin.get("/admin/billing/reconcilerun/").content.decode()
    reconcile.begin(reconcile.NIGHTLY)
    assert "given up at: Users" in admin.get("/admin/billing/reconcilerun/").content.decode()


def test_the_lists_take_as_many_queries_for_many_rows(admin, alice, django_assert_max_num_queries):
    for n in range(30):
        run = ReconcileRun.objects.create(source="nightly", only_user=alice)
        Drift.objects.create(
            run=run, kind="row_differs", subject=f"sub_{n}", user=alice, changes={"status": ["a", "b"]}
        )
    for path in ("/admin/billing/reconcilerun/", "/admin/billing/drift/"):
        admin.get(path)
        with django_assert_max_num_queries(8):
            assert admin.get(path).status_code == 200


def test_who_may_only_look_compares_nothing(client, alice, drifted, django_user_model):
    helper = django_user_model.objects.create_user("helper@example.com", "helper's long password", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_userplan"))
    client.force_login(helper)
    row = UserPlan.objects.get().pk
    client.post("/admin/billing/userplan/", {"action": "compare", "_selected_action": [row]})
    assert not ReconcileRun.objects.exists()
