"""The OpenAPI schema names the models of the contract and every endpoint, and its page loads nothing foreign."""

import jsonschema
import pytest
import yaml

pytestmark = pytest.mark.django_db

SEED = {
    "/api/auth/register": {"post"},
    "/api/auth/login": {"post"},
    "/api/plans": {"get", "post"},
    "/api/user/plan": {"get"},
    "/api/user/usage": {"get"},
    "/api/create-checkout-session": {"post"},
    "/api/purchase/plan": {"post"},
    "/api/user/cancel_plan": {"post"},
    "/api/usage/events": {"post"},
}


@pytest.fixture
def schema(client):
    response = client.get("/api/schema")
    assert response.status_code == 200
    return yaml.safe_load(response.content)


@pytest.mark.slow
def test_it_is_openapi_3_1_with_every_endpoint_of_the_seed(schema):
    assert schema["openapi"] == "3.1.0"
    for path, methods in SEED.items():
        assert methods <= set(schema["paths"][path]), path


@pytest.mark.slow
def test_the_models_carry_the_names_of_the_contract(schema):
    models = set(schema["components"]["schemas"])
    assert {"PurchasePlanIn", "CreatePlanIn", "PlanOut", "UserPlanOut", "UsageOut"} <= models


@pytest.mark.slow
def test_every_operation_answers_its_errors_as_a_problem(schema):
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["responses"]["default"]["content"]["application/problem+json"] == problem, (path, method)


@pytest.mark.slow
def test_every_operation_has_a_line_that_says_what_it_does(schema):
    lines = [operation["summary"] for methods in schema["paths"].values() for operation in methods.values()]
    assert "End the plan at its period's end, or at once with `immediately`" in lines
    assert all(10 < len(line) < 130 for line in lines), lines
    assert "Idempotency-Key" in schema["info"]["description"]


@pytest.mark.slow
def test_a_real_problem_is_what_the_schema_says(schema, client):
    problem = client.get("/api/user/plan").json()
    jsonschema.validate(problem, schema["components"]["schemas"]["Problem"])


@pytest.mark.slow
def test_drf_spectacular_has_nothing_to_complain_about(capsys):
    from django.core.management import call_command

    call_command("spectacular", validate=True, fail_on_warn=True)
    assert "openapi: 3.1.0" in capsys.readouterr().out


def test_the_page_is_there(client):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert b"https://" not in page.content
