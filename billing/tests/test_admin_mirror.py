"""dj-stripe's models in the admin: out of the way, looked at and never edited, and no secret is shown."""

import pytest
from django.contrib import admin as django_admin
from djstripe.models import APIKey, Customer, WebhookEndpoint, WebhookEventTrigger

from billing.subscriptions import purchase_plan

pytestmark = pytest.mark.django_db


def test_the_index_has_one_line_for_all_of_them_at_its_end(admin):
    apps = admin.get("/admin/").context["available_apps"]
    assert [app["app_label"] for app in apps][-1] == "djstripe"
    assert [model["name"] for model in apps[-1]["models"]] == ["All of them"]
    assert "Stripe&#x27;s objects (read only)" in admin.get("/admin/").content.decode()
    assert "Customers" in admin.get("/admin/djstripe/").content.decode()


@pytest.mark.slow
def test_what_was_mirrored_is_shown_and_not_edited(admin, alice, plans, deliver):
    purchase_plan(alice, plans["explorer"].pk, 1)
    deliver()
    customer = Customer.objects.get()
    listed = admin.get("/admin/djstripe/customer/")
    assert customer.id in listed.content.decode()
    assert not listed.context["actions_on_top"] or "_sync_all" not in listed.content.decode()
    page = admin.get(f"/admin/djstripe/customer/{customer.pk}/change/").content.decode()
    assert 'name="_save"' not in page
    assert admin.post(f"/admin/djstripe/customer/{customer.pk}/change/", {}).status_code == 403
    assert admin.post(f"/admin/djstripe/customer/{customer.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.get("/admin/djstripe/customer/add/").status_code == 403


@pytest.mark.slow
def test_every_list_opens(admin):
    for model in [model for model in django_admin.site._registry if model._meta.app_label == "djstripe"]:
        assert admin.get(f"/admin/djstripe/{model._meta.model_name}/").status_code == 200, model


def test_what_holds_secrets_is_not_there(admin):
    assert not {APIKey, WebhookEndpoint} & set(django_admin.site._registry)
    assert admin.get("/admin/djstripe/apikey/").status_code == 404


def test_the_inbox_says_what_was_not_processed_and_why(admin, stripe):
    trigger = WebhookEventTrigger.objects.create(
        headers={}, body='{"type": "invoice.paid"}', remote_ip="127.0.0.1", valid=True, exception="StripeUnavailable"
    )
    page = admin.get("/admin/djstripe/webhookeventtrigger/", {"processed__exact": "0"}).content.decode()
    assert "invoice.paid" in page
    assert "StripeUnavailable" in page
    assert admin.get(f"/admin/djstripe/webhookeventtrigger/{trigger.pk}/change/").status_code == 200
