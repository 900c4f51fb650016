"""https://docs.stripe.com/api/setup_attempts: each time a SetupIntent was confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import missing
from ..lists import PAGING, Page, page
from ..operations import operation

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@operation("get", "/v1/setup_attempts", PAGING + " created setup_intent")
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    if "setup_intent" not in params:
        raise missing("setup_intent")
    sandbox.get("setup_intent", params["setup_intent"], "setup_intent")
    equal = {"setup_intent": params["setup_intent"]}
    return page(sandbox, "setup_attempt", params, "/v1/setup_attempts", equal)
