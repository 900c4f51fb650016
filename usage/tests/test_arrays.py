"""What is written as an array is what PostgreSQL reads."""

import random

import pytest
from django.db import connection

from usage.arrays import array_of_encoded, numbers, texts, times
from usage.tests.conftest import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.only_on("postgresql")]


def read(array, kind):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{kind}[]", [array])
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    "values",
    [[], [""], ["", ""], ["NULL"], ['"'], ['","'], ['a"', '"b'], ["\\"], ["{}", " x ", "a,b"], ["ü", "\n", "\t"]],
)
def test_texts(values):
    assert read(texts(values), "text") == values


@pytest.mark.parametrize("seed", range(50))
def test_texts_of_what_arrays_are_made_of(seed):
    dice = random.Random(seed)
    values = ["".join(dice.choices('"\\,{}a ', k=dice.randint(0, 6))) for _ in range(dice.randint(0, 8))]
    assert read(texts(value for value in values), "text") == values


@pytest.mark.parametrize("values", [[], [0], [None], [1, None, -(10**18)]])
def test_numbers(values):
    assert read(numbers(value for value in values), "bigint") == values


@pytest.mark.parametrize("values", [[], [NOON], [None, NOON, None, NOON]])
def test_times(values):
    assert read(times(values), "timestamptz") == values


def test_of_what_is_written_already():
    assert read(array_of_encoded([b"1", b"-2"]), "bigint") == [1, -2]
    assert read(array_of_encoded([b"active"]), "text") == ["active"]
    assert read(array_of_encoded([NOON.isoformat().encode()]), "timestamptz") == [NOON]
