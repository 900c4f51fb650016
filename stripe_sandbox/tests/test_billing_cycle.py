"""Periods are counted from the anchor, so that short months do not wear it down."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stripe_sandbox.billing_cycle import boundary, interval_text, money


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())


def month(count: int = 1) -> dict:
    return {"interval": "month", "interval_count": count}


def test_a_month_from_the_31st_ends_on_the_last_day():
    anchor = at(2026, 1, 31, 10, 30)
    assert [boundary(anchor, month(), n) for n in range(5)] == [
        anchor,
        at(2026, 2, 28, 10, 30),
        at(2026, 3, 31, 10, 30),
        at(2026, 4, 30, 10, 30),
        at(2026, 5, 31, 10, 30),
    ]


def test_a_year_from_the_29th_of_february():
    year = {"interval": "year", "interval_count": 1}
    assert boundary(at(2024, 2, 29), year, 1) == at(2025, 2, 28)
    assert boundary(at(2024, 2, 29), year, 4) == at(2028, 2, 29)


@pytest.mark.parametrize(
    ("recurring", "end"),
    [
        (month(3), (2027, 2, 23)),
        (month(36), (2029, 11, 23)),
        ({"interval": "week", "interval_count": 2}, (2026, 12, 7)),
        ({"interval": "day", "interval_count": 10}, (2026, 12, 3)),
    ],
)
def test_other_intervals(recurring, end):
    assert boundary(at(2026, 11, 23), recurring, 1) == at(*end)


def test_how_money_and_intervals_are_written():
    assert money(123456, "usd") == "$1,234.56"
    assert money(-5, "eur") == "-€0.05"
    assert money(500, "jpy") == "¥500"
    assert money(100, "chf") == "CHF 1.00"
    assert interval_text(month()) == "month"
    assert interval_text(month(6)) == "every 6 months"
