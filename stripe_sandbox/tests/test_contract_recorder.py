"""Every request, answer and event of a test run is checked, whichever local Stripe of the run they met."""

from __future__ import annotations

from pathlib import Path

import pytest

from stripe_sandbox import contract
from stripe_sandbox.sandbox import Exchange, Sandbox
from stripe_sandbox.testing import Recorder

pytest_plugins = ["pytester"]


@pytest.fixture
def recorder(stripe) -> Recorder:
    """A second one, that watches while the test does what it wants to see counted."""
    watching = Recorder().watch(stripe.sandbox)
    yield watching
    stripe.sandbox.observers.remove(watching.exchange)
    stripe.sandbox.event_observers.remove(watching.event)


def exchange(method: str, path: str, body: dict, status: int = 200, pairs: list | None = None) -> Exchange:
    return Exchange(method, path, pairs or [], status, body)


def test_requests_answers_and_events_are_counted(recorder, client):
    client.v1.customers.create({"email": "ada@example.com"})
    client.v1.customers.list()
    assert recorder.counts == {"requests": 2, "valid requests": 2, "responses": 2, "events": 1}
    assert recorder.problems == []
    assert recorder.summary() == "Stripe contract: 2 requests, 2 valid requests, 2 responses, 1 events; 0 violations"


@pytest.mark.parametrize(
    ("method", "path", "request_of", "status"),
    [
        ("GET", "/v1/nowhere", {}, 404),
        ("GET", "/v2/core/events", {}, 404),
        ("PUT", "/v1/customers", {}, 404),
        ("POST", "/v1/customers", {"data": {"emial": "x"}}, 400),
        ("POST", "/v1/customers", {"json": {"email": "x"}}, 400),
        ("POST", "/v1/customers", {"content": b"x" * 1_100_000}, 413),
        ("GET", "/v1/customers", {"headers": {"Authorization": "Bearer sk_test_wrong"}}, 401),
        ("GET", "/v1/customers", {"headers": {"Stripe-Version": "2023-10-16"}}, 400),
        ("GET", "/v1/customers/cus_unknown", {}, 404),
    ],
)
def test_refused_requests_are_counted_too(recorder, http, method, path, request_of, status):
    assert http.request(method, path, **request_of).status_code == status
    assert recorder.counts["requests"] == recorder.counts["responses"] == recorder.counts["error responses"] == 1
    assert recorder.problems == []


@pytest.mark.slow
def test_a_409_for_a_key_in_flight_is_counted(recorder, stripe, http):
    import threading

    key = {"Idempotency-Key": "one"}
    stripe.latency = 0.3
    first = threading.Thread(target=lambda: http.post("/v1/customers", headers=key))
    first.start()
    statuses = []
    while 409 not in statuses and first.is_alive():
        statuses.append(http.post("/v1/customers", headers=key).status_code)
    first.join()
    assert 409 in statuses
    assert recorder.counts["error responses"] >= 1
    assert recorder.problems == []


def test_searches_and_what_is_left_of_deleted_objects(ada, client, recorder):
    client.v1.customers.search({"query": "email:'ada@example.com'"})
    client.v1.customers.delete(ada.id)
    client.v1.customers.retrieve(ada.id)
    assert recorder.counts["responses"] == 3
    assert recorder.problems == []


