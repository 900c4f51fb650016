"""A PDF of text and rules: as much of the format (ISO 32000, version 1.4) as an invoice needs.

The fonts are Helvetica and Helvetica-Bold, which every reader has, so nothing is embedded. They know the letters of
Windows-1252. Others are drawn as their nearest ones, or as "?"; what a reader copies, searches or reads aloud is
the true text (ActualText). Why not a library: docs/decisions/0002-the-local-stripe.md.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

WIDTH, HEIGHT = 595.28, 841.89  # A4, in points; y counts from the top
_REGULAR, _BOLD = "/F1", "/F2"
# Adobe's metrics of Helvetica, in thousandths of the size, for the characters 32 to 126. Digits and what stands in
# amounts are as wide in bold.
_WIDTHS = [
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
]

_NEAREST = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "−": "-"}  # those that Unicode does not take apart


def drawable(text: str) -> str:
    """The text in letters that the fonts have."""
    shown = []
    for letter in text:
        for candidate in (letter, _NEAREST.get(letter, unicodedata.normalize("NFKD", letter)[0])):
            if candidate.isprintable() and candidate.encode("cp1252", "ignore"):
                shown.append(candidate)
                break
        else:
            shown.append("?" if letter.isprintable() else " ")
    return "".join(shown)


def width(text: str, size: float) -> float:
    """How wide the text is in points; an accented letter is as wide as its base."""
    total = 0
    for letter in drawable(text):
        code = ord(unicodedata.normalize("NFKD", letter)[0])
        total += _WIDTHS[code - 32] if 32 <= code <= 126 else 556
    return total * size / 1000


def wrapped(text: str, size: float, room: float) -> list[str]:
    """The text in lines that fit; a word that alone does not is cut."""
    lines, line = [], ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if width(candidate, size) <= room:
            line = candidate
            continue
        if line:
            lines.append(line)
        while width(word, size) > room and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 0, -1) if width(word[:n], size) <= room), 1)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines


class Pdf:
    """Pages that are drawn on one after the other: text(...), rule(...), new_page(), at last content()."""

    def __init__(self, title: str, created: int) -> None:
        self._title, self._created = title, created
        self._pages: list[list[str]] = [[]]

    def new_page(self) -> None:
        self._pages.append([])

    def text(self, x: float, y: float, text: str, size: float = 10, *, bold: bool = False, right: bool = False) -> None:
        """Write one line that begins (`right`: ends) at x, its baseline y below the top of the page."""
        shown = drawable(text)
        x -= width(text, size) if right else 0
        operators = f"BT {_BOLD if bold else _REGULAR} {size:g} Tf {x:.2f} {HEIGHT - y:.2f} Td {_string(shown)} Tj ET"
        if shown != text:
            operators = f"/Span <</ActualText {_unicode(text)}>> BDC {operators} EMC"
        self._pages[-1].append(operators)

    def rule(self, x: float, y: float, to: float) -> None:
        """A thin grey line from x to `to`."""
        self._pages[-1].append(f"0.8 G 0.5 w {x:.2f} {HEIGHT - y:.2f} m {to:.2f} {HEIGHT - y:.2f} l S")

    def content(self) -> bytes:
        """The file."""
        count = len(self._pages)
        kids = " ".join(f"{6 + 2 * index} 0 R" for index in range(count))
        moment = datetime.fromtimestamp(self._created, UTC).strftime("D:%Y%m%d%H%M%SZ")
        font = "<</Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding>>"
        objects = [
            "<</Type /Catalog /Pages 2 0 R /Lang (en)>>",
            f"<</Type /Pages /Count {count} /Kids [{kids}]>>",
            font % "Helvetica",
            font % "Helvetica-Bold",
            f"<</Title {_unicode(self._title)} /Producer (Local Stripe) /CreationDate ({moment})>>",
        ]
        for index, operators in enumerate(self._pages):
            objects.append(
                f"<</Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {7 + 2 * index} 0 R "
                f"/Resources <</Font <<{_REGULAR} 3 0 R {_BOLD} 4 0 R>>>>>>"
            )
            stream = "\n".join(operators)
            # Everything that is written is cp1252 or ASCII, one byte a character.
            objects.append(f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream")
        # The comment of bytes above 127 tells transports that this is no text.
        content = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
        offsets = []
        for number, body in enumerate(objects, 1):
            offsets.append(len(content))
            content += f"{number} 0 obj\n{body}\nendobj\n".encode("cp1252")
        entries = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
        size = len(objects) + 1
        trailer = f"trailer\n<</Size {size} /Root 1 0 R /Info 5 0 R>>\nstartxref\n{len(content)}\n%%EOF\n"
        return content + f"xref\n0 {size}\n0000000000 65535 f \n{entries}{trailer}".encode("ascii")


def _string(text: str) -> str:
    return "(" + text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ")"


def _unicode(text: str) -> str:
    return f"<FEFF{text.encode('utf-16-be', 'replace').hex().upper()}>"
