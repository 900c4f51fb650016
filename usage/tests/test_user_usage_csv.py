"""GET /api/user/usage.csv: the whole history as a file, streamed in constant memory, safe to open in a spreadsheet."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from usage import export
from usage.models import UsageEvent
from usage.tests.conftest import NOON

URL = "/api/user/usage.csv"


@pytest.fixture
def rows(client, alice):
    client.force_login(alice)

    def get(**query):
        response = client.get(URL, query)
        assert response.status_code == 200, response.content
        return list(csv.DictReader(io.StringIO(response.getvalue().decode())))

    return get


def test_it_has_what_the_api_has_newest_first(rows, client, alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_prompt", 1)
    use(alice, "file_upload", 3, now=NOON + timedelta(minutes=1))
    use(alice, "file_upload", -2, now=NOON + timedelta(minutes=2))
    found = rows()
    usage = client.get("/api/user/usage").json()["usage"]
    assert [{name: row[name] for name in usage[0]} for row in found] == [
        {name: str(value) for name, value in row.items()} for row in usage
    ]
    assert [(row["amount"], row["unit"]) for row in found] == [("-2", "files"), ("3", "files"), ("1", "prompts")]


def test_it_is_a_file_with_a_name(client, alice):
    client.force_login(alice)
    response = client.get(URL, headers={"accept": "text/csv"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="datilio-usage-{timezone.now():%Y-%m-%d}.csv"'
    assert response["Cache-Control"] == "private, no-store"
    assert response.getvalue().decode() == ",".join(export.COLUMNS) + "\r\n"


def test_the_filters_are_those_of_the_api(rows, alice, give_plan, use):
    give_plan(alice)
    for days in range(4):
        use(alice, "synthetic_rows", days + 1, timestamp=NOON - timedelta(days=days))
        use(alice, "ai_prompt", 1, timestamp=NOON - timedelta(days=days))
    found = rows(feature="synthetic_rows", since="2026-03-13T12:00:00Z", until="2026-03-15T12:00:00Z")
    assert [row["amount"] for row in found] == ["2", "3"]


def test_pages_join_without_gap_or_repetition(rows, alice, give_plan, make_plan, use, monkeypatch):
    monkeypatch.setattr(export, "_ROWS_AT_ONCE", 4)
    give_plan(alice, make_plan(synthetic_rows_per_month=None))
    for n in range(13):
        use(alice, "synthetic_rows", n + 1, timestamp=NOON - timedelta(hours=n // 3))
    expected = UsageEvent.objects.order_by("-timestamp", "-id").values_list("id", flat=True)
    assert [int(row["id"]) for row in rows()] == list(expected)


def test_it_reads_a_page_when_the_reader_wants_one(client, alice, give_plan, make_plan, use, monkeypatch):
    """So that a history of any length needs the memory of one page."""
    monkeypatch.setattr(export, "_ROWS_AT_ONCE", 4)
    give_plan(alice, make_plan(synthetic_rows_per_month=None))
    for n in range(12):
        use(alice, "synthetic_rows", n + 1)
    pieces = export.usage_csv(alice.pk, now=timezone.now())
    with CaptureQueriesContext(
        connection,
    ) as queries:
        next(pieces)
        assert len(queries) == 0
        assert next(pieces).count("\r\n") == 4
        assert len(queries) == 1


def test_what_comes_while_it_is_read_is_left_out(alice, give_plan, use):
    give_plan(alice)
    use(alice, "synthetic_rows", 10)
    pieces = export.usage_csv(alice.pk, now=NOON + timedelta(seconds=1))
    next(pieces)
    use(alice, "synthetic_rows", 20, now=NOON + timedelta(seconds=2))
    assert "".join(pieces).count("\r\n") == 1


@pytest.mark.parametrize("model", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_no_text_is_a_formula(rows, alice, give_plan, use, model):
    give_plan(alice)
    use(alice, "ai_token", 5, model=model)
    assert rows()[0]["model"] == f"'{model}"


def test_quotes_and_commas_stay_in_their_field(rows, alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_token", 5, model='a,"b"')
    assert rows()[0]["model"] == 'a,"b"'


def test_costs_are_exact_dollars(rows, alice, give_plan, use):
    give_plan(alice)
    use(alice, "ai_token", 5)
    UsageEvent.objects.update(cost_nanocents=1_234_500_000)
    assert rows()[0]["cost_usd"] == "0.012345"


def test_a_token_reads_as_the_session_does_and_nobody_reads_anothers(alice, bob, give_plan, use):
    give_plan(bob)
    use(bob, "ai_prompt")
    lines = {}
    for user in (alice, bob):
        client = APIClient(headers={"authorization": f"Bearer {AccessToken.for_user(user)}"})
        lines[user] = client.get(URL).getvalue().decode().count("\r\n")
    assert lines == {alice: 1, bob: 2}


def test_a_stranger_and_a_wrong_filter_get_problems(client, alice):
    assert client.get(URL).status_code == 401
    client.force_login(alice)
    for accept in ("text/csv", "*/*", "application/json"):
        response = client.get(URL, {"feature": "gold"}, headers={"accept": accept})
        assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
        assert response.json()["errors"].keys() == {"feature"}


HOSTILE = ["\x00", "\ud800".encode("utf-8", "surrogatepass"), "9" * 5000, "2026-13-45T00:00:00Z", "'; --", "[]"]


@pytest.mark.parametrize("name", ["feature", "since", "until"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_hostile_filters_are_refused_before_anything_is_sent(client, alice, name, value):
    client.force_login(alice)
    response = client.get(URL, {name: value})
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


def test_it_is_not_asked_for_without_end(client, alice):
    client.force_login(alice)
    assert [client.get(URL).status_code for _ in range(11)] == [200] * 10 + [429]
