"""JSON comes in strict, shallow and storable, or not at all."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datilio.json_input import MAX_DEPTH, strict_loads


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"{'a': 1}",
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'["x", {"a": ["\\ud800"]}]',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"1" * 10_000,
    ],
)
def test_what_cannot_be_read_or_stored_is_refused(body):
    with pytest.raises(ValueError):
        strict_loads(body)


def test_what_is_fine_is_read_as_json_reads_it():
    assert strict_loads('{"a": [1, 2.5, null, true, "é😀"], "b": {}}'.encode()) == {
        "a": [1, 2.5, None, True, "é😀"],
        "b": {},
    }
    assert strict_loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


@pytest.mark.slow
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_value_error(body):
    with contextlib.suppress(ValueError):
        strict_loads(body)
