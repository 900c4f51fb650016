"""An API key that another process has revoked, or taken a scope from, counts nothing more from that moment on.

Here the row is changed behind the back of this process, which remembers the key, as another process would do it.
"""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from usage import api_keys
from usage.errors import ApiKeyRevoked, ScopeMissing
from usage.metering import record
from usage.models import ApiKey, UsageCounter, UsageEvent, UsageHold, UsageKey

pytestmark = pytest.mark.django_db(transaction=True)

REVOKED = (401, "api_key_revoked")


@pytest.fixture
def send(backend, an_event):
    """send(path="events", **body): (status, code) of the answer."""

    def post(path="events", **body):
        answer = backend.post(f"/api/usage/{path}", body or an_event(), format="json")
        return answer.status_code, answer.json().get("code")

    return post


@pytest.fixture
def revoke_elsewhere(api_key):
    return lambda: ApiKey.objects.filter(pk=api_key[0].pk).update(revoked_at=timezone.now())


def test_a_single_event_remembers_the_key(send):
    """Else these tests would show nothing."""
    api_keys._remembered.clear()
    assert send() == (201, None)
    assert len(api_keys._remembered) == 1


def test_an_event_is_refused_at_once(send, an_event, revoke_elsewhere):
    assert send(**an_event()) == (201, None)
    revoke_elsewhere()
    assert send(**an_event(key="second")) == REVOKED
    assert (UsageEvent.objects.count(), UsageCounter.objects.get().used) == (1, 10)


def test_where_somebody_without_a_key_has_said_the_same(send, an_event, revoke_elsewhere, alice, use):
    """What is remembered of such a use is sent with the proof of the key all the same."""
    for key in ("one", "two"):
        use(alice, "synthetic_rows", 10, now=timezone.now())
        assert send(**an_event(key=key)) == (201, None)
    revoke_elsewhere()
    assert send(**an_event(key="three")) == REVOKED
    assert UsageEvent.objects.count() == 4


def test_a_replay_is_refused_too(send, an_event, revoke_elsewhere):
    event = an_event()
    send(**event)
    revoke_elsewhere()
    assert send(**event) == REVOKED


def test_what_would_be_refused_anyway_says_nothing_of_the_customer(send, an_event, revoke_elsewhere):
    event = an_event()
    send(**event)
    revoke_elsewhere()
    assert send(**event | {"amount": 10_000, "key": "too much"}) == REVOKED


def test_files_that_are_gone_are_refused_at_once(send, an_event, revoke_elsewhere):
    event = an_event(feature="file_upload")
    send(**event)
    revoke_elsewhere()
    assert send(**event | {"amount": -1, "key": "gone"}) == REVOKED
    assert UsageCounter.objects.get().used == 10


def test_a_level_is_refused_at_once(send, an_event, revoke_elsewhere):
    event = an_event(feature="file_upload")
    send(**event)
    revoke_elsewhere()
    for level, key in [(3, "other"), (10, "same")]:
        body = {"user_id": event["user_id"], "feature": "file_upload", "level": level, "key": key}
        assert send(**body) == REVOKED
    assert UsageKey.objects.count() == 1


def test_a_batch_is_refused_whole_and_at_once(send, an_event, revoke_elsewhere):
    event = an_event()
    send(**event)
    revoke_elsewhere()
    assert send(events=[event | {"key": "b1"}, event | {"key": "b2"}]) == REVOKED
    assert UsageEvent.objects.count() == 1


def test_holds_and_all_their_ends_are_refused_at_once(send, an_event, backend, revoke_elsewhere):
    event = an_event()
    send(**event)
    wanted = {"user_id": event["user_id"], "feature": "ai_prompt", "amount": 1, "key": "h"}
    made = backend.post("/api/usage/holds", wanted, format="json").json()["hold"]["id"]
    revoke_elsewhere()
    assert send("holds", **wanted | {"key": "i"}) == REVOKED
    assert send(f"holds/{made}/settle", amount=1) == REVOKED
    assert backend.post(f"/api/usage/holds/{made}/release").status_code == 401
    assert UsageHold.objects.get().state == "open"


def test_a_quote_is_refused_at_once(send, an_event, revoke_elsewhere):
    event = an_event()
    send(**event)
    revoke_elsewhere()
    assert send("quote", user_id=event["user_id"], tokens=5) == REVOKED


def test_a_scope_that_was_taken_away_is_missed_at_once(send, an_event, api_key):
    event = an_event()
    send(**event)
    ApiKey.objects.filter(pk=api_key[0].pk).update(scopes=["usage:read"])
    assert send(**event | {"key": "second"}) == (403, "scope_missing")
    assert send(events=[event | {"key": "third"}]) == (403, "scope_missing")
    assert UsageEvent.objects.count() == 1


def test_another_key_goes_on(send, an_event, revoke_elsewhere):
    event = an_event()
    send(**event)
    revoke_elsewhere()
    other = APIClient(headers={"authorization": f"Api-Key {api_keys.make_api_key('other', ['usage:write'])[1]}"})
    assert other.post("/api/usage/events", event | {"key": "second"}, format="json").status_code == 201


@pytest.mark.parametrize("changed", [{"revoked_at": timezone.now()}, {"scopes": []}])
def test_the_service_itself_keeps_it(alice, give_plan, api_key, changed):
    """Whoever calls it with a key's source."""
    now = timezone.now()
    give_plan(alice, start=now - timedelta(days=3))
    source = api_keys.source_of(api_key[0])
    record(alice.pk, "synthetic_rows", 1, source=source, key="a", now=now)
    ApiKey.objects.update(**changed)
    with pytest.raises((ApiKeyRevoked, ScopeMissing)):
        record(alice.pk, "synthetic_rows", 1, source=source, key="b", now=now)
    assert UsageEvent.objects.count() == 1
