"""README.md says what is emulated and what is not; the table of operations says the same."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

import stripe_sandbox
from stripe_sandbox import chaos, contract, coverage
from stripe_sandbox.operations import OPERATIONS

FOLDER = Path(stripe_sandbox.__file__).parent
README = (FOLDER / "README.md").read_text()
COVERED = README.partition("## Covered, not covered")[2].partition("## Known differences")[0]


def rows() -> list[list[str]]:
    """The table's cells: resource, covered, not covered."""
    lines = [line for line in COVERED.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def test_the_list_of_what_is_not_emulated_is_complete_and_no_longer():
    missing = defaultdict(list)
    for path, operations in contract.load().doc["paths"].items():
        for method in operations:
            if (method, path) not in OPERATIONS:
                missing[path].append(method.upper())
    told = re.findall(r"^    ((?:[A-Z]+ +)+)(/v\d/\S+)$", COVERED, re.MULTILINE)
    assert {path: methods.split() for methods, path in told} == {path: sorted(found) for path, found in missing.items()}


@pytest.mark.parametrize("path", sorted({path for _, path in OPERATIONS}))
def test_every_emulated_resource_has_its_row(path):
    """By its name in the URL: billing/meters, checkout sessions, test_helpers/test_clocks."""
    names = re.findall(r"[a-z_/]+", " ".join(cells[0] for cells in rows()))
    segments = [segment for segment in path.split("/")[2:] if not segment.startswith("{")]
    assert any(name in ("/".join(segments[:2]), segments[0], segments[-1]) for name in names), path


# What a cell of "covered" says, and the operations that make it true.
WORDS = {
    "create": ("post", ""),
    "retrieve": ("get", "/{}"),
    "update": ("post", "/{}"),
    "delete": ("delete", "/{}"),
    "list": ("get", ""),
    "search": ("get", "/search"),
}
PLAIN = {
    "customers", "products", "prices", "billing/meters", "payment_methods", "charges", "refunds", "disputes",
    "subscription_items", "subscription_schedules", "invoices", "invoiceitems", "webhook_endpoints", "events",
    "test_helpers/test_clocks", "coupons", "billing_portal/configurations", "subscriptions",
}  # fmt: skip


@pytest.mark.parametrize("resource", sorted(PLAIN))
def test_what_its_row_says_of_a_resource_is_there(resource):
    [cells] = [cells for cells in rows() if resource in re.split(r"[,\s]+", cells[0])]
    shapes = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in OPERATIONS}
    said = [word for word in WORDS if re.search(rf"\b{word}\b", cells[1])]
    of_its_own = [r for r in re.split(r",\s*", cells[0]) if r in PLAIN]
    assert said
    for word in said:
        method, suffix = WORDS[word]
        # A row of several resources says what at least one of them can.
        assert any((method, f"/v1/{one}{suffix}") in shapes for one in of_its_own), (resource, word)


def test_what_a_row_names_as_not_covered_is_refused():
    """A name in its third cell is a parameter (or the last part of a URL) that some operation of the row refuses."""
    covered = list(coverage.of_contract())
    for cells in rows():
        names = re.findall(r"[a-z_/]+", cells[0])
        own = [one for one in covered if any(name in one.path.split("/") or name in one.path for name in names)]
        refused = {part for one in own for path in one.refuses for part in path.split(".")}
        refused |= {one.path.rpartition("/")[2] for one in own if not one.emulated}
        values = {
            part for one in own for name in one.honours if "=" in name for part in name.partition("=")[0].split(".")
        }
        for word in re.findall(r"`([a-z_]+)`", cells[2] if len(cells) > 2 else ""):
            # send_invoice is a value: its parameter takes another one only.
            known = {"send_invoice": "collection_method"}.get(word, word)
            assert known in refused or known in values, (cells[0], word)


def test_the_coverage_is_told_by_operation_and_parameter(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["coverage", "/v1/refunds"])
    coverage.main()
    told = capsys.readouterr().out
    assert "POST /v1/refunds\n    honours  amount charge metadata payment_intent reason\n    refuses  currency" in told
    monkeypatch.setattr("sys.argv", ["coverage", "/v1/plans"])
    coverage.main()
    assert "GET /v1/plans    not emulated" in capsys.readouterr().out


def test_what_coverage_calls_refused_is_refused(http, ada):
    """One parameter of each creation: 400, and in words."""
    for one in coverage.of_contract():
        plain = [name for name in one.refuses if "." not in name]
        if one.method == "POST" and one.emulated and "{" not in one.path and plain:
            schema = contract.load().operation_at("post", one.path)["params"]
            texts = [name for name in plain if schema["properties"][name].get("type") == "string"]
            for name in texts[:2]:
                data = {
                    key: _value(inner)
                    for key, inner in schema["properties"].items()
                    if key in schema.get("required", [])
                }
                answer = http.post(one.path, data={**data, name: "x"})
                assert answer.status_code == 400, (one.path, name)
                assert answer.json()["error"]["param"] in (name, *data), answer.text


def _value(schema):
    return schema["enum"][0] if "enum" in schema else "1"


def test_every_file_is_named_in_how_it_is_built():
    built = README.partition("## How it is built")[2]
    for file in FOLDER.glob("*.py"):
        if not file.name.startswith("__"):
            assert file.name in built or file.stem in built, file.name


def test_every_switch_of_chaos_has_its_row():
    table = README.partition("## Chaos")[2].partition("## ")[0]
    for name in (*chaos.PROBABILITIES, *chaos.SIZES):
        assert f"`{name}`" in table, name


def test_every_route_of_the_control_api_is_named(stripe):
    from stripe_sandbox import control

    for route in control.routes(stripe.sandbox):
        shown = re.sub(r"\{[a-z]+\}", "", route.path)
        named = re.sub(r"\{[a-z]+\}", "", README.replace("`GET /_sandbox/deliveries?limit=&event=`", route.path))
        assert shown in named, route.path
