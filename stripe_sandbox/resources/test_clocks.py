"""https://docs.stripe.com/api/test_clocks"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lifecycle import test_clocks as life
from ..lists import PAGING, Page, page
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

_TYPE, _ID = "test_helpers.test_clock", "/v1/test_helpers/test_clocks/{test_clock}"


@operation("post", "/v1/test_helpers/test_clocks", "frozen_time name")
def create(sandbox: Sandbox, params: dict[str, Any]) -> Document:
    return life.new(sandbox, params["frozen_time"], params.get("name"))


@operation("get", _ID)
def retrieve(sandbox: Sandbox, params: dict[str, Any], test_clock: str) -> Document:
    return sandbox.get(_TYPE, test_clock, "test_clock", in_path=True)


@operation("get", "/v1/test_helpers/test_clocks", PAGING)
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    return page(sandbox, _TYPE, params, "/v1/test_helpers/test_clocks")


@operation("post", _ID + "/advance", "frozen_time")
def advance(sandbox: Sandbox, params: dict[str, Any], test_clock: str) -> Document:
    document = sandbox.get(_TYPE, test_clock, "test_clock", in_path=True)
    return life.advance(sandbox, document, params["frozen_time"])


@operation("delete", _ID)
def delete(sandbox: Sandbox, params: dict[str, Any], test_clock: str) -> Document:
    return life.delete(sandbox, sandbox.get(_TYPE, test_clock, "test_clock", in_path=True))
