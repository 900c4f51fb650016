"""A preview tells more than the limits: support, seats, the price of tokens, what is gained and what is lost."""

import pytest

pytestmark = pytest.mark.django_db


@pytest.fixture
def preview(client, alice):
    client.force_login(alice)

    def ask(plan, months=1):
        body = {"plan_id": plan.pk, "duration_months": months}
        return client.post("/api/purchase/preview", body, content_type="application/json").json()

    return ask


def test_what_a_downgrade_loses(preview, plans, buy):
    buy("team")
    told = {one["label"]: (one["before"], one["after"]) for one in preview(plans["pro"])["features"]}
    assert told == {
        "AI tokens per million": ("$3.00", "$4.00"),
        "Support": ("Priority support within four hours", "E-mail support within one working day"),
        "Export": ("Export to CSV, Parquet and your warehouse", "Export to CSV and Parquet"),
        "Seats": ("10 seats", None),
    }


def test_true_is_included(preview, plans, buy):
    plans["pro"].features = {"sso": True, "old": False}
    plans["pro"].save()
    buy("pro")
    told = {one["label"]: (one["before"], one["after"]) for one in preview(plans["explorer"])["features"]}
    assert told["Sso"] == (True, None)
    assert "Old" not in told


def test_without_a_plan_there_is_no_before(preview, plans):
    told = preview(plans["team"])
    assert {one["before"] for one in told["features"]} == {None}
    assert told["limits"][0]["has_before"] is False


def test_the_page_names_what_is_lost(client, alice, plans, buy):
    buy("team")
    page = client.get("/account/change", {"plan": plans["pro"].pk, "months": 1}).content.decode()
    assert "10 seats" in page
    assert "Not included" in page
    assert "Priority support within four hours" in page


def test_the_page_leaves_out_what_stays(client, alice, plans, buy):
    for name in ("pro", "team"):
        plans[name].features |= {"audit": "Audit log"}
        plans[name].save()
    buy("team")
    page = client.get("/account/change", {"plan": plans["pro"].pk, "months": 1}).content.decode()
    assert "Audit log" not in page
