"""The fast way in accepts only what the serializer accepts, as the same values."""

import itertools

import pytest

from usage.incoming import _plainly_right
from usage.serializers import UsageEventIn
from usage.tests.test_hostile_input import WRONG

RIGHT = {
    "user_id": [1, 2**63 - 1],
    "feature": ["file_upload", "ai_token"],
    "amount": [1, -1, 10**12, -(10**12)],
    "key": ["k", "x" * 255, "ein Schlüssel", "日本"],
    "timestamp": ["2026-03-15T12:00:00Z", "2026-03-15T12:00:00.123456Z", "2026-03-15T12:00:00.1Z", "2026-03-15T12:00Z"]
    + ["2026-03-15T12:00:00+05:30", "2026-03-15", "20260315T120000Z", "2026-03-15 12:00:00Z", "2026-W11-7T12:00:00Z"],
    "model": ["m", "x" * 80],
    "size_mb": [0, 1, 2.5, 10**9],
}
EVENT = {"user_id": 1, "feature": "ai_prompt", "amount": 1, "key": "k"}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in itertools.chain(WRONG.items(), RIGHT.items()) for value in values],
    ids=lambda value: ascii(value)[:30],
)
def test_both_ways_agree(field, value):
    body = EVENT | {field: value}
    fast = _plainly_right(dict(body))
    serializer = UsageEventIn(data=body)
    if fast is not None:
        assert serializer.is_valid(), serializer.errors
        assert fast == serializer.validated_data


def test_usual_events_take_the_fast_way():
    for body in (EVENT, EVENT | {"timestamp": "2026-03-15T12:00:00Z", "model": "m"}):
        assert _plainly_right(body) is not None


@pytest.mark.parametrize("field", list(EVENT))
def test_without_a_field_it_is_not_plainly_right(field):
    assert _plainly_right({name: value for name, value in EVENT.items() if name != field}) is None