def test_a_wrong_answer_is_a_violation(stripe, ada):
    good = stripe.get(ada.id)
    page = {"object": "list", "data": [good], "has_more": False, "url": "/v1/customers"}
    product = stripe.sandbox.render(stripe.sandbox.store.find("account")[0])
    cases = [
        ("GET", f"/v1/customers/{ada.id}", {**good, "balance": "much"}),
        ("GET", f"/v1/customers/{ada.id}", product),  # a good object, and not what was asked for
        ("GET", "/v1/customers", {**page, "has_more": None}),
        ("GET", "/v1/customers", {**page, "data": [{**good, "id": 5}]}),
        ("GET", "/v1/customers", {**page, "data": [product]}),
        ("GET", "/v1/customers/search", page),
        ("DELETE", f"/v1/customers/{ada.id}", good),
        ("POST", f"/v1/customers/{ada.id}", {"id": ada.id, "object": "customer", "deleted": True}),
        ("GET", "/v1/nowhere", good),
    ]
    for case in cases:
        recorder = Recorder()
        recorder.exchange(exchange(*case))
        assert recorder.problems, case
    fine = Recorder()
    fine.exchange(exchange("GET", f"/v1/customers/{ada.id}", good))
    fine.exchange(exchange("GET", "/v1/customers", page))
    assert fine.problems == []


def test_a_wrong_error_is_a_violation():
    for error in ({"message": "no type"}, {"type": "card_error", "message": "x", "code": "no_such_code"}):
        recorder = Recorder()
        recorder.exchange(exchange("GET", "/v1/customers/cus_1", {"error": error}, status=404))
        assert recorder.problems, error


def test_accepting_what_stripe_refuses_is_a_violation(stripe, ada):
    recorder = Recorder()
    recorder.exchange(exchange("POST", "/v1/customers", stripe.get(ada.id), pairs=[("emial", "x")]))
    assert "accepted in spite of" in recorder.problems[0]


def test_a_wrong_event_is_a_violation(stripe, ada):
    [event] = stripe.events()
    wrong_object = {**event, "data": {"object": {**event["data"]["object"], "email": 5}}}
    wrong_past = {**event, "data": {**event["data"], "previous_attributes": {"emial": "x"}}}
    for broken in ({**event, "type": None}, wrong_object, wrong_past):
        recorder = Recorder()
        recorder.event(broken)
        assert recorder.problems, broken


def test_every_sandbox_of_the_process_is_watched(stripe_recorder):
    from stripe_sandbox.api import ApiRequest, handle

    before = stripe_recorder.counts["requests"]
    own = Sandbox()
    headers = {"authorization": f"Bearer {own.settings.secret_key}"}
    assert handle(own, ApiRequest("GET", "/v1/account", b"", headers, b"")).status == 200
    own.stop()
    assert stripe_recorder.counts["requests"] == before + 1


def test_every_operation_has_an_answer_to_check_against():
    loaded = contract.load()
    for template, operations in loaded.doc["paths"].items():
        for method in operations:
            assert loaded.answer_errors(method, template, {"object": "nonsense"}), (method, template)


GOOD = """
    def test_one(stripe):
        stripe.client.v1.customers.create({"email": "ada@example.com"})

    def test_two(stripe):
        stripe.client.v1.customers.create({})
        stripe.client.v1.customers.list()
"""
BAD = """
    from stripe_sandbox.sandbox import Sandbox

    def test_nobody_looks_at_this_one():
        sandbox = Sandbox()
        with sandbox.transaction():
            sandbox.events.emit("customer.created", {"id": "cus_1", "object": "customer"})
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """pytest in a process of its own, with this plugin and pytest-xdist and none of the many others."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_tests(tests: str, workers: int):
        pytester.makepyfile(tests)
        plugins = ["-p", "xdist", "-p", "stripe_sandbox.pytest_plugin", "-p", "no:cacheprovider"]
        return pytester.runpytest_subprocess(*plugins, "-n", str(workers))

    return run_tests


@pytest.mark.slow
def test_the_summary_adds_up_all_workers(run):
    done = run(GOOD, workers=2)
    done.assert_outcomes(passed=2)
    [line] = [line for line in done.outlines if line.startswith("Stripe contract")]
    for part in ("3 requests", "3 valid requests", "3 responses", "2 events", "0 violations"):
        assert part in line
    assert done.ret == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_violation_that_no_test_noticed_fails_the_session(run, workers):
    done = run(BAD, workers)
    done.assert_outcomes(passed=1)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*event customer.created*is a required property"])
