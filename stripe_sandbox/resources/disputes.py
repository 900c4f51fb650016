"""https://docs.stripe.com/api/disputes"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lifecycle import disputes as life
from ..lists import PAGING, Page, filters, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_PATH = "/v1/disputes/{dispute}"


@operation("get", _PATH)
def retrieve(sandbox: Sandbox, params: dict[str, Any], dispute: str) -> Document:
    return sandbox.get("dispute", dispute, "dispute", in_path=True)


@operation("post", _PATH, f"{' '.join('evidence.' + key for key in life.EVIDENCE)} metadata submit")
def update(sandbox: Sandbox, params: dict[str, Any], dispute: str) -> Document:
    document = sandbox.get("dispute", dispute, "dispute", in_path=True)
    evidence = params.get("evidence", {})
    # As at Stripe: evidence goes to the bank at once unless `submit` says not yet.
    submit = params.get("submit", bool(evidence))
    return life.update_evidence(sandbox, document, evidence, submit, merged(params, document["metadata"]))


@operation("post", _PATH + "/close")
def close(sandbox: Sandbox, params: dict[str, Any], dispute: str) -> Document:
    """To accept it: the dispute is lost."""
    return life.close(sandbox, sandbox.get("dispute", dispute, "dispute", in_path=True), "lost")


@operation("get", "/v1/disputes", PAGING + " charge created payment_intent")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    equal = filters(params, "charge", "payment_intent")
    return page(sandbox, "dispute", params, "/v1/disputes", equal)
