"""The features of a plan are read in the order in which staff wrote them, on both databases."""

import pytest
from django.urls import reverse

from billing.models import Plan
from billing.pricing import feature_sentences

pytestmark = pytest.mark.django_db

# jsonb would sort them by length, then by letter.
FEATURES = {"support": "Support", "sso": "Single sign-on", "export": "Export", "a": "Ändern"}


def test_on_the_card():
    Plan.objects.create(name="X", price_monthly=1, features=FEATURES)
    plan = Plan.objects.get()
    assert plan.features == FEATURES
    assert feature_sentences(plan)[-4:] == list(FEATURES.values())


def test_in_the_admin_s_form(client, staff):
    client.force_login(staff)
    plan = Plan.objects.create(name="X", price_monthly=1, features=FEATURES)
    url = reverse("admin:billing_plan_change", args=[plan.pk])
    page = client.get(url).content.decode()
    assert "&quot;support&quot;: &quot;Support&quot;, &quot;sso&quot;" in page
    form = {
        "name": "X",
        "price_monthly": "1.00",
        "display_order": "1",
        "trial_days": "0",
        "prices-TOTAL_FORMS": "0",
        "prices-INITIAL_FORMS": "0",
    }
    assert client.post(url, form | {"features": '{"b": "B", "aa": true}'}).status_code == 302
    assert list(Plan.objects.get().features) == ["b", "aa"]
    assert client.post(url, form | {"features": "{no"}).status_code == 200
