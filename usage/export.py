"""What a user has used as CSV, newest first: sent while it is read from the database, in constant memory."""

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from datilio.times import iso
from usage.features import FEATURES
from usage.history import rows_of
from usage.money import exact_dollars

COLUMNS = ("id", "user_id", "feature", "amount", "timestamp", "unit", "model", "cost_usd")
_FIELDS = ("id", "user_id", "feature", "amount", "timestamp", "model", "cost_nanocents")
_ROWS_AT_ONCE = 1_000
# What makes a spreadsheet calculate instead of read (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def usage_csv(
    user_id: int,
    *,
    now: datetime,
    feature: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[str]:
    """The file in pieces of up to 1,000 lines, one query each: the header, then since <= timestamp < until.

    What is counted while it is read is left out, so that it ends. `timestamp` is UTC; `cost_usd` has all its digits,
    and is empty where there is none. A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    until = min(until, now) if until else now
    writer = csv.writer(_Handed())
    yield writer.writerow(COLUMNS)
    cursor: str | None = None
    while True:
        rows, cursor = rows_of(
            user_id,
            limit=_ROWS_AT_ONCE,
            fields=_FIELDS,
            cursor=cursor,
            feature=feature,
            since=since,
            until=until,
        )
        yield "".join(writer.writerow(_line(row)) for row in rows)
        if cursor is None:
            return


class _Handed:
    """A file whose `write` hands back what csv wrote."""

    def write(self, line: str) -> str:
        return line


def _line(row: dict[str, Any]) -> list[object]:
    metered = FEATURES.get(row["feature"])
    return [
        row["id"],
        row["user_id"],
        _harmless(row["feature"]),
        row["amount"],
        iso(row["timestamp"]),
        metered.unit if metered else "",
        _harmless(row["model"]),
        exact_dollars(row["cost_nanocents"]) if row["cost_nanocents"] else "",
    ]


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_BEGINS) else text
