"""docs/pitfalls.md stays true: each mend that it names is there, and so is the test that holds it."""

import pytest

from benchmarks.pitfalls import MENDS, PAGE, ROOT, page


@pytest.mark.parametrize("mend", MENDS, ids=lambda mend: mend.pitfall)
def test_the_mend_and_its_test_are_there(mend):
    assert mend.old in (ROOT / mend.file).read_text()
    for one in mend.test.split():
        file, _, name = one.partition("::")
        assert f"def {name}" in (ROOT / file).read_text()


def test_the_page_is_the_table():
    assert PAGE.read_text() == page(), "python -m benchmarks.pitfalls --page"
