"""The hosted invoice page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import hosted_pages
from .hosted_pages import Form, not_found, page
from .sandbox import Sandbox


def routes(sandbox: Sandbox) -> list[Route]:
    return [hosted_pages.route(sandbox, "GET", "/i/{invoice}", _show)]


def _show(sandbox: Sandbox, request: Request, form: Form) -> Response:
    invoice = sandbox.store.get(request.path_params["invoice"])
    if not invoice or invoice["object"] != "invoice" or invoice["status"] == "draft":
        return not_found(sandbox, "This invoice link is not valid.")
    lines = sandbox.store.find("line_item", {"invoice": invoice["id"]})
    return page("invoice.html", business=hosted_pages.business(sandbox), invoice=invoice, lines=lines)
