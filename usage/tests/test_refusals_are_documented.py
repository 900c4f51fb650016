"""What a refusal says stands in the API's schema, whatever refuses."""

import pytest
from django.utils import timezone

from billing.models import UserPlan
from usage.spending import set_spend_cap

pytestmark = pytest.mark.slow

URL = "/api/usage/events"


@pytest.mark.parametrize("code", ["limit_exceeded", "spend_cap_reached", "no_active_plan"])
def test_every_field_is_in_the_schema(code, client, backend, an_event, alice, bob):
    UserPlan.objects.update(token_price_cents=400)
    set_spend_cap(alice.pk, 1, timezone.now())
    event = {
        "limit_exceeded": an_event(amount=1001),
        "spend_cap_reached": an_event(feature="ai_token", amount=10_000),
        "no_active_plan": an_event(user_id=bob.pk),
    }[code]
    refused = backend.post(URL, event)
    assert (refused.status_code, refused.json()["code"]) == (402, code)
    schema = client.get("/api/schema", headers={"accept": "application/json"}).json()
    documented = schema["components"]["schemas"]["LimitExceededProblem"]
    assert refused.json().keys() <= documented["properties"].keys()
    assert refused.json().keys() >= set(documented["required"])
