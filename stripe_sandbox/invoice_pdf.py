"""An invoice as a PDF: what its page tells, on paper."""

from __future__ import annotations

from . import pdf
from .hosted_pages import day
from .invoice_facts import Facts, facts
from .pdf import Pdf
from .sandbox import Sandbox
from .store import Document

_LEFT, _RIGHT, _BOTTOM = 56.0, pdf.WIDTH - 56.0, pdf.HEIGHT - 72.0
_QUANTITY, _EACH = 392.0, 466.0  # where these columns end
_ROOM = 280.0  # for a description


def invoice_pdf(sandbox: Sandbox, invoice: Document) -> bytes:
    told = facts(sandbox, invoice)
    paper = Pdf(f"Invoice {told.number}", told.issued_at)
    y = _head(paper, told)
    y = _lines(paper, told, y)
    _totals(paper, told, y)
    return paper.content()


def _head(paper: Pdf, told: Facts) -> float:
    paper.text(_LEFT, 76, "Invoice", 24, bold=True)
    paper.text(_RIGHT, 76, told.business, 12, right=True)
    y = 112.0
    for label, value in (("Number", told.number), ("Date", day(told.issued_at)), ("Status", told.status)):
        paper.text(_LEFT, y, label)
        paper.text(_LEFT + 70, y, value, bold=label == "Status")
        y += 16
    y += 16
    paper.text(_LEFT, y, "Bill to", bold=True)
    for line in told.customer:
        for part in pdf.wrapped(line, 10, _RIGHT - _LEFT):
            y += 15
            paper.text(_LEFT, y, part)
    return y + 40


def _lines(paper: Pdf, told: Facts, y: float) -> float:
    y = _columns(paper, y)
    for line in told.lines:
        description = pdf.wrapped(line["description"], 10, _ROOM) or [""]
        height = 15 * len(description) + 26
        if y + height > _BOTTOM:
            paper.new_page()
            y = _columns(paper, 76)
        paper.text(_QUANTITY, y, line["quantity"], right=True)
        paper.text(_EACH, y, line["each"], right=True)
        paper.text(_RIGHT, y, line["amount"], right=True)
        for part in description:
            paper.text(_LEFT, y, part)
            y += 15
        paper.text(_LEFT, y - 2, f"{line['period']} (UTC)", 8.5)
        paper.rule(_LEFT, y + 8, _RIGHT)
        y += 26
    return y


def _columns(paper: Pdf, y: float) -> float:
    """The heads of the columns, on each page."""
    paper.text(_LEFT, y, "Description", 8.5)
    for x, head in ((_QUANTITY, "Quantity"), (_EACH, "Unit price"), (_RIGHT, "Amount")):
        paper.text(x, y, head, 8.5, right=True)
    paper.rule(_LEFT, y + 8, _RIGHT)
    return y + 26


def _totals(paper: Pdf, told: Facts, y: float) -> None:
    notes = [line for note in told.notes for line in pdf.wrapped(note, 10, _RIGHT - _LEFT)]
    if y + 18 * len(told.totals) > _BOTTOM:
        paper.new_page()
        y = 76
    for label, amount in told.totals:
        for index, part in enumerate(pdf.wrapped(label, 10, 190)):
            y += 14 if index else 0
            paper.text(_ROOM + 20, y, part, bold=label in ("Total", "Amount due"))
        paper.text(_RIGHT, y, amount, right=True, bold=label in ("Total", "Amount due"))
        y += 18
    y += 12
    for line in notes:
        if y > _BOTTOM:
            paper.new_page()
            y = 76
        paper.text(_LEFT, y, line)
        y += 15
