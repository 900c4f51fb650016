"""https://docs.stripe.com/api/webhook_endpoints"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import API_VERSION, ids
from ..errors import invalid
from ..lists import PAGING, Page, page
from ..metadata import merged
from ..operations import operation
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox


def ensure_configured(sandbox: Sandbox) -> None:
    """The endpoint that the sandbox was started with: one, whatever its URL was in an earlier run."""
    url, secret = sandbox.settings.webhook_url, sandbox.settings.webhook_secret
    configured = [e for e in sandbox.store.find("webhook_endpoint") if e.get("_configured")]
    if not url:
        for endpoint in configured:
            sandbox.change(endpoint, changes={"status": "disabled"})
    elif configured:
        sandbox.change(configured[0], changes={"url": url, "_secret": secret, "status": "enabled"})
    else:
        new(sandbox, url, ["*"], secret=secret, _configured=True)


def new(sandbox: Sandbox, url: str, enabled_events: list[str], *, secret: str, **values: Any) -> Document:
    return sandbox.new(
        "webhook_endpoint",
        {
            "api_version": None,
            "application": None,
            "description": None,
            "enabled_events": enabled_events,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret,
            **values,
        },
    )


@operation(
    "post",
    "/v1/webhook_endpoints",
    f"api_version={API_VERSION} connect=false description enabled_events metadata url",
)
def create(sandbox: Sandbox, params: dict[str, Any]) -> dict[str, Any]:
    """The only answer that shows the secret."""
    _check_url(params["url"])
    endpoint = new(
        sandbox,
        params["url"],
        params["enabled_events"],
        secret="whsec_" + ids.token(32),
        api_version=params.get("api_version"),
        description=params.get("description") or None,
        metadata=merged(params),
    )
    return {**sandbox.render(endpoint), "secret": endpoint["_secret"]}


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        ok = False
    if not ok or any(ord(c) < 33 or ord(c) > 126 for c in url):
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid")


@operation("get", "/v1/webhook_endpoints/{webhook_endpoint}")
def retrieve(sandbox: Sandbox, params: dict[str, Any], endpoint: str) -> Document:
    return sandbox.get("webhook_endpoint", endpoint, in_path=True)


@operation(
    "post",
    "/v1/webhook_endpoints/{webhook_endpoint}",
    "description disabled enabled_events metadata url",
)
def update(sandbox: Sandbox, params: dict[str, Any], endpoint: str) -> Document:
    document = sandbox.get("webhook_endpoint", endpoint, in_path=True)
    changes: dict[str, Any] = {}
    if "enabled_events" in params:
        changes["enabled_events"] = params["enabled_events"]
    if "url" in params:
        _check_url(params["url"])
        changes["url"] = params["url"]
    if "description" in params:
        changes["description"] = params["description"] or None
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        changes["metadata"] = merged(params, document["metadata"])
    return sandbox.change(document, changes=changes)


@operation("delete", "/v1/webhook_endpoints/{webhook_endpoint}")
def delete(sandbox: Sandbox, params: dict[str, Any], endpoint: str) -> Document:
    document = sandbox.get("webhook_endpoint", endpoint, in_path=True)
    return sandbox.store.save({"id": document["id"], "object": "webhook_endpoint", "deleted": True})


@operation("get", "/v1/webhook_endpoints", PAGING)
def list_all(sandbox: Sandbox, params: dict[str, Any]) -> Page:
    return page(sandbox, "webhook_endpoint", params, "/v1/webhook_endpoints")
