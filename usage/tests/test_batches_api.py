"""POST /api/usage/events with {events: [...]}: 200, and an answer for each in order."""

import pytest

from usage.models import UsageCounter, UsageEvent

URL = "/api/usage/events"


def test_each_event_is_answered_in_order(backend, an_event, bob):
    backend.post(URL, an_event(key="before"))
    events = [
        an_event(key="a"),
        an_event(key="before"),
        an_event(key="too-much", amount=1000),
        an_event(key="no-plan", user_id=bob.pk),
        an_event(key="wrong", amount="ten"),
        an_event(key="before", amount=11),
        "no event",
        an_event(key="x" * 300),
        an_event(key="b"),
    ]
    response = backend.post(URL, {"events": events})
    assert response.status_code == 200, response.content
    results = response.json()["results"]
    assert [(result["key"], result["status"]) for result in results] == [
        ("a", "accepted"),
        ("before", "duplicate"),
        ("too-much", "refused"),
        ("no-plan", "refused"),
        ("wrong", "refused"),
        ("before", "refused"),
        (None, "refused"),
        (None, "refused"),
        ("b", "accepted"),
    ]
    assert all(set(result) == {"key", "status", "usage", "error"} for result in results)
    assert results[0]["usage"]["timestamp"].endswith("Z") and results[0]["error"] is None
    codes = [result["error"]["code"] for result in results if result["error"]]
    assert codes == [
        "limit_exceeded",
        "no_active_plan",
        "invalid_input",
        "idempotency_key_reused",
        "invalid_input",
        "invalid_input",
    ]
    over = results[2]["error"]
    assert (over["used"], over["limit"], over["feature"]) == (20, 1000, "synthetic_rows")
    assert over["upgrade_url"].endswith("/pricing") and over["resets_at"].endswith("Z")
    assert list(results[4]["error"]["errors"]) == ["amount"]
    assert UsageCounter.objects.get().used == 30


def test_a_level_among_events_is_told_where_it_belongs(backend, an_event):
    level = {"user_id": an_event()["user_id"], "feature": "file_upload", "level": 3, "key": "l"}
    refused, counted = backend.post(URL, {"events": [level, an_event(key="a")]}).json()["results"]
    assert (refused["key"], refused["status"], counted["status"]) == ("l", "refused", "accepted")
    assert refused["error"]["errors"] == {"level": ["Not among events: send a level by itself."]}


def test_a_batch_may_be_sent_again(backend, an_event):
    body = {"events": [an_event(key=f"k{n}", amount=1) for n in range(20)]}
    first = backend.post(URL, body).json()["results"]
    again = backend.post(URL, body).json()["results"]
    assert {result["status"] for result in again} == {"duplicate"}
    assert [result["usage"] for result in again] == [result["usage"] for result in first]
    assert UsageCounter.objects.get().used == 20


@pytest.mark.parametrize(
    "body",
    [{"events": []}, {"events": None}, {"events": {}}, {"events": [{}] * 1001}, {"events": [{}], "user_id": 1}],
    ids=["none", "null", "object", "1001", "and more"],
)
def test_what_is_no_batch(backend, db, body):
    response = backend.post(URL, body)
    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["events"]
    assert not UsageEvent.objects.exists()


def test_events_that_are_nothing_are_each_refused(backend, db):
    response = backend.post(URL, {"events": [None, 5, [], {}, {"key": 7}]})
    assert response.status_code == 200
    assert {result["status"] for result in response.json()["results"]} == {"refused"}
    assert {result["error"]["code"] for result in response.json()["results"]} == {"invalid_input"}
