"""An error of the database that counting does not know is raised as it came, with the driver's as its cause."""

import pytest
from django.db import IntegrityError

from usage import statements


def test_it_keeps_its_cause(alice, give_plan, use, monkeypatch):
    give_plan(alice)
    cause = ValueError("of the driver")

    def broken(*args):
        raise IntegrityError("a rule of another table") from cause

    monkeypatch.setattr(statements, "_of_use", broken)
    with pytest.raises(IntegrityError) as raised:
        use(alice, "ai_prompt", 1)
    assert raised.value.__cause__ is cause
