"""API keys are shown once and kept as a hash."""

import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from datilio.errors import InvalidInput
from usage.api_keys import ApiKeyNameTaken, find_api_key, make_api_key, revoke_api_key
from usage.models import ApiKey


def test_only_the_hash_is_kept(db):
    row, key = make_api_key("worker", ["usage:write"])
    assert key.startswith("datilio_") and len(key) >= 8 + 43
    assert row.sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert row.prefix == key[:16]
    stored = ApiKey.objects.values().get()
    assert key not in str(stored)


def test_a_key_is_found_by_itself_alone(db):
    row, key = make_api_key("worker", ["usage:write"])
    assert find_api_key(key) == row
    for wrong in (key[:-1], key + "x", key.upper(), row.sha256, row.prefix, "", "\udcff"):
        assert find_api_key(wrong) is None


def test_two_keys_are_never_alike(db):
    assert make_api_key("one", ["usage:write"])[1] != make_api_key("two", ["usage:write"])[1]


def test_a_name_is_taken_once(db):
    make_api_key("worker", ["usage:write"])
    with pytest.raises(ApiKeyNameTaken):
        make_api_key("worker", ["usage:write"])


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("", ["usage:write"]), ("x" * 81, ["usage:write"]), ("a\x00", ["usage:write"])]
    + [("worker", []), ("worker", ["usage:everything"])],
)
def test_names_and_scopes_that_do_not_exist(db, name, scopes):
    with pytest.raises(InvalidInput):
        make_api_key(name, scopes)


def test_revoking_twice_keeps_the_first_moment(db):
    row, _ = make_api_key("worker", ["usage:write"])
    first = timezone.now()
    revoke_api_key(row, first)
    revoke_api_key(row, timezone.now())
    assert row.revoked_at == first


def test_the_command_prints_the_key_once(db):
    out, err = StringIO(), StringIO()
    call_command("create_api_key", "worker", "--scope", "usage:write", stdout=out, stderr=err)
    assert find_api_key(out.getvalue().strip()).name == "worker"
    assert "Authorization: Api-Key" in err.getvalue()
    with pytest.raises(CommandError, match="There is an API key with this name"):
        call_command("create_api_key", "worker", "--scope", "usage:write", stdout=out, stderr=err)
    with pytest.raises(CommandError):
        call_command("create_api_key", "other", stdout=out, stderr=err)


def test_the_command_that_revokes(db):
    rows = [make_api_key(name, ["usage:write"])[0] for name in ("worker", "other", "third")]
    out = StringIO()
    call_command("revoke_api_key", "worker", stdout=out)
    call_command("revoke_api_key", rows[1].prefix, stdout=out)
    assert set(ApiKey.objects.filter(revoked_at=None)) == {rows[2]}
    assert out.getvalue().startswith(f"worker ({rows[0].prefix}...) is revoked since ")
    first = ApiKey.objects.get(name="worker").revoked_at
    call_command("revoke_api_key", "worker", stdout=out)
    assert ApiKey.objects.get(name="worker").revoked_at == first
    with pytest.raises(CommandError, match="In use: third"):
        call_command("revoke_api_key", "nobody")
