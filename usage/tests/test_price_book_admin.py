"""Staff add versions to the price book ahead, and change none that is in force."""

from datetime import timedelta

import pytest
from django.utils import timezone

from usage.models import ModelFactor
from usage.price_book import AHEAD

ADD = "/admin/usage/modelfactor/add/"


@pytest.fixture
def desk(client, staff):
    client.force_login(staff)
    return client


def version(since, factor=2500):
    return {
        "model": "opus",
        "factor": factor,
        "valid_from_0": f"{since:%Y-%m-%d}",
        "valid_from_1": f"{since:%H:%M:%S}",
    }


def test_a_version_is_made_ahead(desk):
    assert desk.post(ADD, version(timezone.now() + timedelta(hours=1))).status_code == 302
    assert ModelFactor.objects.get().factor == 2500


@pytest.mark.parametrize("ahead", [-AHEAD, timedelta(0), AHEAD - timedelta(seconds=5)])
def test_nothing_that_was_used_is_priced_anew(desk, ahead):
    page = desk.post(ADD, version(timezone.now() + ahead))
    assert page.status_code == 200
    assert "what is used is not priced anew" in page.content.decode()
    assert not ModelFactor.objects.exists()


@pytest.mark.parametrize(("ahead", "may"), [(timedelta(hours=1), True), (timedelta(0), False), (-AHEAD, False)])
def test_it_may_be_changed_and_taken_back_until_it_is_in_force(desk, ahead, may):
    row = ModelFactor.objects.create(model="opus", factor=2000, valid_from=timezone.now() + ahead)
    changed = desk.post(
        f"/admin/usage/modelfactor/{row.pk}/change/", version(timezone.now() + timedelta(hours=2), factor=3000)
    )
    assert changed.status_code == (302 if may else 403)
    row.refresh_from_db()
    assert row.factor == (3000 if may else 2000)
    assert desk.post(f"/admin/usage/modelfactor/{row.pk}/delete/", {"post": "yes"}).status_code == (302 if may else 403)
    assert ModelFactor.objects.exists() != may


def test_many_at_once_cannot_be_deleted(desk):
    row = ModelFactor.objects.create(model="opus", factor=2000, valid_from=timezone.now() - timedelta(days=1))
    desk.post("/admin/usage/modelfactor/", {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert ModelFactor.objects.exists()


def test_a_factor_beyond_measure_is_refused(desk):
    for factor in (0, 100_001, -1):
        assert desk.post(ADD, version(timezone.now() + timedelta(hours=1), factor)).status_code == 200
    assert not ModelFactor.objects.exists()
