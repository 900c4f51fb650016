"""What a model's tokens weigh: its factor, in versions. The one that is in force when an event happened counts.

A version is made ahead and never edited once it is in force, so that every cost can be computed anew at any time.
A model that the book does not name has factor 1.0.
"""

import time
from bisect import bisect_right
from datetime import datetime, timedelta

from django.db import connection

from usage.models import ModelFactor

ONE = 1000  # factors are in thousandths
# How long a process may go on without looking at the book. A version is made further ahead than that (AHEAD).
_REMEMBERED_FOR = 60.0
AHEAD = timedelta(minutes=2)

Book = dict[str, tuple[list[datetime], list[int]]]
_remembered: tuple[Book, float] | None = None


def factor_of(model: str, at: datetime, book: Book | None = None) -> int:
    """The factor of a model's tokens at a moment, in thousandths. book: where the caller has it already."""
    starts, factors = (price_book() if book is None else book).get(model, ((), ()))
    version = bisect_right(starts, at)
    return factors[version - 1] if version else ONE


def price_book() -> Book:
    """All factors, as they are now or were a moment ago."""
    global _remembered
    # Inside a transaction as it is: there the caller sees rows that may never be committed.
    if connection.in_atomic_block:
        return _read()
    remembered = _remembered
    if remembered is None or time.monotonic() > remembered[1]:
        remembered = _remembered = _read(), time.monotonic() + _REMEMBERED_FOR
    return remembered[0]


def _read() -> Book:
    book: Book = {}
    for model, start, factor in ModelFactor.objects.order_by("valid_from").values_list("model", "valid_from", "factor"):
        starts, factors = book.setdefault(model, ([], []))
        starts.append(start)
        factors.append(factor)
    return book
