"""accounts -> usage -> billing -> datilio.errors, and nobody imports the local Stripe."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each app may not know. (datilio's settings and address map know everybody; its other modules nobody.)
FORBIDDEN = {
    "billing": {"usage", "accounts", "stripe_sandbox"},
    "usage": {"accounts", "stripe_sandbox"},
    "accounts": {"stripe_sandbox"},
    "datilio": {"usage", "accounts", "billing", "stripe_sandbox"},
    "stripe_sandbox": {"accounts", "billing", "usage", "datilio", "django"},
}
# The address map, the way in, and the pages that belong to no app.
EXEMPT = {"datilio/urls.py", "datilio/views.py", "datilio/wsgi.py"}


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("app", FORBIDDEN)
def test_imports_run_one_way(app):
    wrong = {}
    for path in sorted((ROOT / app).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "/tests/" in name or name in EXEMPT:
            continue
        if bad := imported_packages(path) & FORBIDDEN[app]:
            wrong[name] = bad
    assert not wrong
