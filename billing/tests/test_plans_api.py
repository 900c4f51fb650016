"""GET and POST /api/plans: what is on sale, and what staff put on sale."""

import pytest

from billing.models import Plan

pytestmark = pytest.mark.django_db

NEW = {
    "name": "Datilio Lab",
    "price_monthly": 49.99,
    "file_limit": 10,
    "file_size_limit_mb": 5,
    "ai_prompts_per_day": None,
    "synthetic_rows_per_month": 0,
    "features": {"support": "E-mail", "deep": {"a": [1]}},
}


@pytest.fixture
def create(client, staff, stripe):
    client.force_login(staff)

    def post(**changes):
        return client.post("/api/plans", NEW | changes, content_type="application/json")

    return post


def test_anyone_sees_what_is_on_sale_in_its_order(client, plans):
    Plan.objects.create(name="Draft", price_monthly=1)
    answer = client.get("/api/plans")
    assert answer.status_code == 200
    listed = answer.json()["plans"]
    assert [plan["name"] for plan in listed] == ["Explorer", "DataPilot Pro", "Datilio Team"]
    pro = listed[1]
    assert (pro["id"], pro["price_monthly"], pro["price_yearly"]) == (plans["pro"].pk, 29.0, 290.0)
    assert pro["features"][:2] == ["100 files", "25 MB per file"]
    assert pro["features"][-1] == "Export to CSV and Parquet"


def test_it_answers_304_until_a_plan_changes(client, plans):
    first = client.get("/api/plans")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    again = client.get("/api/plans", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    Plan.objects.filter(pk=plans["pro"].pk).update(price_monthly=30)
    assert client.get("/api/plans", headers={"If-None-Match": tag}).status_code == 200


def test_staff_create_a_plan_that_is_on_sale_at_once(create, client, stripe):
    answer = create()
    assert answer.status_code == 201
    plan = answer.json()["plan"]
    assert {key: plan[key] for key in NEW} == NEW
    assert [p["name"] for p in client.get("/api/plans").json()["plans"]] == ["Datilio Lab"]
    assert [p["name"] for p in stripe.objects("product")] == ["Datilio Lab"]
    assert sorted(p["unit_amount"] for p in stripe.objects("price")) == [4999, 12 * 4999]


def test_a_draft_stays_with_staff(create, client, stripe):
    assert create(publish=False).status_code == 201
    assert client.get("/api/plans").json()["plans"] == []
    assert stripe.objects("product") == []


@pytest.mark.parametrize("name", ["Datilio Lab", "DATILIO LAB", "datilio lab"])
def test_a_name_is_taken_whatever_the_case(create, name):
    create()
    answer = create(name=name)
    assert (answer.status_code, answer.json()["code"]) == (409, "plan_name_taken")
    assert Plan.objects.count() == 1


def test_when_stripe_is_down_nothing_is_kept_and_the_name_stays_free(create, settings, stripe):
    host, settings.STRIPE_API_HOST = settings.STRIPE_API_HOST, "http://127.0.0.1:9"
    answer = create()
    assert (answer.status_code, answer.json()["code"]) == (503, "stripe_unavailable")
    assert answer.headers["Retry-After"]
    assert not Plan.objects.exists()
    settings.STRIPE_API_HOST = host
    assert create().status_code == 201


def test_customers_and_strangers_may_not(client, alice, plans):
    assert client.post("/api/plans", NEW, content_type="application/json").status_code == 401
    client.force_login(alice)
    answer = client.post("/api/plans", NEW, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert Plan.objects.count() == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 81),
        ("name", 5),
        ("name", None),
        ("name", "a\x00b"),
        ("price_monthly", -1),
        ("price_monthly", 100_000),
        ("price_monthly", 1.999),
        ("price_monthly", "9.99"),
        ("price_monthly", True),
        ("price_monthly", None),
        ("price_monthly", 10**400),
        ("price_yearly", -0.01),
        ("file_limit", -1),
        ("file_limit", 2**31),
        ("file_limit", 10**30),
        ("file_limit", 1.5),
        ("file_limit", "5"),
        ("file_limit", True),
        ("file_size_limit_mb", []),
        ("ai_prompts_per_day", {}),
        ("synthetic_rows_per_month", -(2**63)),
        ("features", []),
        ("features", "x"),
        ("features", None),
        ("features", {"a": {"b": {"c": {"d": 1}}}}),
        ("features", {"a": "x" * 16_400}),
        ("publish", "yes"),
        ("description", "x" * 301),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_input_is_named_and_nothing_is_stored(create, stripe, field, value):
    answer = create(**{field: value})
    assert answer.status_code == 400, answer.content
    assert not Plan.objects.exists()
    assert stripe.objects("product") == []


@pytest.mark.parametrize("field", [name for name in NEW if name != "features"] + ["features"])
def test_what_is_missing_is_named(create, client, field):
    body = {key: value for key, value in NEW.items() if key != field}
    answer = client.post("/api/plans", body, content_type="application/json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_limits_of_null_are_unlimited(create):
    answer = create(file_limit=None, file_size_limit_mb=None, synthetic_rows_per_month=None)
    assert answer.status_code == 201
    assert answer.json()["plan"]["file_limit"] is None
